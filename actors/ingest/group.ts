import type { RoomId, StreamPos } from "#src/protocol/ids.ts";
import type { Reduction } from "#src/state/ingest-reducer.ts";
import type { TracedStep } from "./ingest-tracing.ts";
import { isBulk, quarantined, splitBatch, type Work } from "./work.ts";

/** Batches that are reduced, committed and sent on as one. */
export interface Group {
  id: number;
  works: readonly Work[];
  reduction: Reduction | null;
  /** Attempts that failed for want of a database, and because of what is in the group. */
  outages: number;
  faults: number;
  /** Writes tokens that came with nothing else. */
  isFlush: boolean;
  isCommitting: boolean;
  isApplied: boolean;
  startedMs: number;
  step: TracedStep | null;
}

/** A group as it starts. */
export const newGroup = (id: number, works: readonly Work[], isFlush: boolean, startedMs: number): Group => ({
  id,
  works,
  reduction: null,
  outages: 0,
  faults: 0,
  isFlush,
  isCommitting: false,
  isApplied: false,
  startedMs,
  step: null,
});

/** `traceparent` of each poll in the group; null for those that nobody records. */
export const traceparentsOf = (group: Group): (string | null)[] => group.works.map(({ batch }) => batch.traceparent);

/** Nothing but rooms of first syncs, and nothing has gone wrong with them. */
export const isPlainBulk = ({ works, faults, outages }: Group): boolean =>
  faults + outages === 0 && works.every((work) => isBulk(work) && !work.isAlone && work.batch.since === null);

export const roomsOf = (works: readonly Work[]): ReadonlySet<RoomId> =>
  new Set(works.flatMap(({ batch }) => batch.rooms.map(({ roomId }) => roomId)));

/** What to do with a group that failed. */
export type Recovery =
  /** It went through after all, only the answer was lost. */
  | "take-as-stored"
  /** Nothing was written: the same transaction again. */
  | "commit-again"
  /** Read and reduce it anew. */
  | "reduce-again"
  /** The same, trusting nothing that is remembered. */
  | "forget-and-reduce"
  /** Something in it cannot be stored. */
  | "isolate";

/** Decides by where the database stands (`head`) and where it was thought to stand (`expected`) when the group began. */
export function recover(group: Group, head: StreamPos, expected: StreamPos): Recovery {
  const committed = group.isCommitting ? (group.reduction?.transaction.head ?? null) : null;
  if (committed !== null && committed !== expected && head === committed) return "take-as-stored";
  if (head !== expected) return "forget-and-reduce";
  if (group.faults === 0) return committed === null ? "reduce-again" : "commit-again";
  // What is remembered may be at fault: everything is tried once more against the database alone.
  const isKnownBad = group.works.length === 1 && group.works[0]?.isAlone === true;
  return group.faults > 1 || isKnownBad ? "isolate" : "forget-and-reduce";
}

/** A to-device message is given up only after this many attempts: no client can ask for it again. */
const TO_DEVICE_ATTEMPTS = 4;

/** What is tried instead of works that cannot be stored together, in order; or the one to be tried again later. */
export type Narrowed = { works: Work[]; lost: Work | null } | { later: Work };

/** Narrows poison down: batches alone, then halves of one, until what is left is given up and kept for inspection. */
export function narrow(works: readonly Work[]): Narrowed {
  const [only] = works;
  if (only === undefined || works.length > 1) {
    return { works: works.map((work) => Object.assign({}, work, { isAlone: true })), lost: null };
  }
  // Not even the note that something was given up can be stored: so it is not the data that is wrong.
  if (only.replaces !== null) return { later: only.replaces };
  const parts = splitBatch(only.batch);
  if (parts !== null) {
    only.waiter.openParts += parts.length - 1;
    return { works: parts.map((batch) => Object.assign({}, only, { batch, isAlone: true })), lost: null };
  }
  if (only.batch.toDevice.length > 0 && only.refusals + 1 < TO_DEVICE_ATTEMPTS) return { later: only };
  const record = quarantined(only.batch, "cannot be stored");
  // A token that cannot be stored costs a repeated poll after a restart, nothing more.
  const batch = record ?? { ...only.batch, since: null, rejected: [] };
  return { works: [{ ...only, batch, isAlone: true, replaces: record === null ? null : only }], lost: only };
}
