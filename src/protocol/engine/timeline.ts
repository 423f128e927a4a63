import type { StoredEvent } from "../events.ts";
import type { RoomNid, StreamPos } from "../ids.ts";
import { isIgnoredEvent, visibleRange } from "../visibility.ts";
import type { TimelineTail } from "./room-data.ts";
import type { World } from "./world.ts";

/** No more events than this are sent of one room at once (spec 4.5). */
const MAX_TIMELINE_LIMIT = 50;
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

/** Which events of a room are due; those after `since` are live. null = it is sent as if it were new. */
export interface TimelineSpan {
  since: StreamPos | null;
  upTo: StreamPos;
  /** The limit counts from before the live events, not from the first of them. */
  isAsked: boolean;
}

/**
 * The newest `limit` events the viewer may see, not beyond `upTo`, and with them every live one: what happened since the last response is
 * told whole, whatever the limit.
 */
export function initialTimeline(
  world: World,
  nid: RoomNid,
  tail: TimelineTail,
  limit: number,
  { since, upTo, isAsked }: TimelineSpan,
): TimelineCut {
  const range = rangeOf(world, nid);
  if (range === null) return EMPTY_CUT;
  const { events } = tail;
  const from = firstAfter(events, range.from - 1);
  const end = firstAfter(events, Math.min(range.to, upTo));
  const live = since === null ? 0 : liveCount(world, nid, tail, since, upTo);
  const wanted = wantedCount(limit, live, isAsked);
  if (wanted === 0) return EMPTY_CUT;
  let first = end;
  while (first > from && end - first < wanted) {
    first -= 1;
    if (events[first]?.gapBefore === true) break;
  }
  const picked = events.slice(first, end).filter((event) => !isIgnoredEvent(event, world.ignored));
  return { events: picked, isLimited: isLimited(tail, from, first, end), prevBatch: nearestPrevBatch(events, first) };
}

/** How many events a limit stands for, with so many live ones. */
export function wantedCount(limit: number, live: number, isAsked: boolean): number {
  const asked = Math.max(0, Math.min(limit, MAX_TIMELINE_LIMIT));
  return isAsked || asked === 0 || live === 0 ? asked + live : asked + live - 1;
}

/** How many events the viewer has not seen yet, as far as all of them are there and few enough to be told one by one. */
export function liveCount(world: World, nid: RoomNid, tail: TimelineTail, since: StreamPos, upTo: StreamPos): number {
  const range = rangeOf(world, nid);
  const after = liveAfter(world, nid, since);
  if (range === null || tail.coversFrom > after) return 0;
  const count = firstAfter(tail.events, Math.min(range.to, upTo)) - firstAfter(tail.events, after);
  return count > MAX_DELTA_EVENTS ? 0 : Math.max(0, count);
}

/** What went before the viewer's own join is history, however new it is here. */
export function liveAfter(world: World, nid: RoomNid, since: StreamPos): StreamPos {
  return Math.max(since, (world.standing(nid)?.joinPos ?? 0) - 1);
}

function rangeOf(world: World, nid: RoomNid): ReturnType<typeof visibleRange> {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  return standing === undefined || meta === undefined ? null : visibleRange(standing, meta);
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
  const range = rangeOf(world, nid);
  if (range === null) return [];
  const start = firstAfter(tail.events, since);
  const isTooMuch = tail.coversFrom > since || tail.events.length - start > MAX_DELTA_EVENTS;
  if (isTooMuch && world.standing(nid)?.membership === "join") return null;
  return tail.events
    .slice(Math.max(start, firstAfter(tail.events, range.from - 1)), firstAfter(tail.events, Math.min(range.to, upTo)))
    .filter((event) => !isIgnoredEvent(event, world.ignored));
}

/** What a viewer who was sent a room's timeline from `from` on has of it: the newest events, where it has become long. */
export function heldTimeline(
  world: World,
  nid: RoomNid,
  { events }: TimelineTail,
  from: StreamPos,
  upTo: StreamPos,
): StoredEvent[] {
  const range = rangeOf(world, nid);
  if (range === null) return [];
  const end = firstAfter(events, Math.min(range.to, upTo));
  return events.slice(Math.max(firstAfter(events, Math.max(range.from, from) - 1), end - MAX_DELTA_EVENTS), end);
}

/** True when there is more before the events [first, end) of the tail; the viewer sees those at `from` and behind it. */
function isLimited({ events, isComplete }: TimelineTail, from: number, first: number, end: number): boolean {
  const oldest = first < end ? events[first] : undefined;
  if (oldest === undefined) return first > 0 || !isComplete;
  if (isCreation(oldest)) return false;
  // The creator's own join follows the creation, which nobody was there to see.
  const before = events[first - 1];
  if (before !== undefined) return first > from || !isCreation(before);
  return !isComplete || oldest.gapBefore || oldest.prevBatch !== null;
}

const isCreation = (event: StoredEvent): boolean => event.type === "m.room.create" && event.stateKey === "";

/**
 * The token at the first event at or after `first` that has one: never older than what is shown, so paging leaves no hole (spec 4.5). Hidden
 * events count, for the token is about their place.
 */
export function nearestPrevBatch(events: readonly StoredEvent[], first: number): string | null {
  for (let index = first; index < events.length; index += 1) {
    const token = events[index]?.prevBatch ?? null;
    if (token !== null) return token;
  }
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
