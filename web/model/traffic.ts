import type { ListOp } from "./wire.ts";

/** One request and what came of it. */
export interface Exchange {
  readonly id: number;
  readonly startedAtMs: number;
  readonly method: string;
  /** Without the address, and without anything secret. */
  readonly path: string;
  /** Null while nothing has come. */
  readonly status: number | null;
  readonly outcome: "waiting" | "answered" | "cut short" | "failed";
  readonly durationMs: number | null;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** As it was sent; null when it is secret, or too old to be kept. */
  readonly request: string | null;
  readonly response: string | null;
  /** What a sync says, drawn. */
  readonly sync: SyncSummary | null;
}

/** What a sync response brought. */
export interface SyncSummary {
  count: number;
  ops: readonly ListOp[];
  roomsInitial: number;
  roomsUpdated: number;
}

/** Older exchanges are dropped. */
const MOST_EXCHANGES = 200;
/** Of more text than this, what is oldest loses its bodies. */
const MOST_CHARS = 4_000_000;

/** What went over the wire, newest first, and no more than memory allows. */
export interface Traffic {
  readonly exchanges: readonly Exchange[];
  readonly isPaused: boolean;
  /** Those that went by while it was paused. */
  readonly passedBy: number;
  readonly totals: { requests: number; requestBytes: number; responseBytes: number };
}

/** Nothing yet. */
export const NO_TRAFFIC: Traffic = {
  exchanges: [],
  isPaused: false,
  passedBy: 0,
  totals: { requests: 0, requestBytes: 0, responseBytes: 0 },
};

/** Takes in an exchange that begins, or what has become of one. */
export function noteExchange(traffic: Traffic, exchange: Exchange): Traffic {
  const isKnown = traffic.exchanges.some(({ id }) => id === exchange.id);
  const { totals } = traffic;
  const counted = {
    ...traffic,
    totals:
      exchange.outcome === "waiting"
        ? { ...totals, requests: totals.requests + 1, requestBytes: totals.requestBytes + exchange.requestBytes }
        : { ...totals, responseBytes: totals.responseBytes + exchange.responseBytes },
  };
  if (isKnown) {
    return {
      ...counted,
      exchanges: bounded(traffic.exchanges.map((known) => (known.id === exchange.id ? exchange : known))),
    };
  }
  if (traffic.isPaused) {
    return exchange.outcome === "waiting" ? { ...counted, passedBy: traffic.passedBy + 1 } : counted;
  }
  // One that began while it was paused, or that was cleared away, does not come back.
  return exchange.outcome === "waiting"
    ? { ...counted, exchanges: bounded([exchange, ...traffic.exchanges]) }
    : counted;
}

/** Stops the picture, or lets it go on. */
export const setPaused = (traffic: Traffic, isPaused: boolean): Traffic => ({ ...traffic, isPaused, passedBy: 0 });

/** Takes away what is shown; the sums stay. */
export const clearTraffic = (traffic: Traffic): Traffic => ({ ...traffic, exchanges: [], passedBy: 0 });

function bounded(exchanges: readonly Exchange[]): readonly Exchange[] {
  let chars = 0;
  return exchanges.slice(0, MOST_EXCHANGES).map((exchange) => {
    chars += (exchange.request?.length ?? 0) + (exchange.response?.length ?? 0);
    return chars <= MOST_CHARS ? exchange : withoutBodies(exchange);
  });
}

const withoutBodies = (exchange: Exchange): Exchange => ({ ...exchange, request: null, response: null });
