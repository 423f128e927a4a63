/** A place among the first syncs that run at once on a host. */
export interface Slot {
  /** Resolves when it is this one's turn. */
  readonly granted: Promise<void>;
  /** Gives the place up, granted or not; harmless when repeated. */
  release(): void;
}

/** Bounds first syncs at once: each costs the homeserver, ingest and memory a thousand times what a later poll does. */
export class FirstSyncSlots {
  readonly #limit: number;
  readonly #queue = new Set<() => void>();
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Queues for a place: first come, first served. */
  request(): Slot {
    const { promise, resolve } = Promise.withResolvers<void>();
    let state: "waiting" | "taken" | "released" = "waiting";
    const grant = (): void => {
      state = "taken";
      this.#taken++;
      resolve();
    };
    this.#queue.add(grant);
    this.#grantNext();
    return {
      granted: promise,
      release: () => {
        if (state === "taken") this.#taken--;
        else this.#queue.delete(grant);
        state = "released";
        this.#grantNext();
      },
    };
  }

  #grantNext(): void {
    for (const grant of this.#queue) {
      if (this.#taken >= this.#limit) return;
      this.#queue.delete(grant);
      grant();
    }
  }
}
