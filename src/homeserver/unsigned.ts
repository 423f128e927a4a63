import { stickyDuration } from "#src/protocol/sticky-events.ts";
import { isKey, numberAt, stringAt } from "./json-text.ts";
import { FAIL, eachMember, isObjectAt, skipValue } from "./slicer.ts";

/** What `unsigned` says, and which bytes of it belong to one user or one moment alone. */
export interface UnsignedFields {
  txnId: string | null;
  /** What is left of a sticky event's time (MSC4354). */
  stickyTtlMs: number | null;
  replacesState: string | null;
  /** Where `prev_content` starts when it is an object; FAIL otherwise. */
  prevContentAt: number;
  /** Byte ranges to leave out, ascending, as start, end, start, end … */
  cuts: readonly number[];
}

/** An event without `unsigned`. */
export const NO_UNSIGNED: UnsignedFields = {
  txnId: null,
  stickyTtlMs: null,
  replacesState: null,
  prevContentAt: FAIL,
  cuts: [],
};

/** What is left of a sticky event's time is true for a moment: it is told anew each time. */
const STICKY_TTL = "msc4354_sticky_duration_ttl_ms";

/** Where in an event something personal may be. Events come inside of events: why one was redacted, what replaced it, a thread's latest. */
type Shape = "unsigned" | "event" | "relations" | "thread";

/** Members that are for the polling user or device, or for the moment of the poll, and where to look for more of them. */
const SHAPES: Record<
  Shape,
  { personal: readonly string[]; inside: readonly (readonly [key: string, shape: Shape])[] }
> = {
  unsigned: {
    personal: ["transaction_id", "membership", "io.element.msc4115.membership", "txn_id", STICKY_TTL],
    inside: [
      ["redacted_because", "event"],
      ["m.relations", "relations"],
    ],
  },
  event: { personal: [], inside: [["unsigned", "unsigned"]] },
  relations: {
    personal: [],
    inside: [
      ["m.replace", "event"],
      ["m.thread", "thread"],
    ],
  },
  thread: { personal: ["current_user_participated"], inside: [["latest_event", "event"]] },
};

/** Homeservers put no more events into each other than this; three steps lead from one to the next. */
const MAX_DEPTH = 12;

/** The longest identifier that is kept; a longer transaction id is of no use to anyone. */
const MAX_TXN_ID_LENGTH = 255;

const storable = (text: string | null): string | null =>
  text === null || text.length > MAX_TXN_ID_LENGTH || text.includes("\0") || !text.isWellFormed() ? null : text;

/**
 * Reads the `unsigned` at `at`, which is well-formed; `before` is what an earlier member of the same name said:
 * the last one counts, but nothing personal stays in any of them.
 */
export function readUnsigned(bytes: Buffer, at: number, end: number, before: UnsignedFields): UnsignedFields {
  if (!isObjectAt(bytes, at, end)) return { ...NO_UNSIGNED, cuts: before.cuts };
  let txnId: string | null = null;
  let stickyTtlMs: number | null = null;
  let replacesState: string | null = null;
  let prevContentAt = FAIL;
  const cuts: number[] = [];
  cutPersonal(bytes, at, end, "unsigned", 0, cuts, (keyStart, keyEnd, valueAt) => {
    if (isKey(bytes, keyStart, keyEnd, "transaction_id")) txnId = storable(stringAt(bytes, valueAt, end));
    else if (isKey(bytes, keyStart, keyEnd, STICKY_TTL)) stickyTtlMs = stickyDuration(numberAt(bytes, valueAt, end));
    else if (isKey(bytes, keyStart, keyEnd, "replaces_state")) replacesState = storable(stringAt(bytes, valueAt, end));
    else if (isKey(bytes, keyStart, keyEnd, "prev_content")) {
      prevContentAt = isObjectAt(bytes, valueAt, end) ? valueAt : FAIL;
    }
  });
  const all = before.cuts.length === 0 ? cuts : [...before.cuts, ...cuts];
  return { txnId, stickyTtlMs, replacesState, prevContentAt, cuts: all };
}

/** Notes in `cuts` what is personal in the object at `at`, and shows every member of it to `visit`. */
function cutPersonal(
  bytes: Buffer,
  at: number,
  end: number,
  shape: Shape,
  depth: number,
  cuts: number[],
  visit?: (keyStart: number, keyEnd: number, valueAt: number) => void,
): void {
  const { personal, inside } = SHAPES[shape];
  cutMembers(bytes, at, end, cuts, (keyStart, keyEnd, valueAt) => {
    visit?.(keyStart, keyEnd, valueAt);
    if (personal.some((key) => isKey(bytes, keyStart, keyEnd, key))) return true;
    const found = inside.find(([key]) => isKey(bytes, keyStart, keyEnd, key));
    if (found !== undefined && depth < MAX_DEPTH && isObjectAt(bytes, valueAt, end)) {
      // What is cut ascends: the comma before this member comes before what is inside.
      return () => cutPersonal(bytes, valueAt, end, found[1], depth + 1, cuts);
    }
    return false;
  });
}

/**
 * Notes in `cuts` which members of the object at `at` are left out, each with a comma; those that stay may have something noted of
 * themselves.
 */
export function cutMembers(
  bytes: Buffer,
  at: number,
  end: number,
  cuts: number[],
  isCut: (keyStart: number, keyEnd: number, valueAt: number) => boolean | (() => void),
): void {
  let hasKept = false;
  let firstCutAt = FAIL;
  let previousEnd = FAIL;
  const close =
    eachMember(bytes, at, end, (keyStart, keyEnd, valueAt) => {
      const valueEnd = skipValue(bytes, valueAt, end);
      const verdict = isCut(keyStart, keyEnd, valueAt);
      if (verdict === true) {
        // Behind a kept member its comma goes along; before the first kept one the comma behind it goes.
        if (hasKept) cuts.push(previousEnd, valueEnd);
        else if (firstCutAt === FAIL) firstCutAt = keyStart - 1;
      } else {
        if (!hasKept && firstCutAt !== FAIL) cuts.push(firstCutAt, keyStart - 1);
        hasKept = true;
        if (typeof verdict === "function") verdict();
      }
      previousEnd = valueEnd;
      return valueEnd;
    }) - 1;
  if (!hasKept && firstCutAt !== FAIL) cuts.push(at + 1, close);
}

/** The bytes in [start, end) less the given ranges: a view when there is nothing to leave out, a copy otherwise. */
export function withoutRanges(bytes: Uint8Array, start: number, end: number, cuts: readonly number[]): Uint8Array {
  if (cuts.length === 0) return new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset + start, end - start);
  let removed = 0;
  for (let i = 0; i < cuts.length; i += 2) removed += (cuts[i + 1] as number) - (cuts[i] as number);
  const kept = new Uint8Array(end - start - removed);
  let from = start;
  let to = 0;
  for (let i = 0; i <= cuts.length; i += 2) {
    const until = i < cuts.length ? (cuts[i] as number) : end;
    kept.set(bytes.subarray(from, until), to);
    to += until - from;
    from = cuts[i + 1] ?? end;
  }
  return kept;
}
