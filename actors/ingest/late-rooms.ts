import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { UserRoom } from "#src/protocol/room-meta.ts";
import type { IngestStore } from "#src/ports/stores.ts";
import { certaintyOf, isPlaceable, wasInside } from "#src/state/chunk.ts";
import { standingKey } from "#src/state/ingest-context.ts";
import type { KnownChunk } from "./group-context.ts";

/** Newest events of a room that a late one may belong before; one that is older still is left to paging back. */
const TAIL_EVENTS = 100;

/** What is known by now, and where what is found goes. */
interface Found {
  isKnownEvent(eventId: EventId): boolean;
  userRoom(userId: UserId, nid: RoomNid): UserRoom | null;
  polledAt(userId: UserId, deviceId: DeviceId): StreamPos;
  readonly events: Set<EventId>;
  readonly standings: Map<string, UserRoom>;
  readonly tails: Map<RoomNid, readonly StoredEvent[]>;
  readonly standingsInTails: Map<RoomNid, UserRoom[]>;
}

/** Reads the end of the timelines of these rooms, and who begins or ends a stay there. */
export async function loadTails(
  store: Pick<IngestStore, "loadTimelines" | "loadStays" | "loadUserRooms">,
  nids: ReadonlySet<RoomNid>,
  found: Found,
): Promise<void> {
  const queries = [...nids].map((nid) => ({ nid, upTo: Number.MAX_SAFE_INTEGER, limit: TAIL_EVENTS }));
  const begins: { nid: RoomNid; from: StreamPos }[] = [];
  const members: { userId: UserId; nid: RoomNid }[] = [];
  for (const { nid, events } of await store.loadTimelines(queries)) {
    found.tails.set(nid, events);
    begins.push({ nid, from: events[0]?.pos ?? 0 });
    for (const { id, type, stateKey } of events) {
      found.events.add(id);
      if (type === "m.room.member" && stateKey !== null) members.push({ userId: stateKey as UserId, nid });
    }
  }
  const stays = await Promise.all([store.loadStays(begins), members.length === 0 ? [] : store.loadUserRooms(members)]);
  for (const standing of stays.flat()) {
    const { userId, nid } = standing;
    found.standings.set(standingKey(userId, nid), standing);
    found.standingsInTails.set(nid, [...(found.standingsInTails.get(nid) ?? []), standing]);
  }
}

/** Rooms in which something of a group may belong further up among what is stored. Mostly none. */
export function lateRooms(
  chunks: readonly KnownChunk[],
  known: Pick<Found, "isKnownEvent" | "userRoom" | "polledAt">,
): Set<RoomNid> {
  const late = new Set<RoomNid>();
  /** What chunks before it in the group bring to the same room, and whether they may have skipped something. */
  const earlier = new Map<RoomNid, { ids: Set<EventId>; isSeam: boolean }>();
  for (const { batch, section, meta } of chunks) {
    const { timeline, state, limited } = section;
    const before = earlier.get(meta.nid);
    const isKnown = (id: EventId): boolean => known.isKnownEvent(id) || before?.ids.has(id) === true;
    const standing = known.userRoom(batch.userId, meta.nid);
    const certain = certaintyOf(section, batch.userId, batch.isFirstSync, standing);
    const isContinuing = certain.from === 0 && !certain.isJoin;
    const isListed = (id: string): boolean => timeline.some((event, index) => event.id === id && index >= certain.from);
    const firstNew = timeline.findIndex(({ id }, index) => index >= certain.from && !isKnown(id));
    const isAmong = firstNew !== -1 && timeline.some(({ id }, index) => index > firstNew && isKnown(id));
    const passesSeam = (): boolean => {
      const polledAt = known.polledAt(batch.userId, batch.deviceId);
      if (!isPlaceable(batch, timeline, certain, polledAt)) return false;
      if (timeline.every(({ id }, index) => (index < certain.from && !batch.isFirstSync) || isKnown(id))) return false;
      return before?.isSeam === true || meta.seams.some(([id, pos]) => pos > polledAt && !isListed(id));
    };
    // What it says of state beside its timeline may be of the past.
    const isFromBeforeLeave = isContinuing && firstNew !== -1 && wasInside(standing);
    if (isAmong || isFromBeforeLeave || (isContinuing && state.some(({ id }) => !isListed(id))) || passesSeam())
      late.add(meta.nid);
    if (firstNew === -1 && isContinuing) continue;
    const ids = before?.ids ?? new Set<EventId>();
    // What is before a join may be history that is not taken.
    for (const { id } of timeline.slice(certain.from)) ids.add(id);
    earlier.set(meta.nid, {
      ids,
      isSeam:
        before?.isSeam === true || !isContinuing || batch.roomsAreDue === true || limited || meta.openGaps.length > 0,
    });
  }
  return late;
}
