import { invariant } from "#src/errors.ts";
import type { Membership, StoredEvent } from "#src/protocol/events.ts";
import type { RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { Hero, RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import { sharedText } from "#src/protocol/shared-text.ts";
import type { Database } from "./connection.ts";
import { decodeChunk, membershipOf } from "./event-chunk.ts";
import { keyArray, originalText } from "./text.ts";

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
    userId: sharedText(originalText(row.user_id)) as UserId,
    nid: row.nid as RoomNid,
    membership,
    memberPos: row.member_pos,
    memberSender: sharedText(originalText(row.member_sender)),
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

/** What metadata that was stored before these members existed says of them. */
type LaterMember =
  | "awaitedRedactions"
  | "sharedSince"
  | "gapEventId"
  | "seams"
  | "openGaps"
  | "lacksAlgorithm"
  | "vanished"
  | "vanishedUpTo"
  | "leavers";
const LATER_MEMBERS: Pick<RoomMeta, LaterMember> = {
  awaitedRedactions: [],
  sharedSince: null,
  gapEventId: null,
  seams: [],
  openGaps: [],
  lacksAlgorithm: false,
  vanished: [],
  vanishedUpTo: 0,
  leavers: [],
};

export function roomMetaOf(row: { meta: string }): RoomMeta {
  const meta: RoomMeta = { ...LATER_MEMBERS, ...(JSON.parse(row.meta) as RoomMeta) };
  meta.heroes = meta.heroes.map(withSharedTexts);
  meta.leavers = meta.leavers.map(withSharedTexts);
  return meta;
}

/** Members are heroes of many rooms. */
const withSharedTexts = ({ userId, displayName, avatarUrl, membership }: Hero): Hero => ({
  userId: sharedText(userId),
  displayName: displayName === null ? null : sharedText(displayName),
  avatarUrl: avatarUrl === null ? null : sharedText(avatarUrl),
  membership,
});

/** Metadata of those of the rooms that there are. */
export async function loadRoomMetas(db: Database, roomIds: readonly RoomId[]): Promise<RoomMeta[]> {
  if (roomIds.length === 0) return [];
  const rows = await db.query<{ meta: string }>("select meta from rooms where room_id = any($1::text[])", [
    keyArray(roomIds),
  ]);
  return rows.map(roomMetaOf);
}

/** A row of `events` as far as it is needed to unpack it. */
export interface ChunkRow {
  nid: number;
  in_timeline: boolean;
  first_pos: number;
  records: Uint8Array;
}

/** The events of a row; only those at `wanted` positions when these are given. */
export function eventsOf(row: ChunkRow, wanted?: ReadonlySet<StreamPos>): StoredEvent[] {
  const { nid, in_timeline: inTimeline, first_pos: firstPos, records } = row;
  return decodeChunk({ nid: nid as RoomNid, inTimeline, firstPos, records }, wanted);
}

/** A chunk with events of the current state, and which: `pos:event_pos:membership`, separated by commas. */
export interface StateChunkRow extends ChunkRow {
  places: string;
}

/** One row of current state with its event. */
export interface StateEvent {
  /** Position of the change. */
  pos: StreamPos;
  membership: Membership | null;
  event: StoredEvent;
}

/** Columns of `room_state s` that `withChunks` takes. */
export const STATE_COLUMNS = "s.nid, s.in_timeline, s.chunk_pos, s.pos, s.event_pos, s.membership";

/** The chunks of a selection of `STATE_COLUMNS`: few rows of a few columns, however many the selection has. */
export const withChunks = (selection: string): string => `
  with c as materialized (
    select s.nid, s.in_timeline, s.chunk_pos as first_pos,
      string_agg(s.pos || ':' || coalesce(s.event_pos, s.pos) || ':' || s.membership, ',') as places
    from (${selection}) s group by s.nid, s.in_timeline, s.chunk_pos
  )
  select c.*, e.records from c
  cross join lateral (
    select e.records from events e
    where e.nid = c.nid and e.in_timeline = c.in_timeline and e.first_pos = c.first_pos limit 1
  ) e`;

/** The state in these chunks, in order of positions. What the selection had twice comes twice. */
export function stateEventsOf(rows: readonly StateChunkRow[]): StateEvent[] {
  const found: StateEvent[] = [];
  for (const row of rows) {
    const places = row.places.split(",").map((place) => place.split(":").map(Number) as [number, number, number]);
    const events = new Map<StreamPos, StoredEvent>();
    for (const event of eventsOf(row, new Set(places.map(([, eventPos]) => eventPos)))) events.set(event.pos, event);
    for (const [pos, eventPos, membership] of places) {
      const event = events.get(eventPos);
      invariant(event !== undefined, "the event of a state row is stored");
      found.push({ pos, membership: membershipOf(membership), event });
    }
  }
  return found.sort((a, b) => a.pos - b.pos);
}
