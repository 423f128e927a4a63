import type { Clock, Logger, Timers } from "#src/ports/basics.ts";
import type { HealthCheck, HealthReport, HealthSource } from "#src/ports/health.ts";

/** Looks at one thing; resolves null when it is well, else what is wrong, for everybody to read. It may reject. */
export interface HealthProbe {
  name: string;
  probe: () => Promise<string | null>;
}

/** A probe that has not answered by then has failed. */
const PROBE_DEADLINE_MS = 3_000;
/** Anybody may ask for our health: the database is not asked for each of them. */
const REPORT_TTL_MS = 1_000;
/** Addresses and accounts are in the words of drivers: those are for the log. */
const FAILED = "cannot be used: the log says why";

/** Asks all probes at once, each within a deadline; a report is shared by all who ask within a second. */
export function createHealthSource(deps: {
  probes: readonly HealthProbe[];
  clock: Clock;
  timers: Timers;
  log: Logger;
}): HealthSource {
  /** What was last logged of each probe that fails. */
  const logged = new Map<string, string>();
  let latest: { madeMs: number; report: Promise<HealthReport> } | null = null;

  function failed(name: string, error: unknown): string {
    const reason = error instanceof Error ? error.message : String(error);
    if (logged.get(name) !== reason) deps.log.warn({ check: name, reason }, "health check failed");
    logged.set(name, reason);
    return FAILED;
  }

  async function check({ name, probe }: HealthProbe): Promise<HealthCheck> {
    const late = Promise.withResolvers<string>();
    const cancel = deps.timers.after(PROBE_DEADLINE_MS, () => late.resolve(`no answer within ${PROBE_DEADLINE_MS} ms`));
    try {
      const reason = await Promise.race([probe(), late.promise]);
      if (reason === null) logged.delete(name);
      return { name, ok: reason === null, reason };
    } catch (error) {
      return { name, ok: false, reason: failed(name, error) };
    } finally {
      cancel();
    }
  }

  async function ask(): Promise<HealthReport> {
    const checks = await Promise.all(deps.probes.map(check));
    return { ready: checks.every(({ ok }) => ok), checks };
  }

  return {
    report() {
      const now = deps.clock.mono();
      if (latest === null || now - latest.madeMs >= REPORT_TTL_MS) latest = { madeMs: now, report: ask() };
      return latest.report;
    },
  };
}
