-- Rows that are rewritten in place leave room on their page, so that the new version needs no new index entries.
ALTER TABLE "glissade"."meta" SET (fillfactor = 10);--> statement-breakpoint
ALTER TABLE "glissade"."rooms" SET (fillfactor = 85);--> statement-breakpoint
ALTER TABLE "glissade"."user_rooms" SET (fillfactor = 85);--> statement-breakpoint
ALTER TABLE "glissade"."devices" SET (fillfactor = 50);--> statement-breakpoint
ALTER TABLE "glissade"."device_keys" SET (fillfactor = 50);--> statement-breakpoint
ALTER TABLE "glissade"."tokens" SET (fillfactor = 80);--> statement-breakpoint
ALTER TABLE "glissade"."receipts" SET (fillfactor = 85);--> statement-breakpoint
ALTER TABLE "glissade"."connections" SET (fillfactor = 50);--> statement-breakpoint
-- Chunks are compressed before they come here, and stay beside their keys.
ALTER TABLE "glissade"."events" ALTER COLUMN "records" SET STORAGE EXTERNAL;--> statement-breakpoint
ALTER TABLE "glissade"."events" SET (toast_tuple_target = 8160);--> statement-breakpoint
INSERT INTO "glissade"."meta" ("id", "epoch", "writer", "commit_seq", "head")
VALUES (1, replace(gen_random_uuid()::text, '-', ''), '', 0, 0);
