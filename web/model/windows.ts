import type { DialectName, Range } from "./wire.ts";

/** The top of the list is always asked for: new messages come in there. */
const TOP: Range = [0, 19];
/** Rooms asked for beyond what is seen, so that slow scrolling never shows a gap. */
const MARGIN = 10;
/** Windows begin and end at multiples of this: a few pixels of scrolling change no request. */
const STEP = 10;

/** What part of the list is on the screen. */
export interface Viewport {
  first: number;
  last: number;
}

/** Which windows to ask for. A client of v4 sorts by itself and has to know everything above, so that its window only grows. */
export function windowsFor(dialect: DialectName, { first, last }: Viewport, before: readonly Range[]): Range[] {
  const start = Math.max(0, Math.floor((first - MARGIN) / STEP) * STEP);
  const end = Math.max(TOP[1], Math.ceil((last + 1 + MARGIN) / STEP) * STEP - 1);
  if (dialect === "v4") return [[0, Math.max(end, before[0]?.[1] ?? 0)]];
  return start <= TOP[1] + 1 ? [[0, end]] : [TOP, [start, end]];
}

/** Whether both ask for the same. */
export const areSameRanges = (a: readonly Range[], b: readonly Range[]): boolean =>
  a.length === b.length && a.every(([start, end], index) => b[index]?.[0] === start && b[index]?.[1] === end);

/** As it is written: `0–19, 40–59`. */
export const rangesText = (ranges: readonly Range[]): string =>
  ranges.map(([start, end]) => `${start}–${end}`).join(", ");
