import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  customType,
  index,
  integer,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
} from "drizzle-orm/pg-core";

/** Text compared by bytes: fast, and immune to changes of the operating system's collations. */
const key = customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' });
const bytes = customType<{ data: Uint8Array }>({ dataType: () => "bytea" });
/** Positions and times stay below 2^53. */
const int8 = (name?: string) => bigint(name ?? "", { mode: "number" });

/*
 * Tables are in the schema that the connection finds first, `public` unless its settings say otherwise, as other programs'
 * tables are: who shares a database gives Glissade a schema by `search_path`.
 */

/** Which migrations were applied. */
export const migrations = pgTable("glissade_migrations", {
  id: integer().primaryKey(),
  name: text().notNull(),
  appliedAt: timestamp("applied_at", { withTimezone: true }).notNull().defaultNow(),
});

/** The one row about the database as a whole. */
export const meta = pgTable(
  "meta",
  {
    id: smallint().primaryKey(),
    /** Random, made with the database. */
    epoch: key().notNull(),
    /** Tells a wrong secret; null until a secret was first used. */
    secretCheck: key("secret_check"),
    /** The store that may commit; whoever loaded the head last. */
    writer: key().notNull(),
    commitSeq: int8("commit_seq").notNull(),
    head: int8().notNull(),
    /** To-device positions of another server's database that were taken over, up to here: its clients name them as plain numbers. */
    importedPos: int8("imported_pos"),
    /** When the secret was last replaced by another. */
    secretRotatedMs: int8("secret_rotated_ms"),
    /** Where `db port` moved everything to, in words, and when; null = it is here. */
    movedTo: text("moved_to"),
    movedMs: int8("moved_ms"),
  },
  (t) => [check("meta_single", sql`${t.id} = 1`)],
);

/** Rooms as everybody sees them. */
export const rooms = pgTable("rooms", {
  nid: integer().primaryKey(),
  roomId: key("room_id").notNull().unique("rooms_room_id"),
  /** `RoomMeta` as JSON. */
  meta: text().notNull(),
});

/**
 * Events, in chunks: what one commit brought to one lane (timeline or not) of one room, cut at a size.
 * A first sync makes few large, compressed rows; live traffic makes small ones.
 */
export const events = pgTable(
  "events",
  {
    firstPos: int8("first_pos").notNull(),
    lastPos: int8("last_pos").notNull(),
    nid: integer().notNull(),
    eventCount: smallint("event_count").notNull(),
    inTimeline: boolean("in_timeline").notNull(),
    /** True when events are missing before one of these. */
    hasGap: boolean("has_gap").notNull(),
    /** Hashes of the event ids: they find candidates, the ids themselves are in `records`. */
    idHashes: integer("id_hashes").array().notNull(),
    /** See `event-chunk.ts`. */
    records: bytes().notNull(),
  },
  (t) => [
    primaryKey({ name: "events_pkey", columns: [t.nid, t.inTimeline, t.firstPos] }),
    index("events_id_hashes").using("gin", t.idHashes).with({ fastupdate: false }),
  ],
);

/** Current state of rooms; the event is in the chunk of this room, lane and position. */
export const roomState = pgTable(
  "room_state",
  {
    pos: int8().notNull(),
    /** First position of the chunk with the event. */
    chunkPos: int8("chunk_pos").notNull(),
    /** Position of the event, where it is not that of the change. */
    eventPos: int8("event_pos"),
    nid: integer().notNull(),
    membership: smallint().notNull(),
    inTimeline: boolean("in_timeline").notNull(),
    type: key().notNull(),
    stateKey: key("state_key").notNull(),
  },
  (t) => [
    primaryKey({ name: "room_state_pkey", columns: [t.nid, t.type, t.stateKey] }),
    // Joined and invited members, in order.
    index("room_state_active_members")
      .on(t.nid, t.pos)
      .where(sql`${t.membership} in (1, 2)`),
  ],
);

