import type { StreamPos } from "#src/protocol/ids.ts";
import type { IngestTransaction } from "#src/ports/stores.ts";
import type { Param } from "./connection.ts";
import { type EventChunk, membershipCode } from "./event-chunk.ts";
import { boolArray, intArray, keyArray, packBytes, storableCount, storableInt, textArray } from "./text.ts";

/** Quarantined samples kept; older ones go. */
const QUARANTINE_LIMIT = 1000;

/** Code in `devices`: `since` has moved here, but rooms were not read yet. */
const ROOMS_STILL_DUE = 2;

/** Where the event of a state row is. */
export interface EventPlace {
  pos: StreamPos;
  inTimeline: boolean;
  /** First position of its chunk. */
  chunkPos: StreamPos;
}

/** One part of the statement: what it writes, and whether this commit has any of it. */
interface Part {
  name: string;
  isEmpty: boolean;
  sql: (param: (value: Param, type: string) => string) => string;
}

const IF_GUARDED = "where exists (select from guard)";
const owners = (rows: readonly { userId: string; deviceId: string }[]): [users: string, devices: string] => [
  keyArray(rows.map((row) => row.userId)),
  keyArray(rows.map((row) => row.deviceId)),
];

function roomPart(rows: IngestTransaction["rooms"]): Part {
  return {
    name: "rooms",
    isEmpty: rows.length === 0,
    sql: (param) => `
      insert into rooms as r (nid, room_id, meta)
      select * from unnest(
        ${param(intArray(rows.map(({ meta }) => meta.nid)), "int4[]")},
        ${param(keyArray(rows.map(({ meta }) => meta.roomId)), "text[]")},
        ${param(textArray(rows.map(({ meta }) => JSON.stringify(meta))), "text[]")}
      ) ${IF_GUARDED}
      on conflict (nid) do update set meta = excluded.meta`,
  };
}

function eventPart(chunks: readonly EventChunk[], hashId: (id: string) => number): Part {
  return {
    name: "events",
    isEmpty: chunks.length === 0,
    sql: (param) => {
      const { blob, offsets, lengths } = packBytes(chunks.map(({ records }) => records));
      const bytes = param(blob, "bytea");
      return `
      insert into events
        (nid, in_timeline, has_gap, first_pos, last_pos, event_count, id_hashes, records)
      select nid, in_timeline, has_gap, first_pos, last_pos, event_count, id_hashes::int4[],
        substring(${bytes} from start for length)
      from unnest(
        ${param(intArray(chunks.map(({ nid }) => nid)), "int4[]")},
        ${param(boolArray(chunks.map(({ inTimeline }) => inTimeline)), "bool[]")},
        ${param(boolArray(chunks.map(({ hasGap }) => hasGap)), "bool[]")},
        ${param(intArray(chunks.map(({ firstPos }) => firstPos)), "int8[]")},
        ${param(intArray(chunks.map(({ lastPos }) => lastPos)), "int8[]")},
        ${param(intArray(chunks.map(({ events }) => events.length)), "int2[]")},
        ${param(textArray(chunks.map(({ events }) => intArray(events.map(({ id }) => hashId(id))))), "text[]")},
        ${param(intArray(offsets), "int4[]")},
        ${param(intArray(lengths), "int4[]")}
      ) c (nid, in_timeline, has_gap, first_pos, last_pos, event_count, id_hashes, start, length) ${IF_GUARDED}`;
    },
  };
}

/** A row of `events` that is written again, in its place. */
export interface RewrittenChunk {
  nid: number;
  inTimeline: boolean;
  firstPos: StreamPos;
  /** Of what is left in it. */
  eventCount: number;
  hasGap: boolean;
  records: Uint8Array;
}

