import type { Logger, LogFields, Metrics } from "#src/ports/basics.ts";

/** What is known of one sync request; filled in as the request goes on. */
export interface RequestRecord {
  method: string;
  /** Without query. */
  path: string;
  dialect: string;
  userId: string | null;
  deviceId: string | null;
  connId: string | null;
  posIn: string | null;
  posOut: string | null;
  txnId: string | null;
  waitedMs: number | null;
  /** Until the body was read, until it was known whose the token is, and until the connection was ready. */
  bodyMs: number | null;
  tokenMs: number | null;
  setupMs: number | null;
  rooms: number | null;
  ops: number | null;
  /** Size of the answer's body. */
  bytes: number | null;
  traceId: string | null;
}

/** How it ended. */
export interface RequestOutcome {
  status: number;
  durationMs: number;
  /** Our own code of the failure, and what is behind it; both null on success. */
  errorCode: string | null;
  error: string | null;
}

/** A request longer than this is slow: clients do not ask for more than 30 s. */
const SLOW_REQUEST_MS = 50_000;

/** A record of which nothing but its first line is known. */
export const newRecord = (method: string, path: string, dialect: string): RequestRecord => ({
  method,
  path,
  dialect,
  userId: null,
  deviceId: null,
  connId: null,
  posIn: null,
  posOut: null,
  txnId: null,
  waitedMs: null,
  bodyMs: null,
  tokenMs: null,
  setupMs: null,
  rooms: null,
  ops: null,
  bytes: null,
  traceId: null,
});

/** Writes the one line of a request; fields that are not known are left out. */
export function logRequest(log: Logger, record: RequestRecord, outcome: RequestOutcome): void {
  const fields: LogFields = {
    method: record.method,
    path: record.path,
    status: outcome.status,
    duration_ms: Math.round(outcome.durationMs * 10) / 10,
  };
  put(fields, "user_id", record.userId);
  put(fields, "device_id", record.deviceId);
  put(fields, "conn_id", record.connId);
  put(fields, "pos_in", record.posIn);
  put(fields, "pos_out", record.posOut);
  put(fields, "txn_id", record.txnId);
  put(fields, "waited_ms", record.waitedMs === null ? null : Math.round(record.waitedMs));
  put(fields, "rooms", record.rooms);
  put(fields, "ops", record.ops);
  put(fields, "bytes", record.bytes);
  put(fields, "error_code", outcome.errorCode);
  put(fields, "error", outcome.error);
  put(fields, "trace_id", record.traceId);
  if (outcome.status === 499 || outcome.status < 400) log.info(fields, "request");
  else if (outcome.status < 500) log.warn(fields, "request");
  else log.error(fields, "request");
}

/** Counts the request and its time; what was only waited for is not work. */
export function measureRequest(metrics: Metrics, record: RequestRecord, outcome: RequestOutcome): void {
  const status = String(outcome.status);
  metrics.count("sliding_sync_http_requests_total", 1, { route: record.path, status });
  const workMs = Math.max(0, outcome.durationMs - (record.waitedMs ?? 0));
  metrics.observe("sliding_sync_http_request_duration_secs", workMs / 1000, { route: record.path, status });
  if (record.waitedMs === 0) {
    const initial = record.posIn === null ? "1" : "0";
    metrics.observe("sliding_sync_api_process_duration_secs", outcome.durationMs / 1000, { initial });
  }
  if (outcome.durationMs > SLOW_REQUEST_MS) metrics.count("sliding_sync_api_slow_requests");
}

function put(fields: LogFields, name: string, value: string | number | null): void {
  if (value !== null) fields[name] = value;
}
