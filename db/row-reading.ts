import { invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
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

/**
 * Row of current state with the chunk its event is in. The bytes of a chunk come once, with the first row that needs them.
 */
export interface StateEventRow {
  nid: number;
  pos: number;
  event_pos: number;
  membership: number;
  in_timeline: boolean;
  first_pos: number;
  records: Uint8Array | null;
}

/**
 * Wraps a selection of `room_state` rows named `m` (nid, pos, event_pos, membership, in_timeline): adds their chunks, in
 * order of positions.
 */
export const withChunks = (selection: string): string => `
  with m as materialized (${selection}),
  placed as (
    select m.*, (
      select e.first_pos from glissade.events e
      where e.nid = m.nid and e.in_timeline = m.in_timeline and e.first_pos <= m.event_pos
      order by e.first_pos desc limit 1
    ) as first_pos
    from m
  ),
  numbered as (
    select *, row_number() over (partition by nid, in_timeline, first_pos) as occurrence from placed
  )
  select n.nid, n.pos, n.event_pos, n.membership, n.in_timeline, n.first_pos, e.records
  from numbered n
  left join glissade.events e
    on n.occurrence = 1 and e.nid = n.nid and e.in_timeline = n.in_timeline and e.first_pos = n.first_pos
  order by n.pos`;

/** The events of state rows, in the order of the rows. */
export function stateEventsOf(rows: readonly StateEventRow[]): { row: StateEventRow; event: StoredEvent }[] {
  const keyOf = ({ nid, in_timeline, first_pos }: StateEventRow): string => `${nid} ${in_timeline} ${first_pos}`;
  const chunks = new Map<string, Map<StreamPos, StoredEvent>>();
  for (const row of rows) {
    const { records } = row;
    if (records === null) continue;
    chunks.set(keyOf(row), new Map(eventsOf({ ...row, records }).map((event) => [event.pos, event])));
  }
  return rows.map((row) => {
    const event = chunks.get(keyOf(row))?.get(row.event_pos);
    invariant(event !== undefined, "the event of a state row is stored");
    return { row, event };
  });
}
