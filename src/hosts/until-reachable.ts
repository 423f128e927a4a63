import { SyncError } from "#src/errors.ts";
import type { Clock, Logger, Timers } from "#src/ports/basics.ts";

/** How often a database that is not there yet is tried again at start. */
const START_RETRY_MS = 500;
/** A database that starts together with us is waited for. */
const START_WAIT_MS = 90_000;

/** A database that cannot be reached is tried again for a while; everything else is told at once. */
export async function untilReachable<T>(
  deps: { clock: Pick<Clock, "mono">; timers: Timers; logger: Logger },
  work: () => Promise<T>,
): Promise<T> {
  const startedMs = deps.clock.mono();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const isAway = error instanceof SyncError && error.code === "storage_unavailable";
      if (!isAway || deps.clock.mono() - startedMs > START_WAIT_MS) throw error;
      deps.logger.warn({ attempt, reason: error.message }, "the database cannot be reached, trying again");
    }
    await new Promise<void>((resolve) => {
      deps.timers.after(START_RETRY_MS, resolve);
    });
  }
}
