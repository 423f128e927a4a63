CREATE TABLE "repairs" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "repairs_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"asked_ms" bigint NOT NULL,
	"ended_ms" bigint,
	"kind" text NOT NULL,
	"target" text NOT NULL,
	"total" integer NOT NULL,
	"done" integer NOT NULL,
	"failed" integer NOT NULL,
	"cursor" integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX "user_rooms_joined" ON "user_rooms" USING btree ("nid") WHERE "user_rooms"."membership" = 1;