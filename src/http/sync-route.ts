import type { Span } from "@opentelemetry/api";
import { Elysia, t } from "elysia";
import { SyncError } from "#src/errors.ts";
import type { SyncRequest } from "#src/protocol/request.ts";
import type { Clock, Logger, Metrics, Timers } from "#src/ports/basics.ts";
import type { SyncAnswer, SyncGateway } from "#src/ports/gateway.ts";
import { readAccessToken } from "./access-token.ts";
import { SYNC_ENDPOINTS } from "./front-paths.ts";
import { readJsonBody } from "./read-json-body.ts";
import { errorReply, preflightReply, syncReply } from "./reply.ts";
import { logRequest, measureRequest, newRecord } from "./request-log.ts";
import type { RequestRecord } from "./request-log.ts";
import { readSyncTimeout } from "./sync-timeout.ts";
import { setSpanStatus, traceIdOf, traceRequest } from "./tracing.ts";

/** Paths that speak MSC3575. */
const [{ path: UNSTABLE_PATH }, { path: V3_PATH }] = SYNC_ENDPOINTS;

/** Everything else in the query is ignored. Values are read in the order of checks, so all are strings here. */
const syncQuery = t.Object(
  { pos: t.Optional(t.String()), timeout: t.Optional(t.String()), access_token: t.Optional(t.String()) },
  { additionalProperties: true },
);
type SyncQuery = typeof syncQuery.static;

/** What the sync routes need of the outside. */
export interface SyncRouteDeps {
  gateway: SyncGateway;
  /** Reads a body into a request, or throws `SyncError`. */
  readSyncRequest: (json: unknown) => SyncRequest;
  clock: Clock;
  timers: Timers;
  log: Logger;
  metrics: Metrics;
}

/** `POST …/sync` in the MSC3575 dialect. */
export function syncRoutes(deps: SyncRouteDeps) {
  const options = { parse: "none", query: syncQuery } as const;
  return new Elysia()
    .post(UNSTABLE_PATH, ({ request, query }) => answerSync(deps, UNSTABLE_PATH, request, query), options)
    .post(V3_PATH, ({ request, query }) => answerSync(deps, V3_PATH, request, query), options)
    .all(UNSTABLE_PATH, refuseMethod)
    .all(V3_PATH, refuseMethod);
}

/** `all` is nearer than the app's own `OPTIONS` route, so it has to know it. */
const refuseMethod = ({ request }: { request: Request }): Response =>
  request.method === "OPTIONS" ? preflightReply() : errorReply(new SyncError("method_not_allowed", "use POST"));

/** The HTTP border: whatever happens inside becomes a reply, one log line, metrics and a span. */
function answerSync(deps: SyncRouteDeps, path: string, request: Request, query: SyncQuery): Promise<Response> {
  const startedMs = deps.clock.mono();
  const record = newRecord("POST", path);
  const attributes = { "http.request.method": "POST", "http.route": path };
  return traceRequest("http.sync.post", request.headers, attributes, async (span) => {
    record.traceId = traceIdOf(span);
    let reply: Response;
    let failure: SyncError | null = null;
    try {
      reply = syncReply((await serve(deps, record, request, query)).body);
    } catch (error) {
      failure = error instanceof SyncError ? error : new SyncError("internal", String(error), { cause: error });
      reply = errorReply(failure, "with-status");
    }
    const outcome = {
      status: reply.status,
      durationMs: deps.clock.mono() - startedMs,
      errorCode: failure?.code ?? null,
      error: failure === null ? null : describe(failure),
    };
    describeSpan(span, record);
    setSpanStatus(span, outcome.status, outcome.errorCode);
    measureRequest(deps.metrics, record, outcome);
    logRequest(deps.log, record, outcome);
    return reply;
  });
}

/** The order of checks is the protocol's: body, limits, ranges, token, timeout; `pos` is the connection's own matter. */
async function serve(
  deps: SyncRouteDeps,
  record: RequestRecord,
  request: Request,
  query: SyncQuery,
): Promise<SyncAnswer> {
  const pos = query.pos === undefined || query.pos === "" ? null : query.pos;
  record.posIn = pos === null ? null : pos.slice(0, LOGGED_POS_CHARS);
  const syncRequest = deps.readSyncRequest(await readJsonBody(request, deps.timers));
  record.connId = syncRequest.conn_id ?? "";
  record.txnId = syncRequest.txn_id ?? null;
  const accessToken = readAccessToken(request.headers.get("authorization"), query.access_token);
  const identity = await deps.gateway.identify(accessToken);
  record.userId = identity.userId;
  record.deviceId = identity.deviceId;
  const timeoutMs = readSyncTimeout(query.timeout);
  const answer = await deps.gateway.sync(identity, {
    dialect: "msc3575",
    pos,
    timeoutMs,
    request: syncRequest,
    signal: request.signal,
  });
  record.posOut = answer.posOut;
  record.waitedMs = answer.waitedMs;
  record.rooms = answer.rooms;
  record.ops = answer.ops;
  record.bytes = answer.body.byteLength;
  return answer;
}

/** A `pos` of ours is far shorter: the rest of a made-up one is not worth a log line. */
const LOGGED_POS_CHARS = 128;

/** The failure and what caused it; causes are our own errors and those of the drivers, never contents. */
function describe(failure: SyncError): string {
  const cause = failure.cause;
  if (failure.code === "not_json") return failure.message;
  return cause instanceof Error ? `${failure.message}: ${cause.message}` : failure.message;
}

function describeSpan(span: Span, record: RequestRecord): void {
  if (!span.isRecording()) return;
  if (record.userId !== null) span.setAttribute("sync.user_id", record.userId);
  if (record.deviceId !== null) span.setAttribute("sync.device_id", record.deviceId);
  if (record.connId !== null) span.setAttribute("sync.conn_id", record.connId);
  if (record.txnId !== null) span.setAttribute("sync.txn_id", record.txnId);
  if (record.posIn !== null) span.setAttribute("sync.pos", record.posIn);
  span.setAttribute("sync.initial", record.posIn === null);
  if (record.waitedMs !== null) span.setAttribute("sync.waited", record.waitedMs > 0);
  if (record.rooms !== null) span.setAttribute("sync.rooms", record.rooms);
}
