CREATE TABLE "account_data" (
	"pos" bigint NOT NULL,
	"nid" integer NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"json" "bytea" NOT NULL,
	CONSTRAINT "account_data_pkey" PRIMARY KEY("user_id","nid","type")
);
--> statement-breakpoint
CREATE TABLE "connections" (
	"last_used_ms" bigint NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"device_id" text COLLATE "C" NOT NULL,
	"conn_id" text COLLATE "C" NOT NULL,
	"incarnation" text NOT NULL,
	"params" text NOT NULL,
	"cursors" text NOT NULL,
	CONSTRAINT "connections_pkey" PRIMARY KEY("user_id","device_id","conn_id")
);
--> statement-breakpoint
CREATE TABLE "device_keys" (
	"pos" bigint NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"device_id" text COLLATE "C" NOT NULL,
	"otk_counts" text,
	"fallback_key_types" text,
	CONSTRAINT "device_keys_pkey" PRIMARY KEY("user_id","device_id")
);
--> statement-breakpoint
CREATE TABLE "device_lists" (
	"pos" bigint NOT NULL,
	"has_left" boolean NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"device_id" text COLLATE "C" NOT NULL,
	"target" text COLLATE "C" NOT NULL,
	CONSTRAINT "device_lists_pkey" PRIMARY KEY("user_id","device_id","target")
);
--> statement-breakpoint
CREATE TABLE "devices" (
	"user_id" text COLLATE "C" NOT NULL,
	"device_id" text COLLATE "C" NOT NULL,
	"since" text,
	CONSTRAINT "devices_pkey" PRIMARY KEY("user_id","device_id")
);
--> statement-breakpoint
CREATE TABLE "events" (
	"first_pos" bigint NOT NULL,
	"last_pos" bigint NOT NULL,
	"nid" integer NOT NULL,
	"event_count" smallint NOT NULL,
	"in_timeline" boolean NOT NULL,
	"has_gap" boolean NOT NULL,
	"id_hashes" integer[] NOT NULL,
	"records" "bytea" NOT NULL,
	CONSTRAINT "events_pkey" PRIMARY KEY("nid","in_timeline","first_pos")
);
--> statement-breakpoint
CREATE TABLE "filters" (
	"user_id" text COLLATE "C" NOT NULL,
	"filter_hash" text COLLATE "C" NOT NULL,
	"filter_id" text NOT NULL,
	CONSTRAINT "filters_pkey" PRIMARY KEY("user_id","filter_hash")
);
--> statement-breakpoint
CREATE TABLE "meta" (
	"id" smallint PRIMARY KEY NOT NULL,
	"epoch" text COLLATE "C" NOT NULL,
	"secret_check" text COLLATE "C",
	"writer" text COLLATE "C" NOT NULL,
	"commit_seq" bigint NOT NULL,
	"head" bigint NOT NULL,
	CONSTRAINT "meta_single" CHECK ("meta"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "glissade_migrations" (
	"id" integer PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"applied_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "quarantine" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "quarantine_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"seen_ms" bigint NOT NULL,
	"user_id" text NOT NULL,
	"device_id" text NOT NULL,
	"room_id" text,
	"section" text NOT NULL,
	"reason" text NOT NULL,
	"sample" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "receipts" (
	"pos" bigint NOT NULL,
	"ts" bigint NOT NULL,
	"nid" integer NOT NULL,
	"is_private" boolean NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"thread_id" text COLLATE "C" NOT NULL,
	"event_id" text NOT NULL,
	CONSTRAINT "receipts_pkey" PRIMARY KEY("nid","user_id","thread_id","is_private")
);
--> statement-breakpoint
CREATE TABLE "room_state" (
	"pos" bigint NOT NULL,
	"chunk_pos" bigint NOT NULL,
	"event_pos" bigint,
	"nid" integer NOT NULL,
	"membership" smallint NOT NULL,
	"in_timeline" boolean NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"state_key" text COLLATE "C" NOT NULL,
	CONSTRAINT "room_state_pkey" PRIMARY KEY("nid","type","state_key")
);
--> statement-breakpoint
CREATE TABLE "rooms" (
	"nid" integer PRIMARY KEY NOT NULL,
	"room_id" text COLLATE "C" NOT NULL,
	"meta" text NOT NULL,
	CONSTRAINT "rooms_room_id" UNIQUE("room_id")
);
--> statement-breakpoint
CREATE TABLE "to_device" (
	"pos" bigint NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"device_id" text COLLATE "C" NOT NULL,
	"json" "bytea" NOT NULL,
	CONSTRAINT "to_device_pkey" PRIMARY KEY("user_id","device_id","pos")
);
--> statement-breakpoint
CREATE TABLE "tokens" (
	"serial" bigint GENERATED ALWAYS AS IDENTITY (sequence name "tokens_serial_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"last_seen_ms" bigint NOT NULL,
	"hash" text COLLATE "C" PRIMARY KEY NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"device_id" text COLLATE "C" NOT NULL,
	"sealed" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "txns" (
	"seen_ms" bigint NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"device_id" text COLLATE "C" NOT NULL,
	"event_id" text COLLATE "C" NOT NULL,
	"txn_id" text NOT NULL,
	CONSTRAINT "txns_pkey" PRIMARY KEY("user_id","device_id","event_id")
);
--> statement-breakpoint
CREATE TABLE "user_rooms" (
	"member_pos" bigint NOT NULL,
	"join_pos" bigint NOT NULL,
	"join_ts" bigint NOT NULL,
	"left_pos" bigint,
	"pos" bigint NOT NULL,
	"nid" integer NOT NULL,
	"notification_count" integer NOT NULL,
	"highlight_count" integer NOT NULL,
	"membership" smallint NOT NULL,
	"is_direct" boolean NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"member_sender" text NOT NULL,
	"stripped" "bytea",
	CONSTRAINT "user_rooms_pkey" PRIMARY KEY("user_id","nid")
);
--> statement-breakpoint
CREATE INDEX "events_id_hashes" ON "events" USING gin ("id_hashes") WITH (fastupdate=false);--> statement-breakpoint
CREATE INDEX "room_state_active_members" ON "room_state" USING btree ("nid","pos") WHERE "room_state"."membership" in (1, 2);--> statement-breakpoint
CREATE INDEX "tokens_device" ON "tokens" USING btree ("user_id","device_id");--> statement-breakpoint
CREATE INDEX "txns_seen" ON "txns" USING btree ("seen_ms");