function rewrittenPart(rows: readonly RewrittenChunk[]): Part {
  return {
    name: "rewritten",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const { blob, offsets, lengths } = packBytes(rows.map(({ records }) => records));
      const bytes = param(blob, "bytea");
      return `
      update events e set records = substring(${bytes} from c.start for c.length), event_count = c.event_count,
        has_gap = e.has_gap or c.has_gap
      from unnest(
        ${param(intArray(rows.map(({ nid }) => nid)), "int4[]")},
        ${param(boolArray(rows.map(({ inTimeline }) => inTimeline)), "bool[]")},
        ${param(intArray(rows.map(({ firstPos }) => firstPos)), "int8[]")},
        ${param(intArray(rows.map(({ eventCount }) => eventCount)), "int2[]")},
        ${param(boolArray(rows.map(({ hasGap }) => hasGap)), "bool[]")},
        ${param(intArray(offsets), "int4[]")},
        ${param(intArray(lengths), "int4[]")}
      ) c (nid, in_timeline, first_pos, event_count, has_gap, start, length) ${IF_GUARDED}
        and e.nid = c.nid and e.in_timeline = c.in_timeline and e.first_pos = c.first_pos`;
    },
  };
}

function statePart(rows: IngestTransaction["state"], places: readonly EventPlace[]): Part {
  return {
    name: "state",
    isEmpty: rows.length === 0,
    sql: (param) => `
      insert into room_state as s (nid, type, state_key, pos, chunk_pos, event_pos, membership, in_timeline)
      select * from unnest(
        ${param(intArray(rows.map(({ nid }) => nid)), "int4[]")},
        ${param(keyArray(rows.map(({ type }) => type)), "text[]")},
        ${param(keyArray(rows.map(({ stateKey }) => stateKey)), "text[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(places.map(({ chunkPos }) => chunkPos)), "int8[]")},
        ${param(intArray(rows.map(({ pos }, i) => (places[i]?.pos === pos ? null : (places[i]?.pos ?? null)))), "int8[]")},
        ${param(intArray(rows.map(({ membership }) => membershipCode(membership))), "int2[]")},
        ${param(boolArray(places.map(({ inTimeline }) => inTimeline)), "bool[]")}
      ) ${IF_GUARDED}
      on conflict (nid, type, state_key) do update set
        pos = excluded.pos, chunk_pos = excluded.chunk_pos, event_pos = excluded.event_pos,
        membership = excluded.membership, in_timeline = excluded.in_timeline`,
  };
}

/** Rows that a repair takes away; a row is never written by the same commit. */
function removedStatePart(repairs: IngestTransaction["repairs"]): Part {
  const rows = repairs.flatMap(({ nid, removed }) => removed.map((key) => ({ nid, ...key })));
  return {
    name: "removed_state",
    isEmpty: rows.length === 0,
    sql: (param) => `
      delete from room_state s using unnest(
        ${param(intArray(rows.map(({ nid }) => nid)), "int4[]")},
        ${param(keyArray(rows.map(({ type }) => type)), "text[]")},
        ${param(keyArray(rows.map(({ stateKey }) => stateKey)), "text[]")}
      ) r (nid, type, state_key)
      where exists (select from guard) and s.nid = r.nid and s.type = r.type and s.state_key = r.state_key`,
  };
}

