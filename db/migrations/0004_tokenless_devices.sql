ALTER TABLE "devices" ADD COLUMN "tokenless_ms" bigint;--> statement-breakpoint
CREATE INDEX "devices_tokenless" ON "devices" USING btree ("tokenless_ms") WHERE "devices"."tokenless_ms" > 0;