import type { EventsMemo } from "#src/homeserver/events-memo.ts";
import type { PollOrigin, SyncOutline } from "#src/homeserver/sync-v2.ts";
import { INGEST } from "#actors/addresses.ts";
import type { BatchApplied } from "#actors/ingest/messages.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import type { PollerMessage } from "./messages.ts";
import { PollWork } from "./poll-work.ts";
import type { PollerStats } from "./poller-stats.ts";

/** Ingest answers when a batch is committed and applied; what takes longer is sent again, which is harmless. */
export const STORE_DEADLINE_MS = 60_000;

/** A `since` that came with nothing else is stored this often, so that the stored one does not grow too old to be served. */
const QUIET_SINCE_MS = 5 * 60_000;

/** Brings what a poll brought to ingest, batch by batch. */
export class Storing {
  readonly #context: ActorContext<PollerMessage>;
  readonly #stats: PollerStats;
  readonly #memo: EventsMemo;
  #work: PollWork | null = null;
  /** When a `since` was last stored, and the keys that came with it. */
  #storedAtMs = Number.NEGATIVE_INFINITY;
  #storedKeys: string | null = null;

  constructor(context: ActorContext<PollerMessage>, stats: PollerStats, memo: EventsMemo) {
    this.#context = context;
    this.#stats = stats;
    this.#memo = memo;
  }

  /** The poll at hand. */
  get work(): PollWork | null {
    return this.#work;
  }

  /** Returns false when nothing of the poll has to be stored: only `since` has moved, which is kept in memory. */
  begin(outline: SyncOutline, origin: PollOrigin): boolean {
    const nowMs = this.#context.clock.mono();
    this.#work = new PollWork(outline, origin, this.#stats, this.#memo, nowMs);
    return nowMs - this.#storedAtMs >= QUIET_SINCE_MS || !this.#work.isQuiet(this.#storedKeys);
  }

  /** Sends the next batch, if its turn has come. */
  send(stepId: number): void {
    const packed = this.#work?.take() ?? null;
    if (packed === null) return;
    this.#context.pipe(
      this.#context.ask<BatchApplied>(
        INGEST,
        { type: "store-batch", packed },
        { deadlineMs: STORE_DEADLINE_MS, transfer: [packed.bytes.buffer] },
      ),
      ({ pos }) => ({ type: "batch-stored", stepId, pos }),
      (error) => ({ type: "batch-failed", stepId, error }),
    );
    // The next one is read in a turn of its own: what was said in this one leaves at its end.
    const next: PollerMessage = { type: "send-batch", stepId };
    if (this.#work?.hasMore === true) this.#context.tell(this.#context.self, next);
  }

  /** Answers come in the order of the batches; true when this was the last one. */
  batchStored(): boolean {
    const isDone = this.#work?.advance() ?? true;
    if (isDone) {
      this.#storedAtMs = this.#context.clock.mono();
      this.#storedKeys = this.#work?.keys ?? null;
    }
    return isDone;
  }

  /** A batch did not arrive: it is sent again, with all behind it. */
  rewind(): void {
    this.#work?.rewind();
  }

  /** The poll is stored, or given up. */
  end(): void {
    this.#work = null;
  }
}
