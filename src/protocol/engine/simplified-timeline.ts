import type { EventFields } from "../events.ts";
import type { RoomNid, StreamPos } from "../ids.ts";
import { isIgnoredEvent, visibleRange } from "../visibility.ts";
import type { TimelineTail } from "./room-data.ts";
import { firstAfter, nearestPrevBatch, type TimelineCut } from "./timeline.ts";
import type { World } from "./world.ts";

/** The most that is sent of one timeline, whatever is asked for. */
export const MAX_SIMPLIFIED_TIMELINE = 100;

/** The newest part of a timeline. */
export interface NewestCut extends TimelineCut {
  /** How many more were asked for than are at hand, and from where back they are; null = all there are, or nobody knows from where. */
  missing: { from: string; limit: number } | null;
}

/**
 * The newest `limit` events in (since, upTo] that are contiguous; `limited` when there were more. `since` null = of all there is.
 * They are more than that where nothing else would lead to those before them. What the viewer may not see of them is left out behind the limit.
 */
export function newestTimeline(
  world: World,
  nid: RoomNid,
  tail: TimelineTail,
  limit: number,
  since: StreamPos | null,
  upTo: StreamPos,
): NewestCut {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  const range = standing === undefined || meta === undefined ? null : visibleRange(standing, meta);
  if (range === null) return { events: [], isLimited: since === null, prevBatch: null, missing: null };
  const { events } = tail;
  const end = firstAfter(events, Math.min(range.to, upTo));
  const start = Math.max(firstAfter(events, range.from - 1), since === null ? 0 : firstAfter(events, since));
  let first = end;
  while (first > start && end - first < limit) {
    first -= 1;
    if (events[first]?.gapBefore === true) break;
  }
  first = pageableFrom(tail, { start, isAll: since !== null }, first, end);
  const isCut = first < end && events[first]?.gapBefore === true;
  const picked = events.slice(first, end).filter((event) => !isIgnoredEvent(event, world.ignored));
  // Of a stay that began behind the position, what came before it is not the viewer's.
  const isHidden = since !== null && start > firstAfter(events, since);
  const isLimited =
    since === null ? hasMore(tail, start, first, end) : isHidden || isCut || first > start || isShort(tail, since);
  const from = standing?.membership === "join" && first < end ? (events[first]?.prevBatch ?? null) : null;
  const lacking = limit - (end - first);
  const missing = since === null && isLimited && from !== null && lacking > 0 ? { from, limit: lacking } : null;
  return { events: picked, isLimited, prevBatch: nearestPrevBatch(events, first), missing };
}

/**
 * Where a timeline that would begin here is to begin: further back, if no token leads to what was left out before it, and one is in
 * reach, or nothing is left out from there on. A client that cannot page back never sees what it was not sent.
 */
function pageableFrom(
  { events }: TimelineTail,
  { start, isAll }: { start: number; isAll: boolean },
  first: number,
  end: number,
): number {
  if (first === start || first === end || nearestPrevBatch(events, first) !== null) return first;
  const last = Math.max(start, end - MAX_SIMPLIFIED_TIMELINE);
  for (let index = first; index >= last; index -= 1) {
    const event = events[index];
    if (event === undefined) break;
    if (event.prevBatch !== null || (isAll && index === start) || isCreation(event)) return index;
    if (event.gapBefore) break;
  }
  return first;
}

/** Events after the position are missing from what there is. */
const isShort = (tail: TimelineTail, since: StreamPos): boolean => tail.coversFrom > since;

/** True when there is more before the events [first, end) of the tail. */
function hasMore({ events, isComplete }: TimelineTail, from: number, first: number, end: number): boolean {
  const oldest = first < end ? events[first] : undefined;
  if (oldest === undefined) return first > 0 || !isComplete;
  if (isCreation(oldest)) return false;
  const before = events[first - 1];
  // The creator's own join follows the creation, which nobody was there to see.
  if (before !== undefined) return first > from || !isCreation(before);
  return !isComplete || oldest.gapBefore || oldest.prevBatch !== null;
}

/** True for the event that a room begins with. */
export const isCreation = (event: Pick<EventFields, "type" | "stateKey">): boolean =>
  event.type === "m.room.create" && event.stateKey === "";
