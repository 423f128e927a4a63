import { LAST_MINUTES_MS, LastMinutes } from "#src/last-minutes.ts";
import type { Clock, Metrics } from "#src/ports/basics.ts";

/** One call of the homeserver that is over. */
export interface EndedCall {
  /** What was asked for: `sync`, `long-poll`, `first-sync`, `whoami` … */
  endpoint: string;
  tookMs: number;
  /** Null = it was answered as one would wish. */
  failure: string | null;
}

/** Calls of the last minutes; plain data, and those of several hosts add up. */
export interface UpstreamSummary {
  windowMs: number;
  calls: number;
  /** Without those that were refused: anybody can send tokens that are none. */
  failures: number;
  /** Of calls that were not held: how many lie at or below each of `LATENCY_BOUNDS_MS`, and above the last. */
  latencies: number[];
  maxMs: number;
  lastFailure: { atMs: number; endpoint: string; reason: string } | null;
}

/** Upper bounds of the classes that latencies are counted in. */
const LATENCY_BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 120_000];

/** The homeserver holds these, or they are known to take long: they say nothing of how it does. */
const HELD = new Set(["long-poll", "first-sync"]);
/** A homeserver that says no is well. */
const REFUSALS = new Set(["401", "4xx"]);

type Slice = Pick<UpstreamSummary, "calls" | "failures" | "latencies" | "maxMs">;

/** Counts the calls that one host makes: for ever in metrics, and the last minutes here. */
export class UpstreamWatch {
  readonly #clock: Clock;
  readonly #metrics: Pick<Metrics, "observe" | "count">;
  readonly #slices: LastMinutes<Slice>;
  #lastFailure: UpstreamSummary["lastFailure"] = null;

  constructor(deps: { clock: Clock; metrics: Pick<Metrics, "observe" | "count"> }) {
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
    this.#slices = new LastMinutes(deps.clock, () => ({ calls: 0, failures: 0, latencies: noLatencies(), maxMs: 0 }));
  }

  ended({ endpoint, tookMs, failure }: EndedCall): void {
    const slice = this.#slices.current();
    slice.calls += 1;
    this.#metrics.observe("homeserver_request_duration_secs", tookMs / 1000, { endpoint });
    if (!HELD.has(endpoint)) {
      const at = LATENCY_BOUNDS_MS.findIndex((bound) => tookMs <= bound);
      const index = at === -1 ? LATENCY_BOUNDS_MS.length : at;
      slice.latencies[index] = (slice.latencies[index] ?? 0) + 1;
      slice.maxMs = Math.max(slice.maxMs, Math.round(tookMs));
    }
    if (failure === null) return;
    this.#metrics.count("homeserver_failures_total", 1, { endpoint, kind: failure });
    if (REFUSALS.has(failure)) return;
    slice.failures += 1;
    this.#lastFailure = { atMs: this.#clock.now(), endpoint, reason: failure };
  }

  summary(): UpstreamSummary {
    const total: UpstreamSummary = { ...emptySummary(), lastFailure: this.#lastFailure };
    for (const slice of this.#slices.all()) addTo(total, slice);
    return total;
  }
}

const noLatencies = (): number[] => Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0);

const emptySummary = (): UpstreamSummary => ({
  windowMs: LAST_MINUTES_MS,
  calls: 0,
  failures: 0,
  latencies: noLatencies(),
  maxMs: 0,
  lastFailure: null,
});

function addTo(total: UpstreamSummary, part: Slice): void {
  total.calls += part.calls;
  total.failures += part.failures;
  total.maxMs = Math.max(total.maxMs, part.maxMs);
  total.latencies = total.latencies.map((count, index) => count + (part.latencies[index] ?? 0));
}

/** All hosts together. */
export function addSummaries(parts: readonly UpstreamSummary[]): UpstreamSummary {
  const total = emptySummary();
  for (const part of parts) {
    addTo(total, part);
    if ((part.lastFailure?.atMs ?? 0) > (total.lastFailure?.atMs ?? 0)) total.lastFailure = part.lastFailure;
  }
  return total;
}

/** The bound below which this share of the counted latencies lies; null when there are none. */
export function quantileMs(
  { latencies, maxMs }: Pick<UpstreamSummary, "latencies" | "maxMs">,
  share: number,
): number | null {
  const count = latencies.reduce((sum, n) => sum + n, 0);
  if (count === 0) return null;
  let below = 0;
  for (const [index, n] of latencies.entries()) {
    below += n;
    if (below >= count * share) return Math.min(LATENCY_BOUNDS_MS[index] ?? maxMs, maxMs);
  }
  return maxMs;
}
