import { SyncError } from "#src/errors.ts";
import type { Cancel, Logger, Timers } from "#src/ports/basics.ts";

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5000;

/** Work of a host's start that needs the database. */
export interface PatientWork {
  /** Resolves after the first attempt; a database that is away is waited for behind it, so that the host is up meanwhile. */
  begin: () => Promise<void>;
  /** No further attempt. */
  close: () => void;
}

/** Work that is repeated while the database is away, instead of costing the host its life. */
export function patiently(work: () => Promise<void>, ports: { timers: Timers; logger: Logger }): PatientWork {
  let cancel: Cancel = () => {};
  let isClosed = false;
  const attempt = async (delayMs: number): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (isClosed) return;
      if (!(error instanceof SyncError) || error.code !== "storage_unavailable") throw error;
      ports.logger.warn({ delay_ms: delayMs }, "start waits for the database");
      cancel = ports.timers.after(delayMs, () => void attempt(Math.min(2 * delayMs, LONGEST_DELAY_MS)));
    }
  };
  return {
    begin: () => attempt(FIRST_DELAY_MS),
    close: () => {
      isClosed = true;
      cancel();
    },
  };
}
