import type { PolledToDevice } from "#src/protocol/poll-batch.ts";
import type { StreamPos } from "#src/protocol/ids.ts";
import { hashBytes } from "#src/state/bytes.ts";
import { GenerationalCache } from "./generational-cache.ts";
import type { DeliveryRecord, Work } from "./work.ts";

/** Pollers remembered. */
const POLLER_LIMIT = 20_000;
/** A poller that waited this long for an answer may have given up on it just before it came. */
const DOUBTFUL_WAIT_MS = 5_000;
/** Two would do, as a poll is asked for only after the answer to the one before; one more allows for a repeated poll. */
const HEADS_KEPT = 3;
/** Longer lists are not compared. */
const COMPARED_MESSAGES = 1_000;

interface PollerEntry {
  /** Stream heads when its latest polls were answered, oldest first. */
  heads: StreamPos[];
  last: DeliveryRecord | null;
}

/** What ingest remembers of each poller: how old its news can be, and whether it may be repeating itself. */
export class PollerBook {
  readonly #entries = new GenerationalCache<string, PollerEntry>(POLLER_LIMIT);

  /** A new batch came. `superseded`: one that waited and will not be stored. */
  arrive(
    poller: string,
    isFinal: boolean,
    superseded: Work | null,
  ): { record: DeliveryRecord; repeats: DeliveryRecord | null } {
    const record = { isStored: false, isDoubtful: true, toDevice: [] };
    const entry = this.#entry(poller);
    const before = superseded === null ? entry.last : superseded.repeats;
    if (isFinal) entry.last = record;
    return { record, repeats: isFinal && before?.isDoubtful === true ? before : null };
  }

  /**
   * Every event of the poller's next continuing chunk was stored after this position, if at all; -1 = cannot say.
   * That poll's `since` is the answer to a request made when the batch before had been answered.
   */
  createdAfter(poller: string): StreamPos {
    const heads = this.#entries.get(poller)?.heads;
    return heads === undefined || heads.length < HEADS_KEPT ? -1 : (heads[0] ?? -1);
  }

  answered({ poller, batch, record }: Work, head: StreamPos, waitedMs: number): void {
    // The batches of one poll were asked for at the same time: only its last one says anything of the next poll.
    if (batch.since === null) return;
    const { heads } = this.#entry(poller);
    heads.push(head);
    if (heads.length > HEADS_KEPT) heads.shift();
    if (waitedMs < DOUBTFUL_WAIT_MS) record.isDoubtful = false;
  }

  /** It may resume from an older `since`. */
  stopped(poller: string): void {
    const entry = this.#entries.get(poller);
    if (entry !== undefined) entry.heads = [];
  }

  #entry(poller: string): PollerEntry {
    const known = this.#entries.get(poller);
    if (known !== undefined) return known;
    const entry: PollerEntry = { heads: [], last: null };
    this.#entries.set(poller, entry);
    return entry;
  }
}

/** Leaves out what the poller's last batch stored already, when this one begins with all of it. */
export function withoutRepeated({ batch, repeats }: Work): PolledToDevice[] {
  const { toDevice } = batch;
  if (repeats === null || !repeats.isStored || repeats.toDevice.length === 0) return toDevice;
  const isRepeated = repeats.toDevice.every((hash, index) => {
    const message = toDevice[index];
    return message !== undefined && hashBytes(message.json) === hash;
  });
  return isRepeated ? toDevice.slice(repeats.toDevice.length) : toDevice;
}

/** The batch is committed; until it is answered the poller may ask for the same again. */
export function noteStored({ batch, record }: Work): void {
  if (batch.since === null) return;
  record.isStored = true;
  if (batch.toDevice.length > COMPARED_MESSAGES) return;
  record.toDevice = batch.toDevice.map((message) => hashBytes(message.json));
}
