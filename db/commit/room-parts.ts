import type { StreamPos } from "#src/protocol/ids.ts";
import type { IngestTransaction } from "#src/ports/stores.ts";
import { type EventChunk, membershipCode } from "../event-chunk.ts";
import { boolArray, intArray, keyArray, packBytes, storableInt, textArray } from "../text.ts";
import { IF_GUARDED, type Part } from "./part.ts";

/** Where the event of a state row is. */
export interface EventPlace {
  pos: StreamPos;
  inTimeline: boolean;
  /** First position of its chunk. */
  chunkPos: StreamPos;
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

/** What is known of rooms. */
export function roomPart(rows: IngestTransaction["rooms"]): Part {
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

/** New chunks of events. */
export function eventPart(chunks: readonly EventChunk[], hashId: (id: string) => number): Part {
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

/** Chunks that are written again, in their place. */
export function rewrittenPart(rows: readonly RewrittenChunk[]): Part {
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

/** Current state: which event it is, and where that is. */
export function statePart(rows: IngestTransaction["state"], places: readonly EventPlace[]): Part {
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
export function removedStatePart(repairs: IngestTransaction["repairs"]): Part {
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

/** Sticky events, until they expire. */
export function stickyPart(rows: IngestTransaction["sticky"]): Part {
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
