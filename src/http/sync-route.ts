import type { Span } from "@opentelemetry/api";
import { Elysia, t } from "elysia";
import { SyncError } from "#src/errors.ts";
import type { Dialect } from "#src/protocol/dialects/dialect.ts";
import type { Clock, Logger, Metrics, Timers } from "#src/ports/basics.ts";
import type { SyncAnswer, SyncGateway } from "#src/ports/gateway.ts";
import { readAccessToken } from "./access-token.ts";
import { readJsonBody } from "./read-json-body.ts";
import { errorReply, preflightReply, syncReply } from "./reply.ts";
import { logRequest, measureRequest, newRecord } from "./request-log.ts";
import type { RecentRequests } from "./recent-requests.ts";
import type { RequestRecord } from "./request-log.ts";
import { setSpanStatus, traceIdOf, traceRequest } from "./tracing.ts";

/** Everything else in the query is ignored. Values are read in the order of checks, so all are strings here. */
const syncQuery = t.Object(
  { pos: t.Optional(t.String()), timeout: t.Optional(t.String()), access_token: t.Optional(t.String()) },
  { additionalProperties: true },
);
type SyncQuery = typeof syncQuery.static;

/** What the sync routes need of the outside. */
export interface SyncRouteDeps {
  gateway: SyncGateway;
  /** Those that are spoken. */
  dialects: readonly Dialect[];
  clock: Clock;
  timers: Timers;
  log: Logger;
  metrics: Metrics;
  recent: Pick<RecentRequests, "ended">;
  /** Runs `run` when replies that are ready are on their way: what is told of a request must not hold up its client. */
  afterReply: (run: () => void) => void;
}

/** `POST …/sync` in each dialect, which the path names. */
export function syncRoutes(deps: SyncRouteDeps) {
  const options = { parse: "none", query: syncQuery } as const;
  const routes = new Elysia();
  for (const dialect of deps.dialects) {
    for (const path of dialect.paths) {
      routes
        .post(path, ({ request, query }) => answerSync(deps, dialect, path, request, query), options)
        .all(path, refuseMethod);
    }
  }
  return routes;
}

/** `all` is nearer than the app's own `OPTIONS` route, so it has to know it. */
const refuseMethod = ({ request }: { request: Request }): Response =>
  request.method === "OPTIONS" ? preflightReply() : errorReply(new SyncError("method_not_allowed", "use POST"));

/** The HTTP border: whatever happens inside becomes a reply, one log line, metrics and a span. */
function answerSync(
  deps: SyncRouteDeps,
  dialect: Dialect,
  path: string,
  request: Request,
  query: SyncQuery,
): Promise<Response> {
  const startedMs = deps.clock.mono();
  const record = newRecord("POST", path, dialect.name);
  const attributes = { "http.request.method": "POST", "http.route": path };
  return traceRequest("http.sync.post", request.headers, attributes, async (span) => {
    record.traceId = traceIdOf(span);
    let reply: Response;
    let failure: SyncError | null = null;
    try {
      reply = syncReply((await serve(deps, dialect, record, request, query)).body);
    } catch (error) {
      failure = error instanceof SyncError ? error : new SyncError("internal", String(error), { cause: error });
      reply = errorReply(failure, dialect.errorText);
    }
    const outcome = {
      status: reply.status,
      durationMs: deps.clock.mono() - startedMs,
      errorCode: failure?.code ?? null,
      error: failure === null ? null : describe(failure),
    };
    describeSpan(span, record);
    setSpanStatus(span, outcome.status, outcome.errorCode);
    deps.afterReply(() => {
      measureRequest(deps.metrics, record, outcome);
      logRequest(deps.log, record, outcome);
      deps.recent.ended(record, outcome);
    });
    return reply;
  });
}

/** The order of checks is the protocol's: body, limits, ranges, token, timeout; `pos` is the connection's own matter. */
async function serve(
  deps: SyncRouteDeps,
  dialect: Dialect,
  record: RequestRecord,
  request: Request,
  query: SyncQuery,
): Promise<SyncAnswer> {
  record.posIn = query.pos?.slice(0, LOGGED_POS_CHARS) || null;
  const lap = stopwatch(deps.clock);
  const json = await readJsonBody(request, deps.timers, dialect.isBodyLoose);
  record.bodyMs = lap();
  const { request: syncRequest, pos, presence, timeoutMs } = dialect.parse(json, query);
  record.posIn = pos === null ? null : pos.slice(0, LOGGED_POS_CHARS);
  record.connId = syncRequest.conn_id ?? "";
  record.txnId = syncRequest.txn_id ?? null;
  const accessToken = readAccessToken(request.headers.get("authorization"), query.access_token);
  const identity = await deps.gateway.identify(accessToken);
  record.tokenMs = lap();
  record.userId = identity.userId;
  record.deviceId = identity.deviceId;
  const answer = await deps.gateway.sync(identity, {
    dialect: dialect.name,
    pos,
    timeoutMs: timeoutMs(),
    ...(presence === undefined ? {} : { presence }),
    request: syncRequest,
    signal: request.signal,
  });
  record.posOut = answer.posOut;
  record.waitedMs = answer.waitedMs;
  record.setupMs = answer.setupMs;
  record.rooms = answer.rooms;
  record.ops = answer.ops;
  record.bytes = answer.body.byteLength;
  return answer;
}

/** Milliseconds since it was last asked. */
function stopwatch(clock: Clock): () => number {
  let lastMs = clock.mono();
  return () => {
    const nowMs = clock.mono();
    const lapMs = nowMs - lastMs;
    lastMs = nowMs;
    return lapMs;
  };
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
