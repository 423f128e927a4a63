import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import type { EventId, StreamPos } from "#src/protocol/ids.ts";
import type { Certainty } from "./chunk.ts";

/** A timeline that a poll brought. */
export interface LateChunk {
  timeline: readonly EventFields[];
  certain: Certainty;
  /** What its state block lists, the homeserver knew of too. */
  state: readonly EventFields[];
  isLimited: boolean;
}

/** What is known beside the chunk. */
export interface LateSight {
  isKnown(id: EventId): boolean;
  /** Where the stream stood when the chunk's poll was asked for; -1 = not known. */
  polledAt: StreamPos;
  /** Where the user of the poll came in, who was inside when it was answered and has been since before it; 0 = not known. */
  joinPos: StreamPos;
  /** Where the user of the poll left, who was still inside when it was answered; 0 = they did not. */
  leftPos: StreamPos;
  /** See `RoomMeta.seams`. */
  seams: readonly (readonly [eventId: string, pos: StreamPos])[];
}

/** Where a chunk belongs among the newest stored events of its room. */
export interface ChunkPlace {
  /** By index in the chunk's timeline: the event is older than the stored one of this index; the number of them = newer than all. */
  places: ReadonlyMap<number, number>;
  /** Stored events from here on are newer than all that the chunk's answer knew of. */
  newerFrom: number;
}

/** Place of an event that lies before a gap, or before anything that is looked at: nobody is shown it. */
export const LOST = -1;

/**
 * Works out where the new events of a chunk belong. A poll's timeline is in the homeserver's order and whole, so an event that stands
 * before a stored one is older than that. Stored events from `tail[0]` on are looked at: all since the newest gap, or the newest few.
 */
export function placeChunk(chunk: LateChunk, tail: readonly StoredEvent[], sight: LateSight): ChunkPlace {
  const { timeline, certain } = chunk;
  const indexOf = new Map(tail.map(({ id }, index) => [id, index]));
  const left = tail.findIndex(({ pos }) => pos === sight.leftPos);
  const end = Math.min(orderEnd(chunk, tail, indexOf, sight), left === -1 ? tail.length : left);
  const places = new Map<number, number>();
  const isAfterGap = tail[0]?.gapBefore === true;
  const last = end === 0 && isAfterGap ? LOST : end;
  let next: number | null = null;
  for (const [index, event] of [...timeline.entries()].reverse()) {
    const anchor = indexOf.get(event.id);
    if (index < certain.from) {
      // New history comes before the own join that exposed it, if that is new, and is not taken otherwise.
      if (!sight.isKnown(event.id)) places.set(index, next ?? (certain.isJoin ? end : last));
    } else if (anchor !== undefined) next = Math.min(next ?? anchor, anchor);
    // A stored message that is not among them is older; state may be stored beside the timeline.
    else if (sight.isKnown(event.id)) next = event.stateKey === null ? LOST : next;
    else places.set(index, next === 0 && isAfterGap ? LOST : (next ?? last));
  }
  return {
    places,
    newerFrom: certain.from > 0 || certain.isJoin ? tail.length : newerFrom(chunk, tail, indexOf, sight),
  };
}

/**
 * Before which stored event a chunk ends that does not reach the newest. Whoever brought a seam may have skipped what was before it; the
 * chunk, had its answer been made later, would show it.
 */
function orderEnd(
  chunk: LateChunk,
  tail: readonly StoredEvent[],
  indexOf: ReadonlyMap<EventId, number>,
  { polledAt, seams, joinPos }: LateSight,
): number {
  if (polledAt < 0) return tail.length;
  const joined = tail.findIndex(({ pos, stateKey }) => pos === joinPos && stateKey !== null);
  const last = Math.max(lastKnown(chunk, indexOf), joined);
  for (const [eventId, pos] of seams) {
    const index = indexOf.get(eventId as EventId);
    if (index === undefined || pos <= polledAt || last >= index) continue;
    // The clock decides too: not every program that plays a homeserver tells all members the same.
    return newestTs(chunk.timeline) < newestTs(tail.slice(index)) ? index : tail.length;
  }
  return tail.length;
}

/** The first stored event that the chunk would show if its answer knew of it. */
function newerFrom(
  chunk: LateChunk,
  tail: readonly StoredEvent[],
  indexOf: ReadonlyMap<EventId, number>,
  { polledAt }: LateSight,
): number {
  const last = lastKnown(chunk, indexOf);
  // State that the answer knew of is older than its gap, which may hide what came after that.
  const isOpen = chunk.isLimited ? !chunk.timeline.some(({ id }) => indexOf.has(id)) : last === -1 && polledAt < 0;
  if (isOpen) return tail.length;
  const listed = new Set(chunk.timeline.map(({ id }) => id));
  const first = tail.findIndex(
    ({ id, pos }, index) => index > last && !listed.has(id) && (last !== -1 || pos > polledAt),
  );
  if (first === -1) return tail.length;
  // A device that began without rooms is shown nothing of what others brought later. Clocks decide, as for the timeline.
  const isOlder = last === -1 && newestTs(tail.slice(first)) < newestTs(chunk.timeline);
  return isOlder ? tail.length : first;
}

/** The newest stored event that the answer knew of; -1 = it tells of none. */
const lastKnown = ({ timeline, state }: LateChunk, indexOf: ReadonlyMap<EventId, number>): number =>
  [...timeline, ...state].reduce((last, { id }) => Math.max(last, indexOf.get(id) ?? -1), -1);

const newestTs = (events: readonly EventFields[]): number => events.reduce((ts, event) => Math.max(ts, event.ts), 0);

/** What is to be stored, in its order: new events of a chunk by their index in its timeline, and stored ones that get a new place. */
export type StoringOrder = readonly (number | StoredEvent)[];

/** The order that follows from the places: stored events behind the first late one come again behind it. */
export function storingOrder({ places }: Pick<ChunkPlace, "places">, tail: readonly StoredEvent[]): StoringOrder {
  const inOrder = [...places].filter(([, place]) => place !== LOST).sort(([a], [b]) => a - b);
  const from = inOrder.reduce((least, [, place]) => Math.min(least, place), tail.length);
  const order: (number | StoredEvent)[] = [];
  for (let at = from; at <= tail.length; at += 1) {
    for (const [index, place] of inOrder) if (place === at) order.push(index);
    const event = tail[at];
    if (event !== undefined) order.push(event);
  }
  return order;
}
