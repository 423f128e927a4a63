import type { Cancel, Clock, Timers } from "#src/ports/basics.ts";

/** Time that moves only when a test says so. */
export class ManualTime implements Clock, Timers {
  #nowMs = 1_700_000_000_000;
  #pending: { dueMs: number; run: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  mono(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): Cancel {
    const timer = { dueMs: this.#nowMs + delayMs, run };
    this.#pending.push(timer);
    return () => {
      this.#pending = this.#pending.filter((other) => other !== timer);
    };
  }

  /** Moves on, running what falls due in order. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      const due = this.#pending.filter((timer) => timer.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#pending = this.#pending.filter((timer) => timer !== due);
      this.#nowMs = Math.max(this.#nowMs, due.dueMs);
      due.run();
    }
    this.#nowMs = untilMs;
  }

  get pendingCount(): number {
    return this.#pending.length;
  }
}
