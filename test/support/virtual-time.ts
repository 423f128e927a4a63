import type { Cancel, Clock, Timers } from "#src/ports/basics.ts";

interface Pending {
  dueMs: number;
  order: number;
  run: () => void;
}

/** Clock and timers that move only when told to. */
export class VirtualTime implements Clock, Timers {
  #nowMs: number;
  #order = 0;
  readonly #pending = new Set<Pending>();

  constructor(startMs = 1_800_000_000_000) {
    this.#nowMs = startMs;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  now(): number {
    return this.#nowMs;
  }

  mono(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): Cancel {
    const pending = { dueMs: this.#nowMs + delayMs, order: this.#order++, run };
    this.#pending.add(pending);
    return () => void this.#pending.delete(pending);
  }

  /** Fires what falls due, in order; promises that follow from it settle in between. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      await settlePromises();
      const next = [...this.#pending]
        .filter(({ dueMs }) => dueMs <= untilMs)
        .sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0];
      if (next === undefined) break;
      this.#pending.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.run();
    }
    this.#nowMs = untilMs;
    await settlePromises();
  }
}

/** Lets all promises that can settle without time passing do so. */
export async function settlePromises(): Promise<void> {
  for (let round = 0; round < 20; round++) await Promise.resolve();
}
