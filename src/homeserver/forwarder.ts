import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, RequestOptions, ServerResponse } from "node:http";
import { isIP } from "node:net";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Clock, Timers } from "#src/ports/basics.ts";
import { FRONT_HEADER, forwardedRequestHeaders, forwardedResponseHeaders, headerOf } from "./forward-headers.ts";
import type { Sender } from "./forward-headers.ts";
import type { HomeserverAddress } from "./http-call.ts";

/** Servers close an idle connection after five seconds or more: ours is closed before, or a request would meet that. */
const IDLE_SOCKET_MS = 4000;
/** Idle connections kept for the next requests. */
const IDLE_SOCKETS = 256;
/** A client that is closed on while it sends may lose the answer. */
const LINGER_MS = 2000;
/** Repeating them changes nothing. */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/** What the forwarder needs of the outside. */
export interface ForwarderDeps {
  address: HomeserverAddress;
  /** A name that no other front has. */
  frontId: string;
  clock: Clock;
  timers: Timers;
  /** So long nothing may move before a request is given up; the homeserver's first byte included. */
  deadlineMs: number;
}

/** Why a request was not answered in full. */
export type ForwardFailure =
  /** Nothing was sent to the client yet: `reason` is a short name, never anything of the request. */
  | { kind: "unanswered"; reason: string }
  /** The homeserver's answer broke off, and the client's connection with it. */
  | { kind: "cut"; reason: string }
  | { kind: "client_gone" };

/** How forwarding ended. */
export interface Forwarded {
  /** The homeserver's; 0 when it gave none. */
  status: number;
  /** Of the bodies. */
  bytesIn: number;
  bytesOut: number;
  /** Until the homeserver's answer began; null when it did not. */
  firstByteMs: number | null;
  failure: ForwardFailure | null;
}

/** One request to be forwarded. */
export interface ForwardRequest {
  request: IncomingMessage;
  response: ServerResponse;
  sender: Sender;
  /** In place of the one that the request came with. */
  target?: string;
  /** The homeserver has decided; called before anything of its answer leaves. */
  onAnswer: (status: number) => void;
}

/** Streams requests to the homeserver and its answers back, byte for byte. */
export class Forwarder {
  readonly #deps: ForwarderDeps;
  readonly #target: RequestOptions;
  readonly #prefix: string;
  readonly #request: typeof httpRequest;

