import type { Cancel, Clock, Timers } from "#src/ports/basics.ts";
import { systemClock, systemTimers } from "#src/system.ts";

/** The longest real time that counts at once, however long nobody looked. */
const STRIDE_MS = 10;

interface Pending {
  dueMs: number;
  run: () => void;
}

/**
 * Time that passes faster, and only while the event loop turns: what stands between two of its turns counts for a moment,
 * however long the machine was busy with something else. Otherwise a deadline of half a minute, which here is a second, would
 * be over before the answer that lies ready is looked at. The time of day is the real one.
 */
export class HastenedTime implements Clock, Timers {
  readonly #haste: number;
  readonly #pending = new Set<Pending>();
  #monoMs = 0;
  #askedMs = systemClock.mono();
  /** When the timers are looked at next, in this time; and how that is called off. */
  #look: { atMs: number; cancel: Cancel } | null = null;

  constructor(haste: number) {
    this.#haste = haste;
  }

  now(): number {
    return systemClock.now();
  }

  mono(): number {
    const realMs = systemClock.mono();
    // What nobody waits for need not be given time to come.
    const mostMs = this.#pending.size === 0 ? Number.POSITIVE_INFINITY : STRIDE_MS;
    this.#monoMs += Math.min(realMs - this.#askedMs, mostMs) * this.#haste;
    this.#askedMs = realMs;
    return this.#monoMs;
  }

  after(delayMs: number, run: () => void): Cancel {
    const pending = { dueMs: this.mono() + delayMs, run };
    this.#pending.add(pending);
    this.#lookBy(pending.dueMs);
    return () => void this.#pending.delete(pending);
  }

  #lookBy(dueMs: number): void {
    const nowMs = this.#monoMs;
    const atMs = Math.min(dueMs, nowMs + STRIDE_MS * this.#haste);
    if (this.#look !== null && this.#look.atMs <= atMs) return;
    this.#look?.cancel();
    const look = (): void => this.#runFirst();
    if (atMs > nowMs) {
      this.#look = { atMs, cancel: systemTimers.after((atMs - nowMs) / this.#haste, look) };
      return;
    }
    const immediate = setImmediate(look);
    this.#look = { atMs, cancel: () => clearImmediate(immediate) };
  }

  /** One alone, if it is due: what follows from it comes before the next one, as with the timers of the system. */
  #runFirst(): void {
    this.#look = null;
    const nowMs = this.mono();
    const first = this.#first();
    try {
      if (first === null || first.dueMs > nowMs) return;
      this.#pending.delete(first);
      first.run();
    } finally {
      const next = this.#first();
      if (next !== null) this.#lookBy(next.dueMs);
    }
  }

  /** Of those that are due at the same time the one that was asked for first. */
  #first(): Pending | null {
    let first: Pending | null = null;
    for (const pending of this.#pending) if (first === null || pending.dueMs < first.dueMs) first = pending;
    return first;
  }
}
