CREATE TABLE "audit" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "audit_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at_ms" bigint NOT NULL,
	"action" text NOT NULL,
	"target" text NOT NULL,
	"remote" text NOT NULL,
	"result" text NOT NULL
);
--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "paused_ms" bigint;