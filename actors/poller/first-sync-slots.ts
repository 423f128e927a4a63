import type { UserId } from "#src/protocol/ids.ts";

/** A place among the first syncs that run at once on a host. */
export interface Slot {
  /** Resolves when it is this one's turn. */
  readonly granted: Promise<void>;
  /** Gives the place up, granted or not; harmless when repeated. */
  release(): void;
}

interface Waiting {
  userId: UserId;
  grant: () => void;
}

/**
 * Bounds first syncs at once: each costs the homeserver, ingest and memory a thousand times what a later poll does. One user has
 * one at a time: what it brings is what the others would bring.
 */
export class FirstSyncSlots {
  readonly #limit: number;
  readonly #queue = new Set<Waiting>();
  readonly #running = new Set<UserId>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Queues for a place: first come, first served. */
  request(userId: UserId): Slot {
    const { promise, resolve } = Promise.withResolvers<void>();
    let state: "waiting" | "taken" | "released" = "waiting";
    const waiting: Waiting = {
      userId,
      grant: () => {
        state = "taken";
        this.#running.add(userId);
        resolve();
      },
    };
    this.#queue.add(waiting);
    this.#grantNext();
    return {
      granted: promise,
      release: () => {
        if (state === "taken") this.#running.delete(userId);
        else this.#queue.delete(waiting);
        state = "released";
        this.#grantNext();
      },
    };
  }

  #grantNext(): void {
    for (const waiting of this.#queue) {
      if (this.#running.size >= this.#limit) return;
      if (this.#running.has(waiting.userId)) continue;
      this.#queue.delete(waiting);
      waiting.grant();
    }
  }
}
