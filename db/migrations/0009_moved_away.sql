ALTER TABLE "meta" ADD COLUMN "moved_to" text;--> statement-breakpoint
ALTER TABLE "meta" ADD COLUMN "moved_ms" bigint;