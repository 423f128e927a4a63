ALTER TABLE "connections" ADD COLUMN "to_device_pos" bigint;--> statement-breakpoint
ALTER TABLE "connections" ADD COLUMN "device_lists_pos" bigint;--> statement-breakpoint
ALTER TABLE "device_keys" ADD COLUMN "fallback_pos" bigint DEFAULT 0 NOT NULL;