function userRoomPart(rows: IngestTransaction["userRooms"]): Part {
  return {
    name: "user_rooms",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const { blob, offsets, lengths } = packBytes(rows.map(({ stripped }) => stripped));
      const bytes = param(blob, "bytea");
      return `
      insert into user_rooms as u
        (user_id, nid, membership, member_pos, member_sender, join_pos, join_ts, left_pos, is_direct,
         notification_count, highlight_count, pos, stripped)
      select user_id, nid, membership, member_pos, member_sender, join_pos, join_ts, left_pos, is_direct,
        notification_count, highlight_count, pos, substring(${bytes} from start for length)
      from unnest(
        ${param(keyArray(rows.map(({ userId }) => userId)), "text[]")},
        ${param(intArray(rows.map(({ nid }) => nid)), "int4[]")},
        ${param(intArray(rows.map(({ membership }) => membershipCode(membership))), "int2[]")},
        ${param(intArray(rows.map(({ memberPos }) => memberPos)), "int8[]")},
        ${param(textArray(rows.map(({ memberSender }) => memberSender)), "text[]")},
        ${param(intArray(rows.map(({ joinPos }) => joinPos)), "int8[]")},
        ${param(intArray(rows.map(({ joinTs }) => storableInt(joinTs))), "int8[]")},
        ${param(intArray(rows.map(({ leftPos }) => leftPos)), "int8[]")},
        ${param(boolArray(rows.map(({ isDirect }) => isDirect)), "bool[]")},
        ${param(intArray(rows.map((row) => storableCount(row.notificationCount))), "int4[]")},
        ${param(intArray(rows.map((row) => storableCount(row.highlightCount))), "int4[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(offsets), "int4[]")},
        ${param(intArray(lengths), "int4[]")}
      ) c (user_id, nid, membership, member_pos, member_sender, join_pos, join_ts, left_pos, is_direct,
           notification_count, highlight_count, pos, start, length) ${IF_GUARDED}
      on conflict (user_id, nid) do update set
        membership = excluded.membership, member_pos = excluded.member_pos, member_sender = excluded.member_sender,
        join_pos = excluded.join_pos, join_ts = excluded.join_ts, left_pos = excluded.left_pos,
        is_direct = excluded.is_direct, notification_count = excluded.notification_count,
        highlight_count = excluded.highlight_count, pos = excluded.pos, stripped = excluded.stripped`;
    },
  };
}

function receiptPart(rows: IngestTransaction["receipts"]): Part {
  return {
    name: "receipts",
    isEmpty: rows.length === 0,
    sql: (param) => `
      insert into receipts as r (nid, user_id, thread_id, is_private, event_id, ts, pos)
      select * from unnest(
        ${param(intArray(rows.map(({ nid }) => nid)), "int4[]")},
        ${param(keyArray(rows.map(({ userId }) => userId)), "text[]")},
        ${param(keyArray(rows.map(({ threadId }) => threadId)), "text[]")},
        ${param(boolArray(rows.map(({ isPrivate }) => isPrivate)), "bool[]")},
        ${param(textArray(rows.map(({ eventId }) => eventId)), "text[]")},
        ${param(intArray(rows.map(({ ts }) => storableInt(ts))), "int8[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")}
      ) ${IF_GUARDED}
      on conflict (nid, user_id, thread_id, is_private) do update set
        event_id = excluded.event_id, ts = excluded.ts, pos = excluded.pos`,
  };
}

function stickyPart(rows: IngestTransaction["sticky"]): Part {
  return {
    name: "sticky",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const { blob, offsets, lengths } = packBytes(rows.map(({ json }) => json));
      const bytes = param(blob, "bytea");
      return `
      insert into sticky_events as s (nid, event_id, sender, expires_ms, pos, json)
      select nid, event_id, sender, expires_ms, pos, substring(${bytes} from start for length)
      from unnest(
        ${param(intArray(rows.map(({ nid }) => nid)), "int4[]")},
        ${param(keyArray(rows.map(({ id }) => id)), "text[]")},
        ${param(textArray(rows.map(({ sender }) => sender)), "text[]")},
        ${param(intArray(rows.map(({ expiresMs }) => storableInt(expiresMs))), "int8[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(offsets), "int4[]")},
        ${param(intArray(lengths), "int4[]")}
      ) c (nid, event_id, sender, expires_ms, pos, start, length) ${IF_GUARDED}
      on conflict (nid, event_id) do update set pos = excluded.pos, expires_ms = excluded.expires_ms, json = excluded.json`;
    },
  };
}

