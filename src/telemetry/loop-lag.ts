import type { Cancel, Clock, Timers } from "#src/ports/basics.ts";

/** How often a thread at work looks at how punctual it is: seldom enough to cost nothing. */
const LAG_AT_WORK_MS = 1000;
/** How often one at rest does: waking up for it is most of what it would do. */
const LAG_AT_REST_MS = 5000;
/** Of the time since the last look, less CPU than this part is rest. */
const REST_PART = 0.02;
/** The latest of this many is told. */
const LAGS_KEPT = 60;

/** How late a timer goes off that is due: what everything on the thread has to wait. */
export class LoopLag {
  readonly #clock: Pick<Clock, "mono">;
  readonly #timers: Timers;
  readonly #onLag: (lagMs: number) => void;
  readonly #lags: number[] = [];
  readonly #cpuMs: () => number;
  #cancel: Cancel;
  #seenCpuMs: number;

  /** `cpuMs`: what the thread has used so far. */
  constructor(deps: {
    clock: Pick<Clock, "mono">;
    timers: Timers;
    cpuMs: () => number;
    onLag: (lagMs: number) => void;
  }) {
    this.#clock = deps.clock;
    this.#timers = deps.timers;
    this.#cpuMs = deps.cpuMs;
    this.#onLag = deps.onLag;
    this.#seenCpuMs = deps.cpuMs();
    this.#cancel = this.#arm(LAG_AT_WORK_MS);
  }

  get view(): { last: number; max: number } {
    return { last: this.#lags.at(-1) ?? 0, max: Math.max(0, ...this.#lags) };
  }

  stop(): void {
    this.#cancel();
  }

  #arm(delayMs: number): Cancel {
    const dueMs = this.#clock.mono() + delayMs;
    return this.#timers.after(delayMs, () => {
      const lagMs = Math.max(0, Math.round((this.#clock.mono() - dueMs) * 10) / 10);
      this.#lags.push(lagMs);
      if (this.#lags.length > LAGS_KEPT) this.#lags.shift();
      this.#onLag(lagMs);
      this.#cancel = this.#arm(this.#spentMs() < delayMs * REST_PART ? LAG_AT_REST_MS : LAG_AT_WORK_MS);
    });
  }

  /** CPU since it was last asked. */
  #spentMs(): number {
    const before = this.#seenCpuMs;
    this.#seenCpuMs = this.#cpuMs();
    return this.#seenCpuMs - before;
  }
}
