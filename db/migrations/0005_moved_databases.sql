ALTER TABLE "devices" ADD COLUMN "rooms_due" smallint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "imported_pos" bigint;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "imported_since" text;--> statement-breakpoint
ALTER TABLE "meta" ADD COLUMN "imported_pos" bigint;--> statement-breakpoint
ALTER TABLE "meta" ADD COLUMN "secret_rotated_ms" bigint;