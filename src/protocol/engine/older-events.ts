import type { EventFields, StoredEvent } from "../events.ts";
import type { RoomNid } from "../ids.ts";
import { isIgnoredEvent } from "../visibility.ts";
import { isCreation, type NewestCut } from "./simplified-timeline.ts";
import type { World } from "./world.ts";

/** Events that the homeserver is to be asked for, from before the first one at hand or for the sake of their token. */
export interface OlderNeed {
  nid: RoomNid;
  roomId: string;
  /** A token of the homeserver of behind them. */
  from: string;
  limit: number;
}

/** What the homeserver has of a room from before a token. */
export interface OlderEvents {
  /** Oldest first. */
  events: readonly EventFields[];
  /** Pages on from before all of them, or from among them where that is all that is safe; null = there is no more. */
  prevBatch: string | null;
  hasMore: boolean;
}

/** Older than anything of the stream: never live, and before all that is. */
const BEFORE_ALL = 0;

/** What of these rooms is wanted of the homeserver. */
export function olderNeeds(
  world: World,
  nids: Iterable<RoomNid>,
  cutOf: (nid: RoomNid) => NewestCut | null | undefined,
): OlderNeed[] {
  const needs: OlderNeed[] = [];
  for (const nid of nids) {
    const wanted = cutOf(nid)?.wanted ?? null;
    const roomId = world.meta(nid)?.roomId;
    if (wanted !== null && roomId !== undefined) needs.push({ nid, roomId, from: wanted.from, limit: wanted.limit });
  }
  return needs;
}

/** The cut with what the homeserver told of it. */
export function withOlder(world: World, nid: RoomNid, cut: NewestCut, older: OlderEvents): NewestCut {
  if (cut.wanted === null) return cut;
  return cut.wanted.oldest === null ? behind(world, nid, cut, older) : beginningWith(cut, cut.wanted.oldest, older);
}

/** The cut from this event on, if the homeserver told the token of before it, and of nothing that is further back. */
function beginningWith(cut: NewestCut, oldest: string, { events, prevBatch }: OlderEvents): NewestCut {
  const first = events[0]?.id === oldest && prevBatch !== null ? cut.events.findIndex(({ id }) => id === oldest) : -1;
  return first === -1 ? cut : { events: cut.events.slice(first), isLimited: true, prevBatch, wanted: null };
}

/** The cut behind what the homeserver has from before it. */
function behind(world: World, nid: RoomNid, cut: NewestCut, older: OlderEvents): NewestCut {
  const known = new Set<string>(cut.events.map(({ id }) => id));
  const events: StoredEvent[] = [];
  for (const event of older.events) {
    if (known.has(event.id)) continue;
    known.add(event.id);
    if (isIgnoredEvent(event, world.ignored)) continue;
    const place = { nid, pos: BEFORE_ALL, inTimeline: true, gapBefore: false, prevBatch: null };
    // Transaction ids are of the device that asked, and long forgotten by it.
    events.push({ ...event, ...place, txnId: null });
  }
  const [oldest] = older.events;
  const isFromStart = oldest !== undefined && isCreation(oldest);
  const isLimited = older.hasMore && !isFromStart;
  // A token from before what nobody sees is of no more use than the one at hand, and that one is never too old.
  const prevBatch = events.length === 0 ? cut.prevBatch : older.prevBatch;
  return { events: [...events, ...cut.events], isLimited, prevBatch, wanted: null };
}
