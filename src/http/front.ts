import type { IncomingMessage, ServerResponse } from "node:http";
import { SyncError } from "#src/errors.ts";
import type { Forwarded, Forwarder } from "#src/homeserver/forwarder.ts";
import type { Clock, Logger, Metrics, Timers } from "#src/ports/basics.ts";
import type { ForwardObserver, PositionTokens } from "#src/ports/front.ts";
import { effectOf, routeClassOf } from "./forward-routes.ts";
import { isForwarded, pathOf } from "./front-paths.ts";
import { posUsesOf, type PosUse, withTokens } from "./pos-in-query.ts";
import { sendReply } from "./raw-listener.ts";
import { errorReply, messageOf } from "./reply.ts";
import { setSpanStatus, traceRequest } from "./tracing.ts";
import { serveWeb } from "./web-bridge.ts";

/** A forwarded request costs two sockets and some 100 KB when bodies flow. */
const FORWARDS_IN_FLIGHT = 20_000;

const LOOP_ADVICE = "SYNCV3_SERVER leads back to Glissade: set it to the homeserver's own address";

/** What the front of a homeserver needs of the outside. */
export interface FrontDeps {
  forwarder: Pick<Forwarder, "forward" | "hasPassed">;
  observer: ForwardObserver;
  tokens: PositionTokens;
  /** Everything that is answered here. */
  handle: (request: Request) => Response | Promise<Response>;
  /** By which scheme clients reach the listener. */
  scheme: "http" | "https";
  clock: Clock;
  timers: Timers;
  log: Logger;
  metrics: Metrics;
}

/** Answers what is ours and hands everything else of a homeserver's on to it. */
export function createFront(deps: FrontDeps): (request: IncomingMessage, response: ServerResponse) => void {
  const { metrics } = deps;
  let inFlight = 0;
  metrics.gauge("front_forwards_in_flight", () => inFlight);

  return (request, response) => {
    const { method = "GET", url: target = "/" } = request;
    const path = pathOf(target);
    if (deps.forwarder.hasPassed(request)) {
      deps.log.error({ method, route: routeClassOf(path) }, "SYNCV3_SERVER leads back to glissade");
      refuse(request, response, new SyncError("forwarding_loop", LOOP_ADVICE));
      return;
    }
    if (!isForwarded(method, path)) {
      serveWeb(request, response, deps.handle, deps.timers).catch((error: unknown) => {
        deps.log.error({ error: messageOf(error) }, "request failed outside its route");
        response.destroy();
      });
      return;
    }
    const refusal = refusalOf(request, inFlight);
    if (refusal !== null) {
      refuse(request, response, refusal);
      return;
    }
    inFlight += 1;
    void forward(deps, request, response, path).finally(() => {
      inFlight -= 1;
    });
  };
}

function refusalOf(request: IncomingMessage, inFlight: number): SyncError | null {
  if (inFlight >= FORWARDS_IN_FLIGHT) return new SyncError("limit_exceeded", "too many requests at once");
  const { upgrade, connection } = request.headers;
  // HTTP/2 is only offered by it, and the request is good without; anything else cannot be carried out otherwise.
  const isAsked = upgrade !== undefined && upgrade !== "h2c" && /\bupgrade\b/i.test(connection ?? "");
  return isAsked ? new SyncError("upgrade_refused", "no other protocol is spoken here") : null;
}

function refuse(request: IncomingMessage, response: ServerResponse, error: SyncError): void {
  // What is left of the body is not read.
  if (!request.complete) response.setHeader("connection", "close");
  void sendReply(response, errorReply(error));
}

/** The border: whatever happens becomes an answer, a line in the log, metrics and a span. */
function forward(deps: FrontDeps, request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const { method = "GET" } = request;
  const route = routeClassOf(path);
  const startedMs = deps.clock.mono();
  const attributes = { "http.request.method": method, "http.route": route };
  return traceRequest("http.forward.request", parentOf(request), attributes, async (span) => {
    const asked = targetOf(deps, request);
    const target = typeof asked === "string" ? asked : await asked;
    // Its client has hung up meanwhile.
    if (response.destroyed) return;
    const forwarded = await deps.forwarder.forward({
      request,
      response,
      target,
      sender: { address: request.socket.remoteAddress ?? null, scheme: deps.scheme },
      onAnswer: (status) => {
        if (status >= 200 && status < 300) observe(deps.observer, request, path);
      },
    });
    const { failure } = forwarded;
    if (failure?.kind === "unanswered") {
      refuse(request, response, new SyncError("homeserver_unreachable", "the homeserver cannot be reached"));
    }
    const status = statusOf(forwarded);
    setSpanStatus(span, status, failure?.kind ?? null);
    const { metrics, log } = deps;
    const labels = { route, status: String(status) };
    metrics.count("front_forwarded_requests_total", 1, labels);
    metrics.count("front_forwarded_bytes_total", forwarded.bytesIn, { direction: "in" });
    metrics.count("front_forwarded_bytes_total", forwarded.bytesOut, { direction: "out" });
    if (forwarded.firstByteMs !== null) {
      metrics.observe("front_forward_first_byte_secs", forwarded.firstByteMs / 1000, { route });
    }
    const fields = {
      method,
      route,
      status,
      duration_ms: Math.round((deps.clock.mono() - startedMs) * 10) / 10,
      bytes_in: forwarded.bytesIn,
      bytes_out: forwarded.bytesOut,
    };
    if (failure === null || failure.kind === "client_gone") log.debug(fields, "forwarded");
    else log.warn({ ...fields, reason: failure.reason }, "forwarding failed");
  });
}

/** The request as the homeserver understands it: our positions mean nothing to it. */
function targetOf({ tokens, log }: FrontDeps, request: IncomingMessage): string | Promise<string> {
  const { method = "GET", url = "" } = request;
  const found = posUsesOf(method, url);
  const accessToken = found === null ? null : tokenOf(request);
  if (found === null || accessToken === null) return url;
  const tokenFor = async ({ name, pos, side }: PosUse): Promise<[PosUse["name"], string][]> => {
    const token = await tokens.tokenAt(accessToken, found.roomId, pos, side);
    return token === null ? [] : [[name, token]];
  };
  return Promise.all(found.uses.map(tokenFor)).then(
    (pairs) => withTokens(url, new Map(pairs.flat())),
    (error: unknown) => {
      log.warn({ error: messageOf(error) }, "a position could not be translated for the homeserver");
      return url;
    },
  );
}

const statusOf = ({ status, failure }: Forwarded): number => {
  if (failure?.kind === "client_gone") return 499;
  return failure?.kind === "unanswered" ? 502 : status;
};

function parentOf({ headers }: IncomingMessage): Headers {
  const { traceparent, tracestate } = headers;
  const parent = new Headers();
  if (typeof traceparent === "string") parent.set("traceparent", traceparent);
  if (typeof tracestate === "string") parent.set("tracestate", tracestate);
  return parent;
}

/** Tells what the homeserver has just done for this token. */
function observe(observer: ForwardObserver, request: IncomingMessage, path: string): void {
  const effect = effectOf(request.method ?? "GET", path);
  if (effect === null) return;
  const accessToken = tokenOf(request);
  if (accessToken !== null) observer.forwarded(accessToken, effect);
}

function tokenOf({ headers, url = "" }: IncomingMessage): string | null {
  const { authorization } = headers;
  const token = authorization === undefined ? null : /^bearer +(\S+)\s*$/i.exec(authorization)?.[1];
  if (token !== null && token !== undefined) return token;
  const query = url.indexOf("?");
  return query === -1 ? null : new URLSearchParams(url.slice(query + 1)).get("access_token");
}
