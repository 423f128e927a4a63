import { SyncError } from "#src/errors.ts";

const DEFAULT_TIMEOUT_MS = 10_000;
/** Shorter waits are raised to this: what is on its way through the server right now still makes it into the answer. */
const SHORTEST_WAIT_MS = 100;
/** Proxies and phones drop connections that are silent for longer. */
const LONGEST_WAIT_MS = 120_000;

/** Milliseconds a sync may wait; 0 = answer at once. */
export function readSyncTimeout(value: string | undefined): number {
  if (value === undefined || value === "") return DEFAULT_TIMEOUT_MS;
  if (!/^[+-]?\d+$/.test(value)) throw new SyncError("invalid_param", `invalid timeout: ${value.slice(0, 32)}`);
  const timeoutMs = Number(value);
  if (timeoutMs === 0) return 0;
  return Math.min(Math.max(timeoutMs, SHORTEST_WAIT_MS), LONGEST_WAIT_MS);
}
