import { invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { RoomNid, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import { decodeChunk, membershipOf } from "./event-chunk.ts";
import { originalText } from "./text.ts";

/** Columns of `user_rooms` in the order of `UserRoomRow`. */
export const USER_ROOM_COLUMNS =
  "u.member_pos, u.join_pos, u.join_ts, u.left_pos, u.pos, u.nid, u.notification_count, u.highlight_count, " +
  "u.membership, u.is_direct, u.user_id, u.member_sender, u.stripped";

/** A row of `user_rooms` as the driver gives it. */
export interface UserRoomRow {
  member_pos: number;
  join_pos: number;
  join_ts: number;
  left_pos: number | null;
  pos: number;
  nid: number;
  notification_count: number;
  highlight_count: number;
  membership: number;
  is_direct: boolean;
  user_id: string;
  member_sender: string;
  stripped: Uint8Array | null;
}

export function userRoomOf(row: UserRoomRow): UserRoom {
  const membership = membershipOf(row.membership);
  invariant(membership !== null, "a standing has a membership");
  return {
    userId: originalText(row.user_id) as UserId,
    nid: row.nid as RoomNid,
    membership,
    memberPos: row.member_pos,
    memberSender: originalText(row.member_sender),
    joinPos: row.join_pos,
    joinTs: row.join_ts,
    leftPos: row.left_pos,
    stripped: row.stripped,
    isDirect: row.is_direct,
    notificationCount: row.notification_count,
    highlightCount: row.highlight_count,
    pos: row.pos,
  };
}

export const roomMetaOf = (row: { meta: string }): RoomMeta => JSON.parse(row.meta) as RoomMeta;

/** A row of `events` as far as it is needed to unpack it. */
export interface ChunkRow {
  nid: number;
  in_timeline: boolean;
  first_pos: number;
  records: Uint8Array;
}

export function eventsOf(row: ChunkRow): StoredEvent[] {
  return decodeChunk({
    nid: row.nid as RoomNid,
    inTimeline: row.in_timeline,
    firstPos: row.first_pos,
    records: row.records,
  });
}

/** A row of current state (`records` null), or a chunk that holds the events of some of them. */
export interface StateEventRow {
  nid: number;
  in_timeline: boolean;
  chunk_pos: number;
  pos: number;
  event_pos: number;
  membership: number;
  records: Uint8Array | null;
}

/** Columns of `room_state s` that `withChunks` takes. */
export const STATE_COLUMNS =
  "s.nid, s.in_timeline, s.chunk_pos, s.pos, coalesce(s.event_pos, s.pos) as event_pos, s.membership";

/** Adds to a selection of `STATE_COLUMNS` the chunks of their events, each once. */
export const withChunks = (selection: string): string => `
  with m as materialized (${selection})
  select m.*, null::bytea as records from m
  union all
  select c.nid, c.in_timeline, c.chunk_pos, 0, 0, 0::int2, e.records
  from (select distinct nid, in_timeline, chunk_pos from m) c
  cross join lateral (
    select e.records from glissade.events e
    where e.nid = c.nid and e.in_timeline = c.in_timeline and e.first_pos = c.chunk_pos limit 1
  ) e`;

/** The events of state rows, in the order of the rows' positions. */
export function stateEventsOf(rows: readonly StateEventRow[]): { row: StateEventRow; event: StoredEvent }[] {
  const events = new Map<string, StoredEvent>();
  const state: StateEventRow[] = [];
  for (const row of rows) {
    const { records } = row;
    if (records === null) {
      state.push(row);
      continue;
    }
    for (const event of eventsOf({ ...row, first_pos: row.chunk_pos, records })) {
      events.set(`${event.nid} ${event.pos}`, event);
    }
  }
  return state
    .sort((a, b) => a.pos - b.pos)
    .map((row) => {
      const event = events.get(`${row.nid} ${row.event_pos}`);
      invariant(event !== undefined, "the event of a state row is stored");
      return { row, event };
    });
}
