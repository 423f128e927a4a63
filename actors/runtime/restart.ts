import type { Rng } from "#src/ports/basics.ts";

/** OTP's intensity and period: how many restarts are ordinary within a window. */
export class RestartBudget {
  readonly #intensity: number;
  readonly #periodMs: number;
  readonly #now: () => number;
  #restarts: number[] = [];

  constructor(options: { intensity: number; periodMs: number }, now: () => number) {
    this.#intensity = options.intensity;
    this.#periodMs = options.periodMs;
    this.#now = now;
  }

  /** Counts one restart; false when it is one too many for the window. */
  spend(): boolean {
    const now = this.#now();
    this.#restarts = this.#restarts.filter((at) => now - at < this.#periodMs);
    this.#restarts.push(now);
    return this.#restarts.length <= this.#intensity;
  }
}

export interface BackoffPolicy {
  /** Delay of the second restart; the first is immediate. */
  baseMs: number;
  maxMs: number;
}

/** Slows one actor that crashes again and again; others of its host do not notice. */
export const ACTOR_BACKOFF: BackoffPolicy = { baseMs: 100, maxMs: 30_000 };
/** A host takes a tenth of a second to come back; more than 10 s between attempts only prolongs an outage. */
export const HOST_BACKOFF: BackoffPolicy = { baseMs: 200, maxMs: 10_000 };

/** Delay before restart number `attempt` (from 1): nothing, then doubling, with up to a quarter taken off so that a crowd spreads. */
export function backoff(policy: BackoffPolicy, attempt: number, rng: Rng): number {
  if (attempt <= 1) return 0;
  const doubled = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt - 2, 30));
  return Math.round(doubled * (1 - rng.next() / 4));
}

/** How often actors crashed lately, kept outside of them: an incarnation does not remember the one before. */
export class CrashHistory {
  readonly #now: () => number;
  readonly #quietMs: number;
  readonly #limit: number;
  readonly #entries = new Map<string, { attempt: number; at: number }>();

  constructor(now: () => number, quietMs = CRASH_QUIET_MS, limit = CRASH_HISTORY_COUNT) {
    this.#now = now;
    this.#quietMs = quietMs;
    this.#limit = limit;
  }

  /** Counts one crash of `who`; answers which one in a row it is, from 1. */
  record(who: string): number {
    const now = this.#now();
    const before = this.#entries.get(who);
    const attempt = before !== undefined && now - before.at < this.#quietMs ? before.attempt + 1 : 1;
    this.#entries.delete(who);
    this.#entries.set(who, { attempt, at: now });
    if (this.#entries.size > this.#limit) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    return attempt;
  }
}

/** Two minutes without a crash, longer than the longest backoff, count as healed. */
const CRASH_QUIET_MS = 120_000;
/** Crashing actors remembered per host; the one quiet for longest is forgotten first. */
const CRASH_HISTORY_COUNT = 4096;
