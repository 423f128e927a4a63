-- Rows that are rewritten in place leave room on their page, so that the new version needs no new index entries.
ALTER TABLE "meta" SET (fillfactor = 10);--> statement-breakpoint
ALTER TABLE "rooms" SET (fillfactor = 85);--> statement-breakpoint
ALTER TABLE "user_rooms" SET (fillfactor = 85);--> statement-breakpoint
ALTER TABLE "devices" SET (fillfactor = 50);--> statement-breakpoint
ALTER TABLE "device_keys" SET (fillfactor = 50);--> statement-breakpoint
ALTER TABLE "tokens" SET (fillfactor = 80);--> statement-breakpoint
ALTER TABLE "receipts" SET (fillfactor = 85);--> statement-breakpoint
ALTER TABLE "connections" SET (fillfactor = 50);--> statement-breakpoint
-- Chunks are compressed before they come here, and stay beside their keys.
ALTER TABLE "events" ALTER COLUMN "records" SET STORAGE EXTERNAL;--> statement-breakpoint
ALTER TABLE "events" SET (toast_tuple_target = 8160);--> statement-breakpoint
INSERT INTO "meta" ("id", "epoch", "writer", "commit_seq", "head")
VALUES (1, replace(gen_random_uuid()::text, '-', ''), '', 0, 0);