function accountDataPart(rows: IngestTransaction["accountData"]): Part {
  return {
    name: "account_data",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const { blob, offsets, lengths } = packBytes(rows.map(({ json }) => json));
      const bytes = param(blob, "bytea");
      return `
      insert into account_data as a (user_id, nid, type, pos, json)
      select user_id, nid, type, pos, substring(${bytes} from start for length)
      from unnest(
        ${param(keyArray(rows.map(({ userId }) => userId)), "text[]")},
        ${param(intArray(rows.map(({ roomNid }) => roomNid)), "int4[]")},
        ${param(keyArray(rows.map(({ type }) => type)), "text[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(offsets), "int4[]")},
        ${param(intArray(lengths), "int4[]")}
      ) c (user_id, nid, type, pos, start, length) ${IF_GUARDED}
      on conflict (user_id, nid, type) do update set pos = excluded.pos, json = excluded.json`;
    },
  };
}

function toDevicePart(rows: IngestTransaction["toDevice"]): Part {
  return {
    name: "to_device",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      const { blob, offsets, lengths } = packBytes(rows.map(({ json }) => json));
      const bytes = param(blob, "bytea");
      return `
      insert into to_device (user_id, device_id, pos, json)
      select user_id, device_id, pos, substring(${bytes} from start for length)
      from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(offsets), "int4[]")},
        ${param(intArray(lengths), "int4[]")}
      ) c (user_id, device_id, pos, start, length) ${IF_GUARDED}`;
    },
  };
}

function deviceListPart(rows: IngestTransaction["deviceLists"]): Part {
  return {
    name: "device_lists",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into device_lists as d (user_id, device_id, target, has_left, pos)
      select * from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(keyArray(rows.map(({ target }) => target)), "text[]")},
        ${param(boolArray(rows.map(({ change }) => change === "left")), "bool[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")}
      ) ${IF_GUARDED}
      on conflict (user_id, device_id, target) do update set has_left = excluded.has_left, pos = excluded.pos`;
    },
  };
}

function deviceKeyPart(rows: IngestTransaction["deviceKeys"]): Part {
  return {
    name: "device_keys",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into device_keys as d (user_id, device_id, otk_counts, fallback_key_types, pos, fallback_pos)
      select n.*, n.pos from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(textArray(rows.map(({ otkCounts }) => otkCounts)), "text[]")},
        ${param(textArray(rows.map(({ fallbackKeyTypes }) => fallbackKeyTypes)), "text[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")}
      ) n (user_id, device_id, otk_counts, fallback_key_types, pos) ${IF_GUARDED}
      on conflict (user_id, device_id) do update set
        otk_counts = coalesce(excluded.otk_counts, d.otk_counts),
        pos = case when excluded.otk_counts is null then d.pos else excluded.pos end,
        fallback_key_types = coalesce(excluded.fallback_key_types, d.fallback_key_types),
        fallback_pos = case when excluded.fallback_key_types is null then d.fallback_pos else excluded.pos end`;
    },
  };
}

function txnPart(rows: IngestTransaction["txns"]): Part {
  return {
    name: "txns",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into txns as t (user_id, device_id, event_id, txn_id, seen_ms)
      select * from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(keyArray(rows.map(({ eventId }) => eventId)), "text[]")},
        ${param(textArray(rows.map(({ txnId }) => txnId)), "text[]")},
        ${param(intArray(rows.map(({ nowMs }) => storableInt(nowMs))), "int8[]")}
      ) ${IF_GUARDED}
      on conflict (user_id, device_id, event_id) do update set txn_id = excluded.txn_id, seen_ms = excluded.seen_ms`;
    },
  };
}

function quarantinePart(all: IngestTransaction["quarantine"]): Part {
  const rows = all.slice(-QUARANTINE_LIMIT);
  return {
    name: "quarantine",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into quarantine (user_id, device_id, seen_ms, room_id, section, reason, sample)
      select * from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(intArray(rows.map(({ nowMs }) => storableInt(nowMs))), "int8[]")},
        ${param(textArray(rows.map(({ roomId }) => roomId)), "text[]")},
        ${param(textArray(rows.map(({ section }) => section)), "text[]")},
        ${param(textArray(rows.map(({ reason }) => reason)), "text[]")},
        ${param(textArray(rows.map(({ sample }) => sample)), "text[]")}
      ) ${IF_GUARDED}
      returning 1`;
    },
  };
}

