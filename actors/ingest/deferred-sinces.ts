import { pollerKey } from "#src/state/ingest-context.ts";
import type { IngestTransaction } from "#src/state/ingest-transaction.ts";

type Since = IngestTransaction["sinces"][number];

/** Tokens of polls that brought nothing else: losing one only repeats a poll, so they are written together, seconds later. */
export class DeferredSinces {
  readonly #sinces = new Map<string, Since>();

  get size(): number {
    return this.#sinces.size;
  }

  add(since: Since): void {
    this.#sinces.set(pollerKey(since.userId, since.deviceId), since);
  }

  /** Adds them to a transaction that is about to be committed, unless it has a newer one. */
  addTo(tx: IngestTransaction): void {
    const present = new Set(tx.sinces.map((since) => pollerKey(since.userId, since.deviceId)));
    for (const [key, since] of this.#sinces) if (!present.has(key)) tx.sinces.push(since);
  }

  /** These, or newer ones, are in the database. */
  stored(sinces: readonly Since[]): void {
    for (const { userId, deviceId } of sinces) this.#sinces.delete(pollerKey(userId, deviceId));
  }

  clear(): void {
    this.#sinces.clear();
  }
}
