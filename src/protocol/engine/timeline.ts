import type { StoredEvent } from "../events.ts";
import type { RoomNid, StreamPos } from "../ids.ts";
import type { UserRoom } from "../room-meta.ts";
import { isIgnoredEvent, visibleRange } from "../visibility.ts";
import type { TimelineTail } from "./room-data.ts";
import type { World } from "./world.ts";

/** No more events than this are sent of one room at once (spec 4.5). */
export const MAX_TIMELINE_LIMIT = 50;
/** A client that missed more events of a room than this gets the room anew, with a gap it can page into. */
export const MAX_DELTA_EVENTS = 100;

/** A part of a room's timeline as one viewer gets it. */
export interface TimelineCut {
  events: StoredEvent[];
  /** True when there is more before the first event. */
  isLimited: boolean;
  prevBatch: string | null;
}

const EMPTY_CUT: TimelineCut = { events: [], isLimited: false, prevBatch: null };

/** The newest `limit` events the viewer may see, not beyond `upTo`. */
export function initialTimeline(
  world: World,
  nid: RoomNid,
  tail: TimelineTail,
  limit: number,
  upTo: StreamPos,
): TimelineCut {
  const standing = world.standing(nid);
  if (standing === undefined || limit <= 0) return EMPTY_CUT;
  const wanted = Math.min(limit, MAX_TIMELINE_LIMIT);
  const { events } = tail;
  let first = events.length;
  let taken = 0;
  const picked: StoredEvent[] = [];
  while (first > 0 && taken < wanted) {
    const event = events[first - 1];
    if (event === undefined || !canSee(standing, event.pos, upTo)) {
      if (event !== undefined && event.pos < (visibleRange(standing)?.from ?? 0)) break;
      first -= 1;
      continue;
    }
    first -= 1;
    taken += 1;
    if (!isIgnoredEvent(event, world.ignored)) picked.push(event);
    if (event.gapBefore) break;
  }
  picked.reverse();
  return { events: picked, isLimited: isLimited(picked, tail, first), prevBatch: nearestPrevBatch(picked) };
}

/**
 * All events in (since, upTo] the viewer may see; null when they are too many or not all there to send one by one.
 * Who is no longer in the room gets what is there of the end of the stay: nothing could be sent anew.
 */
export function deltaTimeline(
  world: World,
  nid: RoomNid,
  tail: TimelineTail,
  since: StreamPos,
  upTo: StreamPos,
): StoredEvent[] | null {
  const standing = world.standing(nid);
  if (standing === undefined) return [];
  const start = firstAfter(tail.events, since);
  const isTooMuch = tail.coversFrom > since || tail.events.length - start > MAX_DELTA_EVENTS;
  if (isTooMuch && standing.membership === "join") return null;
  return tail.events
    .slice(start)
    .filter((event) => canSee(standing, event.pos, upTo) && !isIgnoredEvent(event, world.ignored));
}

function canSee(standing: UserRoom, pos: StreamPos, upTo: StreamPos): boolean {
  const range = visibleRange(standing);
  return range !== null && pos >= range.from && pos <= range.to && pos <= upTo;
}

function isLimited(picked: readonly StoredEvent[], tail: TimelineTail, firstIndex: number): boolean {
  const first = picked[0];
  if (first === undefined) return firstIndex > 0 || !tail.isComplete;
  if (first.type === "m.room.create" && first.stateKey === "") return false;
  return firstIndex > 0 || !tail.isComplete || first.gapBefore || first.prevBatch !== null;
}

/** The token at the first event that has one: never older than the first event, so paging leaves no hole (spec 4.5). */
export function nearestPrevBatch(events: readonly StoredEvent[]): string | null {
  for (const event of events) if (event.prevBatch !== null) return event.prevBatch;
  return null;
}

/** Index of the first event after `pos`, by binary search. */
export function firstAfter(events: readonly { pos: StreamPos }[], pos: StreamPos): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((events[middle]?.pos ?? 0) > pos) high = middle;
    else low = middle + 1;
  }
  return low;
}
