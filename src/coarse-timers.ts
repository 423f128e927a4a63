import type { Cancel, Clock, Timers } from "./ports/basics.ts";
import { SmallSet } from "./small-collections.ts";

/** What is to happen sooner happens to the millisecond. */
const COARSE_FROM_MS = 8000;
/** A timer may go off late by one part in so many of its delay: a long poll of half a minute by a tenth of a second. */
const PRECISION = 300;

/** All that is to happen at one time. */
interface Slot {
  readonly waiting: SmallSet<Waiting>;
  readonly cancel: Cancel;
}

interface Waiting {
  readonly run: () => void;
}

/**
 * Timers of which those for later share one of the runtime's, which takes ten times what is kept here, and wakes the thread: a
 * device on line has five of them, nearly all of which are cancelled.
 */
export class CoarseTimers implements Timers {
  readonly #exact: Timers;
  readonly #clock: Pick<Clock, "mono">;
  /** By the time at which they are due. */
  readonly #slots = new Map<number, Slot>();

  constructor(exact: Timers, clock: Pick<Clock, "mono">) {
    this.#exact = exact;
    this.#clock = clock;
  }

  after(delayMs: number, run: () => void): Cancel {
    // What never comes about has no time to be due at.
    if (!(delayMs >= COARSE_FROM_MS && delayMs < Infinity)) return this.#exact.after(delayMs, run);
    const nowMs = this.#clock.mono();
    const stepMs = 2 ** Math.floor(Math.log2(delayMs / PRECISION));
    const dueMs = Math.ceil((nowMs + delayMs) / stepMs) * stepMs;
    const slot = this.#slots.get(dueMs) ?? this.#open(dueMs, dueMs - nowMs);
    const waiting = { run };
    slot.waiting.add(waiting);
    return () => {
      if (slot.waiting.delete(waiting) && slot.waiting.size === 0) this.#close(dueMs, slot);
    };
  }

  #open(dueMs: number, delayMs: number): Slot {
    const slot: Slot = { waiting: new SmallSet(), cancel: this.#exact.after(delayMs, () => this.#goOff(dueMs)) };
    this.#slots.set(dueMs, slot);
    return slot;
  }

  #close(dueMs: number, slot: Slot): void {
    if (this.#slots.get(dueMs) !== slot) return;
    this.#slots.delete(dueMs);
    slot.cancel();
  }

  #goOff(dueMs: number): void {
    const slot = this.#slots.get(dueMs);
    this.#slots.delete(dueMs);
    if (slot !== undefined) this.#runAll(slot.waiting);
  }

  /** What fails does not take the others along. */
  #runAll(waiting: SmallSet<Waiting>): void {
    try {
      // One may have cancelled another.
      for (const one of waiting) if (waiting.delete(one)) one.run();
    } finally {
      if (waiting.size > 0) this.#exact.after(0, () => this.#runAll(waiting));
    }
  }
}