  constructor(deps: ForwarderDeps) {
    this.#deps = deps;
    const { url, socketPath } = deps.address;
    const base = new URL(url);
    const isTls = base.protocol === "https:" && socketPath === null;
    const limits = { keepAlive: true, maxSockets: Infinity, maxFreeSockets: IDLE_SOCKETS, timeout: IDLE_SOCKET_MS };
    const host = base.hostname.replace(/^\[|\]$/g, "");
    this.#prefix = base.pathname.replace(/\/$/, "");
    this.#request = isTls ? httpsRequest : httpRequest;
    this.#target = {
      agent: isTls ? new HttpsAgent(limits) : new HttpAgent(limits),
      ...(socketPath === null
        ? { host, port: base.port === "" ? (isTls ? 443 : 80) : Number(base.port) }
        : { socketPath }),
      // The certificate is the homeserver's, whatever name the client called; an address has no name.
      ...(isTls ? { servername: isIP(host) === 0 ? host : "" } : {}),
    };
  }

  /** Whether this front has handed the request on before: its homeserver's address leads back to it. */
  hasPassed({ headers }: IncomingMessage): boolean {
    const passed = headers[FRONT_HEADER];
    return typeof passed === "string" && passed.split(",").some((id) => id.trim() === this.#deps.frontId);
  }

  /** Resolves when the exchange is over; the client is answered unless that is `unanswered`. */
  forward(forward: ForwardRequest): Promise<Forwarded> {
    const { method = "GET", url = "", rawHeaders } = forward.request;
    const { target = url } = forward;
    const options: RequestOptions = {
      ...this.#target,
      method,
      path: `${this.#prefix}${target}`,
      headers: [...forwardedRequestHeaders(method, rawHeaders, forward.sender), FRONT_HEADER, this.#deps.frontId],
    };
    return new Exchange(this.#deps, forward, () => this.#request(options)).run();
  }
}

/** One request on its way. */
class Exchange {
  readonly #deps: ForwarderDeps;
  readonly #forward: ForwardRequest;
  readonly #open: () => ClientRequest;
  readonly #done = Promise.withResolvers<Forwarded>();
  readonly #startedMs: number;
  readonly #hasBody: boolean;
  #progressMs: number;
  #call: ClientRequest | null = null;
  #hasRetried = false;
  #isOver = false;
  #cancelDeadline: () => void = () => {};
  #status = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  #firstByteMs: number | null = null;

  constructor(deps: ForwarderDeps, forward: ForwardRequest, open: () => ClientRequest) {
    this.#deps = deps;
    this.#forward = forward;
    this.#open = open;
    this.#startedMs = deps.clock.mono();
    this.#progressMs = this.#startedMs;
    const { rawHeaders } = forward.request;
    const length = headerOf(rawHeaders, "content-length");
    this.#hasBody = headerOf(rawHeaders, "transfer-encoding") !== null || (length !== null && Number(length) !== 0);
  }

  run(): Promise<Forwarded> {
    const { response } = this.#forward;
    response.once("close", () => {
      if (response.writableFinished) this.#end(null);
      else this.#end({ kind: "client_gone" });
    });
    response.once("finish", () => this.#end(null));
    response.once("error", () => this.#end({ kind: "client_gone" }));
    this.#watch(this.#deps.deadlineMs);
    this.#send();
    return this.#done.promise;
  }

  #send(): void {
    const { request } = this.#forward;
    let call: ClientRequest;
    try {
      call = this.#open();
    } catch (error) {
      this.#end({ kind: "unanswered", reason: nameOf(error) });
      return;
    }
    this.#call = call;
    call.once("response", (answer) => {
      if (this.#call === call) this.#answered(answer);
      else answer.destroy();
    });
    call.on("error", (error) => this.#broke(call, nameOf(error)));
    call.once("close", () => this.#broke(call, "closed"));
    if (!this.#hasBody) {
      call.end();
      return;
    }
    request.on("data", (chunk: Uint8Array) => {
      this.#bytesIn += chunk.byteLength;
      this.#moved();
    });
    request.once("error", () => this.#end({ kind: "client_gone" }));
    request.pipe(call);
  }

  /** The connection ended before the homeserver answered. */
  #broke(call: ClientRequest, reason: string): void {
    if (this.#isOver || this.#call !== call || this.#status !== 0) return;
    const isIdle = call.reusedSocket && !this.#hasBody && IDEMPOTENT.has(this.#forward.request.method ?? "");
    if (isIdle && !this.#hasRetried) {
      // It was closed while nobody used it.
      this.#hasRetried = true;
      this.#send();
      return;
    }
    this.#end({ kind: "unanswered", reason });
  }

  #answered(answer: IncomingMessage): void {
    if (this.#isOver) return;
    const { response, onAnswer } = this.#forward;
    this.#status = answer.statusCode ?? 502;
    this.#firstByteMs = this.#deps.clock.mono() - this.#startedMs;
    this.#moved();
    onAnswer(this.#status);
    answer.on("data", (chunk: Uint8Array) => {
      this.#bytesOut += chunk.byteLength;
      this.#moved();
    });
    const cut = (reason: string): void => this.#end({ kind: "cut", reason });
    answer.once("error", (error) => cut(nameOf(error)));
    answer.once("aborted", () => cut("aborted"));
    answer.once("close", () => {
      if (!answer.complete) cut("closed");
    });
    response.on("drain", () => this.#moved());
    // The homeserver says when it answered, or nobody does.
    response.sendDate = false;
    response.writeHead(this.#status, answer.statusMessage, forwardedResponseHeaders(answer.rawHeaders));
    response.flushHeaders();
    answer.pipe(response);
  }

  /** The homeserver did not want all of the body: the client gets a moment to read that before its connection ends. */
  #linger(): void {
    const { request } = this.#forward;
    request.unpipe();
    request.resume();
    const cancel = this.#deps.timers.after(LINGER_MS, () => request.destroy());
    request.once("close", cancel);
  }

  #moved(): void {
    this.#progressMs = this.#deps.clock.mono();
  }

  #watch(withinMs: number): void {
    const { clock, timers, deadlineMs } = this.#deps;
    this.#cancelDeadline = timers.after(withinMs, () => {
      const leftMs = this.#progressMs + deadlineMs - clock.mono();
      if (leftMs > 0) this.#watch(leftMs);
      else
        this.#end(
          this.#status === 0 ? { kind: "unanswered", reason: "deadline" } : { kind: "cut", reason: "deadline" },
        );
    });
  }

  #end(failure: ForwardFailure | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelDeadline();
    const { request, response } = this.#forward;
    if (failure !== null) {
      request.unpipe();
      this.#call?.destroy();
      // Half an answer must not look like a whole one.
      if (failure.kind === "cut") response.destroy();
    } else if (!request.complete) this.#linger();
    this.#done.resolve({
      status: this.#status,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      firstByteMs: this.#firstByteMs,
      failure,
    });
  }
}

/** A short name such as `ECONNREFUSED`; messages may hold addresses and paths. */
function nameOf(error: unknown): string {
  const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined;
  return typeof code === "string" ? code : "error";
}
