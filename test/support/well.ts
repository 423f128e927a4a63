import type { DeepReport } from "#src/ports/health.ts";

const NO_CALLS = { windowMs: 300_000, calls: 0, failures: 0 };

/** Nothing has happened yet. */
export const WELL: DeepReport = {
  ready: true,
  checks: [],
  requests: NO_CALLS,
  homeserver: { ...NO_CALLS, latencyMs: null },
};