/** Parts of one statement see the table as it was before: what is about to be added counts against the limit. */
function quarantineTrimPart(rows: IngestTransaction["quarantine"]): Part {
  const room = Math.max(0, QUARANTINE_LIMIT - rows.length);
  return {
    name: "quarantine_trim",
    isEmpty: rows.length === 0,
    sql: (param) => `
      delete from quarantine q where exists (select from guard) and q.id <= coalesce(
        (select k.id from quarantine k order by k.id desc offset ${param(room, "int8")} limit 1), 0)`,
  };
}

function sincePart(rows: IngestTransaction["sinces"]): Part {
  return {
    name: "sinces",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into devices as d (user_id, device_id, since, since_pos, rooms_due)
      select * from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(textArray(rows.map(({ since }) => since)), "text[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(rows.map(({ roomsAreDue }) => (roomsAreDue === true ? ROOMS_STILL_DUE : 0))), "int2[]")}
      ) ${IF_GUARDED}
      on conflict (user_id, device_id) do update set since = excluded.since, since_pos = excluded.since_pos,
        rooms_due = excluded.rooms_due`;
    },
  };
}

/** Combinations of parts that are prepared on a connection; beyond them, one statement with all parts serves the rest. */
const MAX_COMBINATIONS = 40;

/**
 * Makes the one statement that a commit is: all parts are written, or, when the guard does not hold, none. One statement
 * is one round trip, and has no connection to lose between a `begin` and a `commit`.
 */
export class CommitStatements {
  readonly #combinations = new Set<string>();
  readonly #hashId: (id: string) => number;

  constructor(hashId: (id: string) => number) {
    this.#hashId = hashId;
  }

  build(
    tx: IngestTransaction,
    chunks: readonly EventChunk[],
    places: readonly EventPlace[],
    rewritten: readonly RewrittenChunk[],
    guard: { writer: string; commitSeq: number },
  ): { text: string; params: Param[] } {
    const parts = [
      roomPart(tx.rooms),
      eventPart(chunks, this.#hashId),
      rewrittenPart(rewritten),
      statePart(tx.state, places),
      removedStatePart(tx.repairs),
      userRoomPart(tx.userRooms),
      receiptPart(tx.receipts),
      stickyPart(tx.sticky),
      accountDataPart(tx.accountData),
      toDevicePart(tx.toDevice),
      deviceListPart(tx.deviceLists),
      deviceKeyPart(tx.deviceKeys),
      txnPart(tx.txns),
      quarantinePart(tx.quarantine),
      quarantineTrimPart(tx.quarantine),
      sincePart(tx.sinces),
    ];
    const params: Param[] = [];
    const param = (value: Param, type: string): string => `$${params.push(value)}::${type}`;
    const clauses = [
      `guard as (
        update meta set head = ${param(tx.head, "int8")}, commit_seq = commit_seq + 1
        where writer = ${param(guard.writer, "text")} and commit_seq = ${param(guard.commitSeq, "int8")}
          and head <= ${param(tx.head, "int8")}
        returning 1
      )`,
    ];
    for (const part of this.#chosen(parts)) {
      // No clause is named like the table it writes: a name without schema would mean the clause.
      clauses.push(`write_${part.name} as (${part.sql(param)})`);
    }
    return { text: `with ${clauses.join(",\n")}\nselect count(*)::int4 as committed from guard`, params };
  }

  #chosen(parts: readonly Part[]): readonly Part[] {
    const present = parts.filter(({ isEmpty }) => !isEmpty);
    const key = present.map(({ name }) => name).join(" ");
    if (this.#combinations.has(key)) return present;
    if (this.#combinations.size >= MAX_COMBINATIONS) return parts;
    this.#combinations.add(key);
    return present;
  }
}
