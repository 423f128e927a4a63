import type { Cancel, Clock, Timers } from "#src/ports/basics.ts";

/** How often a thread looks at how punctual it is: seldom enough to cost nothing. */
const LAG_EVERY_MS = 1000;
/** The latest of this many is told. */
const LAGS_KEPT = 60;

/** How late a timer goes off that is due: what everything on the thread has to wait. */
export class LoopLag {
  readonly #clock: Pick<Clock, "mono">;
  readonly #timers: Timers;
  readonly #onLag: (lagMs: number) => void;
  readonly #lags: number[] = [];
  #cancel: Cancel;
  #dueMs = 0;

  constructor(deps: { clock: Pick<Clock, "mono">; timers: Timers; onLag: (lagMs: number) => void }) {
    this.#clock = deps.clock;
    this.#timers = deps.timers;
    this.#onLag = deps.onLag;
    this.#cancel = this.#arm();
  }

  get view(): { last: number; max: number } {
    return { last: this.#lags.at(-1) ?? 0, max: Math.max(0, ...this.#lags) };
  }

  stop(): void {
    this.#cancel();
  }

  #arm(): Cancel {
    this.#dueMs = this.#clock.mono() + LAG_EVERY_MS;
    return this.#timers.after(LAG_EVERY_MS, () => {
      const lagMs = Math.max(0, Math.round((this.#clock.mono() - this.#dueMs) * 10) / 10);
      this.#lags.push(lagMs);
      if (this.#lags.length > LAGS_KEPT) this.#lags.shift();
      this.#onLag(lagMs);
      this.#cancel = this.#arm();
    });
  }
}
