import { LAST_MINUTES_MS, LastMinutes } from "#src/last-minutes.ts";
import type { Clock } from "#src/ports/basics.ts";
import type { RequestOutcome, RequestRecord } from "./request-log.ts";

/** Where the time of a request went; what was only waited for is not work. */
export type RequestPhase = "body" | "token" | "setup" | "waiting" | "work";

/** A request that took long. */
export interface SlowRequest {
  endedAtMs: number;
  record: RequestRecord;
  outcome: RequestOutcome;
  phases: { name: RequestPhase; ms: number }[];
}

/** Work of more than this is worth a look. */
const SLOW_WORK_MS = 500;
const KEPT = 200;

/** Remembers how the sync requests of the last minutes went, and the slow ones. */
export class RecentRequests {
  readonly #clock: Clock;
  readonly #slow: SlowRequest[] = [];
  readonly #slices: LastMinutes<{ requests: number; failures: number }>;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#slices = new LastMinutes(clock, () => ({ requests: 0, failures: 0 }));
  }

  ended(record: RequestRecord, outcome: RequestOutcome): void {
    const slice = this.#slices.current();
    slice.requests += 1;
    if (outcome.status >= 500) slice.failures += 1;
    const workMs = outcome.durationMs - (record.waitedMs ?? 0);
    if (workMs < SLOW_WORK_MS || outcome.status === 499) return;
    this.#slow.push({ endedAtMs: this.#clock.now(), record, outcome, phases: phasesOf(record, outcome) });
    if (this.#slow.length > KEPT) this.#slow.shift();
  }

  /** The newest first. */
  slow(): SlowRequest[] {
    return this.#slow.toReversed();
  }

  /** A client's own mistakes are no failures, and neither is its patience. */
  success(): { windowMs: number; requests: number; failures: number } {
    let [requests, failures] = [0, 0];
    for (const slice of this.#slices.all()) {
      requests += slice.requests;
      failures += slice.failures;
    }
    return { windowMs: LAST_MINUTES_MS, requests, failures };
  }
}

function phasesOf(record: RequestRecord, outcome: RequestOutcome): SlowRequest["phases"] {
  const { bodyMs, tokenMs, setupMs, waitedMs } = record;
  const parts: [RequestPhase, number | null][] = [
    ["body", bodyMs],
    ["token", tokenMs],
    ["setup", setupMs],
    ["waiting", waitedMs],
  ];
  const known = parts.flatMap(([name, ms]) => (ms === null ? [] : [{ name, ms: Math.round(ms) }]));
  const rest = outcome.durationMs - known.reduce((sum, { ms }) => sum + ms, 0);
  return [...known, { name: "work", ms: Math.max(0, Math.round(rest)) }];
}
