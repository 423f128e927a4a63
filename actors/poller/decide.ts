import type { Rng } from "#src/ports/basics.ts";
import type { UpstreamFailure } from "#src/ports/homeserver.ts";

/** How long the homeserver may hold an ordinary poll. */
const LONG_POLL_MS = 30_000;
/** Polls of quiet devices end at multiples of this: to wake for each of them costs as much again as what it says. */
const QUIET_ENDS_EVERY_MS = 512;
/** A poll that ended by less than this before its time was held to its end. */
const EARLY_MS = 500;

/**
 * How long the homeserver may hold a poll that begins now. `wasQuiet`: the one before ended with its time. As nothing is heard
 * earlier or later by that, those of quiet devices then end together.
 */
export function longPollMs(nowMs: number, wasQuiet: boolean): number {
  return wasQuiet ? LONG_POLL_MS - Math.floor((nowMs + LONG_POLL_MS) % QUIET_ENDS_EVERY_MS) : LONG_POLL_MS;
}

/** Whether a poll had its time to the end, as those of quiet devices have. */
export const isFullyHeld = (timeoutMs: number, tookMs: number): boolean =>
  timeoutMs > 0 && tookMs >= timeoutMs - EARLY_MS;

/** An operator's shorter deadline must not end every long poll before its answer. */
const LEAST_GRACE_MS = 15_000;

/** How long a poll may take: the configured time, but never less than what the homeserver was allowed. */
export const pollDeadlineMs = (configuredMs: number, timeoutMs: number): number =>
  Math.max(configuredMs, timeoutMs + LEAST_GRACE_MS);

/** Failures in a row of a first sync (about six seconds) after which those who wait for it are told. */
export const FAILURES_UNTIL_TOLD = 4;

/** What a poller waits for before it tries again. */
export type RetryCause =
  /** The homeserver is away or busy. */
  | "transient"
  /** It refuses the request, or answers what cannot be read: asking often helps nobody. */
  | "hopeless"
  /** A 200 without a body: something between us and the homeserver gave up holding the long poll. */
  | "empty"
  /** Our own storage is away: it is near, so it is asked more often. */
  | "storage";

/**
 * First delay and longest one. Homeservers come back within seconds or are away for minutes; Synapse keeps the answer it had
 * ready for two minutes, so a poller that waits at most 45 s (30 s and half of it again) still finds it there.
 */
const DELAYS: Record<RetryCause, { baseMs: number; maxMs: number }> = {
  transient: { baseMs: 2000, maxMs: 30_000 },
  hopeless: { baseMs: 2000, maxMs: 300_000 },
  empty: { baseMs: 250, maxMs: 5000 },
  storage: { baseMs: 500, maxMs: 10_000 },
};

/** Attempts that follow each other at the first delay: most trouble is over by then. */
const QUICK_ATTEMPTS = 3;

/** Doubling after the quick attempts, half up or down so that a crowd spreads; never before the homeserver asked us back. */
export function retryDelayMs(cause: RetryCause, attempt: number, retryAfterMs: number, rng: Rng): number {
  const { baseMs, maxMs } = DELAYS[cause];
  const doubled = Math.min(maxMs, baseMs * 2 ** Math.min(Math.max(0, attempt - QUICK_ATTEMPTS), 20));
  const jittered = Math.round(doubled * (0.5 + rng.next()));
  // Everybody is told the same time: those who come back at once together are told again.
  return retryAfterMs > 0 ? Math.max(retryAfterMs + Math.round(rng.next() * baseMs), jittered) : jittered;
}

/** What a failed poll asks for. */
export type PollAdvice =
  | { do: "drop-token"; isSoftLogout: boolean }
  /** Retry with the filter inline. */
  | { do: "forget-filter"; cause: RetryCause; retryAfterMs: number }
  | { do: "retry"; cause: RetryCause; retryAfterMs: number };

/** Decides what follows from a failed poll. */
export function adviseOnFailure(failure: UpstreamFailure, usesFilterId: boolean): PollAdvice {
  switch (failure.kind) {
    case "auth":
      return { do: "drop-token", isSoftLogout: failure.softLogout };
    case "refused":
      // A homeserver that lost its filters refuses every poll that names one.
      return usesFilterId
        ? { do: "forget-filter", cause: "transient", retryAfterMs: 0 }
        : { do: "retry", cause: "hopeless", retryAfterMs: 0 };
    case "transient":
      return { do: "retry", cause: "transient", retryAfterMs: failure.retryAfterMs };
  }
}

/** The line is worth a log entry: the first failures, then ever fewer. */
export const isWorthLogging = (attempt: number): boolean => attempt <= 3 || (attempt & (attempt - 1)) === 0;
