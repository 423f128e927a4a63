/** An inclusive window of list positions, one entry of MSC3575 `ranges`. */
export type Range = readonly [start: number, end: number];

const byStart = (a: Range, b: Range): number => a[0] - b[0];

/** What makes these ranges invalid together; null when they are fine. */
export function rangesProblem(ranges: readonly Range[]): string | null {
  let lastEnd = -1;
  for (const [start, end] of ranges.toSorted(byStart)) {
    if (start < 0) return `[${start},${end}] starts below 0`;
    if (end < start) return `[${start},${end}] ends before it starts`;
    if (start <= lastEnd) return `[${start},${end}] overlaps another range`;
    lastEnd = end;
  }
  return null;
}

/** The indices of these windows as windows that do not overlap; those that end before they begin hold nothing. */
export function disjointRanges(ranges: readonly Range[]): [number, number][] {
  const disjoint: [number, number][] = [];
  for (const [start, end] of ranges.filter(([start, end]) => end >= start).toSorted(byStart)) {
    const last = disjoint.at(-1);
    if (last !== undefined && start <= last[1] + 1) last[1] = Math.max(last[1], end);
    else disjoint.push([start, end]);
  }
  return disjoint;
}

/** True when `index` lies in any window. */
export function containsIndex(ranges: readonly Range[], index: number): boolean {
  return ranges.some(([start, end]) => start <= index && index <= end);
}

/** The window that holds `index`; null when there is none. */
export function rangeAt(ranges: readonly Range[], index: number): Range | null {
  return ranges.find(([start, end]) => start <= index && index <= end) ?? null;
}

/** The part of a window that a list of this length fills; null when it fills none of it. */
export function clampRange(range: Range, length: number): Range | null {
  const [start, end] = range;
  return start >= length ? null : [start, Math.min(end, length - 1)];
}

/** Indices only in `after` and only in `before`: ascending, one piece for each unbroken part of an original range. */
export function diffRanges(before: readonly Range[], after: readonly Range[]): { added: Range[]; removed: Range[] } {
  return { added: subtract(after, before), removed: subtract(before, after) };
}

function subtract(ranges: readonly Range[], holes: readonly Range[]): Range[] {
  const sortedHoles = holes.toSorted(byStart);
  const pieces: Range[] = [];
  for (const [start, end] of ranges.toSorted(byStart)) {
    let next = start;
    for (const [holeStart, holeEnd] of sortedHoles) {
      if (holeEnd < next || holeStart > end) continue;
      if (holeStart > next) pieces.push([next, holeStart - 1]);
      next = holeEnd + 1;
    }
    if (next <= end) pieces.push([next, end]);
  }
  return pieces;
}
