import { SyncError } from "#src/errors.ts";
import type { Clock, Metrics, Timers } from "#src/ports/basics.ts";
import { SYNC_ENDPOINTS, pathOf } from "./front-paths.ts";
import { BODY_LIMIT_BYTES, readBodyText } from "./read-json-body.ts";
import { errorReply, jsonReply } from "./reply.ts";

/**
 * By which `glissade doctor` recognises who answered: what is asked with it is answered with it. Web pages cannot send it to
 * another origin, because no preflight allows it.
 */
export const PROBE_HEADER = "x-glissade-probe";
/** Longest time a probe is held: somewhat longer than any long poll, and than the minute that many proxies wait. */
export const LONGEST_HOLD_SECS = 75;
/** Anybody may ask for one: a handful of doctors at once, and no more. */
const HELD_AT_ONCE = 16;
/** A trickle is so many pieces, this far apart. */
export const TRICKLE = { pieces: 5, everyMs: 400 } as const;

/** What probes need of the outside. */
export interface ProbeDeps {
  clock: Clock;
  timers: Timers;
  /** Whether everything of the homeserver's comes through here. */
  isForwarding: boolean;
  metrics: Pick<Metrics, "count">;
}

type Handle = (request: Request) => Response | Promise<Response>;
type Action = { kind: "mark" } | { kind: "echo" } | { kind: "hold"; seconds: number } | { kind: "trickle" };

/** What a request looked like when it arrived; nothing that its sender did not write but for what proxies say of it. */
export interface ProbeEcho {
  probe: "echo";
  /** Path and query, byte for byte. */
  target: string;
  host: string | null;
  forwarded_proto: string | null;
  /** Addresses in `X-Forwarded-For`: how many, not which. */
  forwarded_for: number;
  has_authorization: boolean;
  body_bytes: number;
  is_forwarding: boolean;
  now_ms: number;
}

const SYNC_PATHS: ReadonlySet<string> = new Set(SYNC_ENDPOINTS.map(({ path }) => path));

/** Answers probes, and marks the answers to requests that ask for it; everything else passes untouched. */
export function withProbes(handle: Handle, deps: ProbeDeps): Handle {
  let held = 0;
  const whileFree = (
    kind: Action["kind"],
    make: (release: () => void) => Response | Promise<Response>,
  ): Response | Promise<Response> => {
    if (held >= HELD_AT_ONCE) {
      deps.metrics.count("probes_total", 1, { kind, result: "refused" });
      return errorReply(new SyncError("limit_exceeded", "too many probes at once"));
    }
    held += 1;
    taken(kind);
    let isOver = false;
    return make(() => {
      if (!isOver) held -= 1;
      isOver = true;
    });
  };
  const taken = (kind: Action["kind"]): void => deps.metrics.count("probes_total", 1, { kind, result: "taken" });
  const perform = (request: Request, action: Action): Response | Promise<Response> => {
    switch (action.kind) {
      case "mark":
        taken("mark");
        return handle(request);
      case "echo":
        taken("echo");
        return echo(request, deps);
      case "hold":
        return whileFree("hold", (release) => hold(request, action.seconds, deps.timers, release));
      case "trickle":
        return whileFree("trickle", (release) => trickle(request, deps.timers, release));
    }
  };
  return (request) => {
    const wanted = request.headers.get(PROBE_HEADER);
    const probe = wanted === null ? null : readProbe(wanted, request);
    return probe === null ? handle(request) : marked(perform(request, probe.action), probe.mark);
  };
}

/** `<mark>`, `<mark> echo`, `<mark> hold 60` or `<mark> trickle`; anything else is no probe. */
function readProbe(text: string, request: Request): { mark: string; action: Action } | null {
  const match = /^([A-Za-z0-9]{8,32})(?: (?:(echo|trickle)|hold (\d{1,2})))?$/.exec(text);
  if (match === null) return null;
  const [, mark = "", word, seconds] = match;
  if (word === undefined && seconds === undefined) return { mark, action: { kind: "mark" } };
  // What acts does so where clients' own requests go, so that it meets what they meet.
  if (request.method !== "POST" || !SYNC_PATHS.has(pathOf(targetOf(request)))) return null;
  if (seconds !== undefined) {
    return { mark, action: { kind: "hold", seconds: Math.min(Number(seconds), LONGEST_HOLD_SECS) } };
  }
  return { mark, action: { kind: word === "echo" ? "echo" : "trickle" } };
}

async function marked(answer: Response | Promise<Response>, mark: string): Promise<Response> {
  const reply = await answer;
  reply.headers.set(PROBE_HEADER, mark);
  return reply;
}

/** As it came, as far as the listener gives it: behind scheme and authority. */
const targetOf = ({ url }: Request): string => url.replace(/^[a-z]+:\/\/[^/]*/, "");

async function echo(request: Request, { clock, timers, isForwarding }: ProbeDeps): Promise<Response> {
  const { headers } = request;
  if (Number(headers.get("content-length") ?? 0) > BODY_LIMIT_BYTES) {
    return errorReply(new SyncError("too_large", `request body is larger than ${BODY_LIMIT_BYTES} bytes`));
  }
  try {
    const body = await readBodyText(request, timers);
    const answer: ProbeEcho = {
      probe: "echo",
      target: targetOf(request),
      host: headers.get("host"),
      forwarded_proto: headers.get("x-forwarded-proto"),
      forwarded_for: headers.get("x-forwarded-for")?.split(",").length ?? 0,
      has_authorization: headers.has("authorization"),
      body_bytes: Buffer.byteLength(body),
      is_forwarding: isForwarding,
      now_ms: clock.now(),
    };
    return jsonReply(200, answer);
  } catch (error) {
    return errorReply(error instanceof SyncError ? error : new SyncError("internal", "no echo", { cause: error }));
  }
}

/** Says nothing for a while, as a long poll does. */
function hold(request: Request, seconds: number, timers: Timers, release: () => void): Promise<Response> {
  const { promise, resolve } = Promise.withResolvers<Response>();
  const cancel = timers.after(seconds * 1000, () => {
    release();
    resolve(jsonReply(200, { probe: "hold", seconds }));
  });
  const leave = (): void => {
    cancel();
    release();
    resolve(errorReply(new SyncError("client_gone", "nobody waits any more")));
  };
  // Whoever left while the body was read is not told of any more.
  if (request.signal.aborted) leave();
  else request.signal.addEventListener("abort", leave);
  return promise;
}

/** Says something now and then, as a streamed body does. */
function trickle(request: Request, timers: Timers, release: () => void): Response {
  const piece = new TextEncoder().encode("drop\n");
  let left: number = TRICKLE.pieces;
  let cancel = (): void => undefined;
  const end = (): void => {
    cancel();
    release();
  };
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (): void => {
        controller.enqueue(piece);
        left -= 1;
        if (left > 0) cancel = timers.after(TRICKLE.everyMs, send);
        else {
          release();
          controller.close();
        }
      };
      send();
      request.signal.addEventListener("abort", end);
    },
    cancel: end,
  });
  const reply = jsonReply(200, null);
  const headers = new Headers(reply.headers);
  headers.set("content-type", "text/plain");
  headers.set("transfer-encoding", "chunked");
  return new Response(body, { headers });
}
