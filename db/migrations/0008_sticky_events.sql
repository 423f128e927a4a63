CREATE TABLE "sticky_events" (
	"pos" bigint NOT NULL,
	"expires_ms" bigint NOT NULL,
	"nid" integer NOT NULL,
	"event_id" text COLLATE "C" NOT NULL,
	"sender" text NOT NULL,
	"json" "bytea" NOT NULL,
	CONSTRAINT "sticky_events_pkey" PRIMARY KEY("nid","event_id")
);
--> statement-breakpoint
CREATE INDEX "sticky_events_expiry" ON "sticky_events" USING btree ("expires_ms");