import type { EventFields } from "../events.ts";
import type { RoomNid, StreamPos } from "../ids.ts";
import { isIgnoredEvent, visibleRange } from "../visibility.ts";
import type { TimelineTail } from "./room-data.ts";
import { firstAfter, type TimelineCut } from "./timeline.ts";
import type { RoomMeta } from "../room-meta.ts";
import type { World } from "./world.ts";

/** The most that is sent of one timeline, whatever is asked for. */
export const MAX_SIMPLIFIED_TIMELINE = 100;

/**
 * So many events may come twice when a client pages back from a token. Some take a page without anything new for the beginning of the room,
 * and theirs have 20 events and more.
 */
const MAX_REPEATED = 8;

/** Events that the homeserver is to be asked for: so many from before a token. */
export interface WantedPage {
  from: string;
  limit: number;
  /** They are at hand, and what is wanted is the token of before this one, which the timeline is to begin with; null = they are not. */
  oldest: string | null;
}

/** The newest part of a timeline. */
export interface NewestCut extends TimelineCut {
  /** null = nothing is to be asked for, or nobody knows from where. */
  wanted: WantedPage | null;
}

/** A token of the homeserver that stands before the event of this index. */
interface TokenPlace {
  token: string;
  index: number;
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
  if (range === null) return { events: [], isLimited: since === null, prevBatch: null, wanted: null };
  const { events } = tail;
  const end = firstAfter(events, Math.min(range.to, upTo));
  const start = Math.max(firstAfter(events, range.from - 1), since === null ? 0 : firstAfter(events, since));
  let first = end;
  while (first > start && end - first < limit) {
    first -= 1;
    if (events[first]?.gapBefore === true) break;
  }
  const asked = first;
  const place = tokenPlace(meta?.endToken, events, asked);
  if (place === null || place.index - asked > MAX_REPEATED) {
    first = pageableFrom(tail, { start, isAll: since !== null }, asked, end);
  }
  const isCut = first < end && events[first]?.gapBefore === true;
  const picked = events.slice(first, end).filter((event) => !isIgnoredEvent(event, world.ignored));
  // Of a stay that began behind the position, what came before it is not the viewer's.
  const isHidden = since !== null && start > firstAfter(events, since);
  const isLimited =
    since === null ? hasMore(tail, start, first, end) : isHidden || isCut || first > start || isShort(tail, since);
  const prevBatch = (first === asked ? place : tokenPlace(meta?.endToken, events, first))?.token ?? null;
  const cut = { events: picked, isLimited, prevBatch, wanted: null };
  if (standing?.membership !== "join" || asked === end) return cut;
  const repeated = place === null ? 0 : place.index - asked;
  if (
    place !== null &&
    repeated > MAX_REPEATED &&
    repeated <= MAX_SIMPLIFIED_TIMELINE &&
    (isLimited || first < asked)
  ) {
    return { ...cut, wanted: { from: place.token, limit: repeated, oldest: events[asked]?.id ?? null } };
  }
  const from = events[first]?.prevBatch ?? null;
  const lacking = limit - (end - first);
  if (since !== null || !isLimited || from === null || lacking <= 0) return cut;
  return { ...cut, wanted: { from, limit: lacking, oldest: null } };
}

/**
 * The nearest token of the homeserver from which a client meets all that is before the event at `first`: that of its place, or of a later
 * one. What is in between comes twice then, and nothing is left out.
 */
function tokenPlace(endToken: RoomMeta["endToken"], events: TimelineTail["events"], first: number): TokenPlace | null {
  const behind = endToken === undefined ? 0 : events.findLastIndex(({ id }) => id === endToken[0]) + 1;
  // Behind an event that a gap follows is in front of what is missing.
  const isUsable = behind > 0 && (behind > first || (behind === first && events[first]?.gapBefore !== true));
  const end = isUsable ? behind : events.length;
  for (let index = first; index < end; index += 1) {
    const token = events[index]?.prevBatch ?? null;
    if (token !== null) return { token, index };
  }
  return isUsable && endToken !== undefined ? { token: endToken[1], index: end } : null;
}

/**
 * Where a timeline that would begin here is to begin: further back, if a token of there is in reach, or nothing is left out from there
 * on. A client that cannot page back never sees what it was not sent.
 */
function pageableFrom(
  { events }: TimelineTail,
  { start, isAll }: { start: number; isAll: boolean },
  first: number,
  end: number,
): number {
  if (first === start || first === end) return first;
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
