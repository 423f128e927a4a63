import type { Clock } from "#src/ports/basics.ts";
import type { DeepReport, HealthCheck, HealthSource, RecentCalls } from "#src/ports/health.ts";

/** Fewer than this say nothing. */
const LEAST_REQUESTS = 10;
/** From here on it is not a few unlucky ones. */
const TOO_MANY_FAILURES = 0.2;
/** Anybody may ask: the hosts are not asked for each of them. */
const REPORT_TTL_MS = 2_000;

/** What the deep report looks at besides readiness. */
export interface DeepHealthDeps {
  health: HealthSource;
  /** How clients' requests went of late; a failure is one of ours or the homeserver's. */
  requests: () => RecentCalls;
  homeserver: () => Promise<RecentCalls & { latencyMs: DeepReport["homeserver"]["latencyMs"] }>;
  clock: Pick<Clock, "mono">;
}

/** Tells not only whether we could work, but whether it has been working; shared by all who ask within two seconds. */
export function createDeepHealth(deps: DeepHealthDeps): () => Promise<DeepReport> {
  let latest: { madeMs: number; report: Promise<DeepReport> } | null = null;

  async function ask(): Promise<DeepReport> {
    const [{ checks }, homeserver] = await Promise.all([deps.health.report(), deps.homeserver()]);
    const requests = deps.requests();
    const all = [
      ...checks,
      checkOf("requests", requests, "of clients' requests failed"),
      checkOf("homeserver", homeserver, "of the calls of the homeserver failed"),
    ];
    return { ready: all.every(({ ok }) => ok), checks: all, requests, homeserver };
  }

  return () => {
    const nowMs = deps.clock.mono();
    if (latest === null || nowMs - latest.madeMs >= REPORT_TTL_MS) latest = { madeMs: nowMs, report: ask() };
    return latest.report;
  };
}

function checkOf(name: string, { calls, failures, windowMs }: RecentCalls, what: string): HealthCheck {
  const ok = calls < LEAST_REQUESTS || failures < calls * TOO_MANY_FAILURES;
  const minutes = Math.round(windowMs / 60_000);
  return { name, ok, reason: ok ? null : `${failures} of ${calls} ${what} in the last ${minutes} minutes` };
}
