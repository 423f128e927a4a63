import { SyncError } from "../errors.ts";

/** Shorter waits are raised to this: what is on its way through the server right now still makes it into the answer. */
const SHORTEST_WAIT_MS = 100;
/** Proxies and phones drop connections that are silent for longer. */
const LONGEST_WAIT_MS = 120_000;

/** Milliseconds a sync may wait, as a query says it; 0 = answer at once. */
export function readSyncTimeout(value: string | undefined, defaultMs: number): number {
  if (value === undefined || value === "") return defaultMs;
  if (!/^[+-]?\d+$/.test(value)) throw new SyncError("invalid_param", `invalid timeout: ${value.slice(0, 32)}`);
  return boundedWait(Number(value));
}

/** A wait as it is really held. */
export function boundedWait(timeoutMs: number): number {
  return timeoutMs === 0 ? 0 : Math.min(Math.max(timeoutMs, SHORTEST_WAIT_MS), LONGEST_WAIT_MS);
}
