import type { ConnectionState, PollerState } from "#src/admin/api.ts";
import { countText } from "../model/format.ts";
import type { Part } from "./charts.tsx";

/** Colours of pollers by state. */
export const POLLER_COLOURS: Readonly<Record<PollerState, number>> = {
  polling: 0,
  storing: 1,
  loading: 2,
  queued: 3,
  waiting: 4,
  paused: 5,
  stopped: 6,
};

/** Colours of connections by state. */
export const CONNECTION_COLOURS: Readonly<Record<ConnectionState, number>> = {
  parked: 0,
  working: 1,
  loading: 2,
  idle: 6,
};

/** Colours of where a request's time went. */
export const PHASE_COLOURS = { body: 2, token: 3, setup: 4, waiting: 6, work: 0 } as const;

/** Counts by state as parts of a bar. */
export function partsOf<S extends string>(
  counts: Readonly<Partial<Record<S, number>>>,
  colours: Readonly<Record<S, number>>,
): Part[] {
  return (Object.keys(colours) as S[]).map((name) => {
    const value = counts[name] ?? 0;
    return { name, value, text: countText(value), colour: colours[name] };
  });
}