/** Standings of users that have a device with us. */
export const userRooms = pgTable(
  "user_rooms",
  {
    memberPos: int8("member_pos").notNull(),
    joinPos: int8("join_pos").notNull(),
    joinTs: int8("join_ts").notNull(),
    leftPos: int8("left_pos"),
    pos: int8().notNull(),
    nid: integer().notNull(),
    notificationCount: integer("notification_count").notNull(),
    highlightCount: integer("highlight_count").notNull(),
    membership: smallint().notNull(),
    isDirect: boolean("is_direct").notNull(),
    userId: key("user_id").notNull(),
    memberSender: text("member_sender").notNull(),
    stripped: bytes(),
  },
  (t) => [
    primaryKey({ name: "user_rooms_pkey", columns: [t.userId, t.nid] }),
    // Who of ours is in a room: for repairs.
    index("user_rooms_joined")
      .on(t.nid)
      .where(sql`${t.membership} = 1`),
  ],
);

/** Read receipts: the latest of each user, thread and kind. */
export const receipts = pgTable(
  "receipts",
  {
    pos: int8().notNull(),
    ts: int8().notNull(),
    nid: integer().notNull(),
    isPrivate: boolean("is_private").notNull(),
    userId: key("user_id").notNull(),
    threadId: key("thread_id").notNull(),
    eventId: text("event_id").notNull(),
  },
  (t) => [primaryKey({ name: "receipts_pkey", columns: [t.nid, t.userId, t.threadId, t.isPrivate] })],
);

/** Events that are sticky until they expire (MSC4354), be they in a timeline or not; no `json` = redacted. */
export const stickyEvents = pgTable(
  "sticky_events",
  {
    pos: int8().notNull(),
    expiresMs: int8("expires_ms").notNull(),
    nid: integer().notNull(),
    eventId: key("event_id").notNull(),
    sender: text().notNull(),
    json: bytes().notNull(),
  },
  (t) => [
    primaryKey({ name: "sticky_events_pkey", columns: [t.nid, t.eventId] }),
    index("sticky_events_expiry").on(t.expiresMs),
  ],
);

/** Account data; `nid` 0 = global. */
export const accountData = pgTable(
  "account_data",
  {
    pos: int8().notNull(),
    nid: integer().notNull(),
    userId: key("user_id").notNull(),
    type: key().notNull(),
    json: bytes().notNull(),
  },
  (t) => [primaryKey({ name: "account_data_pkey", columns: [t.userId, t.nid, t.type] })],
);

/** To-device messages that their device has not acknowledged. */
export const toDevice = pgTable(
  "to_device",
  {
    pos: int8().notNull(),
    userId: key("user_id").notNull(),
    deviceId: key("device_id").notNull(),
    json: bytes().notNull(),
  },
  (t) => [primaryKey({ name: "to_device_pkey", columns: [t.userId, t.deviceId, t.pos] })],
);

/** Device-list changes that their device has not acknowledged; the latest of each target. */
export const deviceLists = pgTable(
  "device_lists",
  {
    pos: int8().notNull(),
    hasLeft: boolean("has_left").notNull(),
    userId: key("user_id").notNull(),
    deviceId: key("device_id").notNull(),
    target: key().notNull(),
  },
  (t) => [primaryKey({ name: "device_lists_pkey", columns: [t.userId, t.deviceId, t.target] })],
);

/** Key counts of devices, as the JSON the homeserver sent. */
export const deviceKeys = pgTable(
  "device_keys",
  {
    /** Last change of the counts. */
    pos: int8().notNull(),
    /** Last change of the fallback keys. */
    fallbackPos: int8("fallback_pos").notNull().default(0),
    userId: key("user_id").notNull(),
    deviceId: key("device_id").notNull(),
    otkCounts: text("otk_counts"),
    fallbackKeyTypes: text("fallback_key_types"),
  },
  (t) => [primaryKey({ name: "device_keys_pkey", columns: [t.userId, t.deviceId] })],
);

