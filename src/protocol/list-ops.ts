import { clampRange, containsIndex, diffRanges, type Range, rangeAt } from "./ranges.ts";

/** One list operation; `R` is how a room is named. */
export type ListOp<R> =
  | { op: "SYNC"; range: Range; rooms: R[] }
  | { op: "INVALIDATE"; range: Range }
  | { op: "DELETE"; index: number }
  | { op: "INSERT"; index: number; room: R };

/** Operations, and the rooms in them that come into the client's windows and therefore need their data. */
export interface ListOps<R> {
  ops: ListOp<R>[];
  shown: R[];
}

/** One room changing its place. `length` and `at` describe the list after the change. */
export interface RoomMove<R> {
  ranges: readonly Range[];
  /** Index before; null = the room was added. */
  from: number | null;
  /** Index after; null = the room was removed. */
  to: number | null;
  length: number;
  at: (index: number) => R;
}

/**
 * What a client with these windows is told when one room moves, comes or goes.
 *
 * Every window between the old and the new place loses one room at one end and gains one at the other: a DELETE and
 * an INSERT each. An added room comes from behind the end, a removed one goes there. Only the last operation may be a
 * DELETE without INSERT: see `canFollow`.
 */
export function opsForMove<R>(move: RoomMove<R>): ListOps<R> {
  const { ranges, from, to, length } = move;
  if (from !== null && to !== null) return from === to ? { ops: [], shown: [] } : shiftWindows(move, from, to);
  if (to !== null) return shiftWindows(move, length - 1, to);
  return from === null ? { ops: [], shown: [] } : removeRoom(move, ranges, from);
}

function removeRoom<R>(move: RoomMove<R>, ranges: readonly Range[], from: number): ListOps<R> {
  const { length } = move;
  const vacated = containsIndex(ranges, length);
  // The last room pulls nothing after it.
  if (from === length) return { ops: vacated ? [{ op: "DELETE", index: from }] : [], shown: [] };
  // When the client sees the list's end move, the window there only shrinks: its DELETE has no INSERT.
  const shrinksInto = vacated && containsIndex(ranges, length - 1) ? length - 1 : null;
  const { ops, shown } = shiftWindows(move, from, length - 1, shrinksInto);
  if (vacated && shrinksInto === null) ops.push({ op: "DELETE", index: length });
  return { ops, shown };
}

function shiftWindows<R>(move: RoomMove<R>, from: number, to: number, shrinksInto: number | null = null): ListOps<R> {
  const { ranges, at } = move;
  const ops: ListOp<R>[] = [];
  const shown: R[] = [];
  let shrinksFrom: number | null = null;
  for (const [left, entered] of movePairs(ranges, from, to)) {
    if (entered === shrinksInto) {
      shrinksFrom = left;
      continue;
    }
    ops.push({ op: "DELETE", index: left });
    const room = at(entered);
    ops.push({ op: "INSERT", index: entered, room });
    // Any other room comes from beyond the window, and be it from one that touches it.
    const wasInside = entered === move.to && move.from !== null && containsIndex(ranges, move.from);
    if (!wasInside) shown.push(room);
  }
  if (shrinksFrom !== null) ops.push({ op: "DELETE", index: shrinksFrom });
  return { ops, shown };
}

/**
 * For each window touched on the way: the index that loses its room and the one that gains one.
 * First the window left, then the one entered, then those jumped over, in the client's order.
 */
function movePairs(ranges: readonly Range[], from: number, to: number): [left: number, entered: number][] {
  const left = rangeAt(ranges, from);
  const entered = rangeAt(ranges, to);
  if (left !== null && left === entered) return [[from, to]];
  const isTowardsStart = to < from;
  const pairs: [number, number][] = [];
  if (left !== null) pairs.push([from, isTowardsStart ? left[0] : left[1]]);
  if (entered !== null) pairs.push([isTowardsStart ? entered[1] : entered[0], to]);
  const low = Math.min(from, to);
  const high = Math.max(from, to);
  for (const [start, end] of ranges) {
    if (low < start && end < high) pairs.push(isTowardsStart ? [end, start] : [start, end]);
  }
  return pairs;
}

/**
 * False when a client could misread what follows. matrix-js-sdk closes the gap of a DELETE without INSERT only with the
 * next DELETE, whose index it then takes to be from before: only one at or before the gap is right both ways.
 */
export function canFollow<R>(last: ListOp<R> | undefined, next: ListOp<R> | undefined): boolean {
  if (last?.op !== "DELETE" || next === undefined) return true;
  return next.op === "DELETE" && next.index <= last.index;
}

/** Fills every window of a list the client has not had before, in the client's order. */
export function opsForNewList<R>(ranges: readonly Range[], length: number, at: (index: number) => R): ListOps<R> {
  const ops: ListOp<R>[] = [];
  const shown: R[] = [];
  for (const wanted of ranges) {
    const range = clampRange(wanted, length);
    if (range === null) continue;
    const rooms: R[] = [];
    for (let index = range[0]; index <= range[1]; index += 1) rooms.push(at(index));
    ops.push({ op: "SYNC", range, rooms });
    for (const room of rooms) shown.push(room);
  }
  return { ops, shown };
}

/** Windows changed over an unchanged list: what fell out is invalidated, what came in is filled. */
export function opsForRangeChange<R>(
  before: readonly Range[],
  after: readonly Range[],
  length: number,
  at: (index: number) => R,
): ListOps<R> {
  if (before.length === 0) return opsForNewList(after, length, at);
  const { added, removed } = diffRanges(before, after);
  const { ops, shown } = opsForNewList(added, length, at);
  return { ops: [...invalidations<R>(removed, length), ...ops], shown };
}

/** The list was filled or sorted anew: all the client holds of it is replaced. */
export function opsForRebuild<R>(
  beforeRanges: readonly Range[],
  beforeLength: number,
  afterRanges: readonly Range[],
  afterLength: number,
  at: (index: number) => R,
): ListOps<R> {
  const { ops, shown } = opsForNewList(afterRanges, afterLength, at);
  return { ops: [...invalidations<R>(beforeRanges, beforeLength), ...ops], shown };
}

function invalidations<R>(ranges: readonly Range[], length: number): ListOp<R>[] {
  const ops: ListOp<R>[] = [];
  for (const held of ranges) {
    const range = clampRange(held, length);
    if (range !== null) ops.push({ op: "INVALIDATE", range });
  }
  return ops;
}
