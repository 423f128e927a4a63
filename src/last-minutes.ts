import type { Clock } from "#src/ports/basics.ts";

const SLICE_MS = 60_000;
const SLICES = 5;

/** How far back `LastMinutes` remembers, in milliseconds; the last slice of it has only begun. */
export const LAST_MINUTES_MS = SLICE_MS * SLICES;

/** What is counted in slices of a minute each, of which the last five are kept. */
export class LastMinutes<T> {
  readonly #clock: Pick<Clock, "mono">;
  readonly #begin: () => T;
  #slices: { index: number; counts: T }[] = [];

  /** `begin` makes the counts of a new slice. */
  constructor(clock: Pick<Clock, "mono">, begin: () => T) {
    this.#clock = clock;
    this.#begin = begin;
  }

  /** The slice that is counted in now. */
  current(): T {
    const index = this.#index;
    const last = this.#slices.at(-1);
    if (last?.index === index) return last.counts;
    const counts = this.#begin();
    this.#slices.push({ index, counts });
    this.#forgetOld();
    return counts;
  }

  /** Every slice that is kept, the oldest first. */
  all(): T[] {
    this.#forgetOld();
    return this.#slices.map(({ counts }) => counts);
  }

  get #index(): number {
    return Math.floor(this.#clock.mono() / SLICE_MS);
  }

  #forgetOld(): void {
    const oldest = this.#index - SLICES;
    this.#slices = this.#slices.filter(({ index }) => index > oldest);
  }
}