/** Devices, and how far each was polled. */
export const devices = pgTable(
  "devices",
  {
    userId: key("user_id").notNull(),
    deviceId: key("device_id").notNull(),
    since: text(),
    /** Where the stream stood when `since` was stored; null = it is not known. */
    sincePos: int8("since_pos"),
    /** When it was first seen to have no token; null while it has one, 0 = what was kept for it is deleted. */
    tokenlessMs: int8("tokenless_ms"),
    /** `since` came without rooms, from another database: they are still to be read. 2 = and it has moved since then. */
    roomsDue: smallint("rooms_due").notNull().default(0),
    /** The newest to-device position taken over from another server's database. */
    importedPos: int8("imported_pos"),
    /** Where that server was with it then. */
    importedSince: text("imported_since"),
    /** Since when an operator has its poller paused. */
    pausedMs: int8("paused_ms"),
  },
  (t) => [
    primaryKey({ name: "devices_pkey", columns: [t.userId, t.deviceId] }),
    index("devices_tokenless")
      .on(t.tokenlessMs)
      .where(sql`${t.tokenlessMs} > 0`),
  ],
);

/** Access tokens, sealed. */
export const tokens = pgTable(
  "tokens",
  {
    /** Grows with every proof: the highest of a device is its newest. */
    serial: bigint({ mode: "number" }).notNull().generatedAlwaysAsIdentity(),
    lastSeenMs: int8("last_seen_ms").notNull(),
    hash: key().primaryKey(),
    userId: key("user_id").notNull(),
    deviceId: key("device_id").notNull(),
    sealed: bytes().notNull(),
  },
  (t) => [index("tokens_device").on(t.userId, t.deviceId)],
);

/** Filters uploaded to the homeserver. */
export const filters = pgTable(
  "filters",
  {
    userId: key("user_id").notNull(),
    filterHash: key("filter_hash").notNull(),
    filterId: text("filter_id").notNull(),
  },
  (t) => [primaryKey({ name: "filters_pkey", columns: [t.userId, t.filterHash] })],
);

/** Transaction ids of events that a device of ours sent. */
export const txns = pgTable(
  "txns",
  {
    seenMs: int8("seen_ms").notNull(),
    userId: key("user_id").notNull(),
    deviceId: key("device_id").notNull(),
    eventId: key("event_id").notNull(),
    txnId: text("txn_id").notNull(),
  },
  (t) => [
    primaryKey({ name: "txns_pkey", columns: [t.userId, t.deviceId, t.eventId] }),
    index("txns_seen").on(t.seenMs),
  ],
);

/** Sliding sync connections. */
export const connections = pgTable(
  "connections",
  {
    lastUsedMs: int8("last_used_ms").notNull(),
    userId: key("user_id").notNull(),
    deviceId: key("device_id").notNull(),
    connId: key("conn_id").notNull(),
    incarnation: text().notNull(),
    params: text().notNull(),
    cursors: text().notNull(),
    /** How far the client has what its device's connections share; null = this one does not read it. */
    toDevicePos: int8("to_device_pos"),
    deviceListsPos: int8("device_lists_pos"),
  },
  (t) => [primaryKey({ name: "connections_pkey", columns: [t.userId, t.deviceId, t.connId] })],
);

/** What operators asked to have compared with the homeserver; the newest rows only. */
export const repairs = pgTable("repairs", {
  id: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  askedMs: int8("asked_ms").notNull(),
  /** null while it is not done. */
  endedMs: int8("ended_ms"),
  /** `room`, `user` or `all`. */
  kind: text().notNull(),
  /** Room or user; "" for all. */
  target: text().notNull(),
  /** Rooms to look at, looked at, and of those the ones that could not be compared. */
  total: integer().notNull(),
  done: integer().notNull(),
  failed: integer().notNull(),
  /** Highest room number that is done: a restart goes on behind it. */
  cursor: integer().notNull(),
});

/** What operators did by the admin listener; the newest rows only. */
export const audit = pgTable("audit", {
  id: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  atMs: int8("at_ms").notNull(),
  action: text().notNull(),
  target: text().notNull(),
  /** Address it came from. */
  remote: text().notNull(),
  /** `done`, or why not. */
  result: text().notNull(),
});

/** What was skipped, for the operator to look at; the newest rows only. */
export const quarantine = pgTable("quarantine", {
  id: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  seenMs: int8("seen_ms").notNull(),
  userId: text("user_id").notNull(),
  deviceId: text("device_id").notNull(),
  roomId: text("room_id"),
  section: text().notNull(),
  reason: text().notNull(),
  sample: text().notNull(),
});
