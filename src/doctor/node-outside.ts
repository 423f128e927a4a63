import { lookup } from "node:dns/promises";
import { request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { checkServerIdentity, connect, rootCertificates } from "node:tls";
import type { PeerCertificate, TLSSocket } from "node:tls";
import type { Clock, Timers } from "#src/ports/basics.ts";
import type { Handshake, Origin, Outside, OutsideRequest, OutsideResult } from "./outside.ts";

const DEADLINE_MS = 15_000;
/** How long somebody has to mind the size of a body that was only claimed. */
const CLAIM_MS = 2500;
const MAX_BODY_CHARS = 1024 * 1024;

/** What looking outside needs. */
export interface NodeOutsideOptions {
  clock: Clock;
  timers: Timers;
  /** Certificates of who is believed besides the authorities everybody knows. */
  extraCa: string | null;
  /** Addresses for names, lower case, that are not to be looked up. */
  addresses: ReadonlyMap<string, string>;
}

/** The real one, through Node's clients: they send targets and give headers as they are, which `fetch` does not. */
export function createOutside(options: NodeOutsideOptions): Outside {
  const { clock, timers } = options;
  const ca = options.extraCa === null ? undefined : [...rootCertificates, options.extraCa];
  const hostOf = ({ host }: Origin): string => {
    const bare = host.replace(/^\[|\]$/g, "");
    return options.addresses.get(bare.toLowerCase()) ?? bare;
  };
  return {
    now: () => clock.now(),
    ask: (origin, request) => new Call(origin, request, request.address ?? hostOf(origin), ca, clock, timers).run(),
    addressesOf: (origin) =>
      lookup(hostOf(origin), { all: true }).then(
        (found) => found.map(({ address }) => address),
        () => [],
      ),
    handshake: (origin, version) => handshake(origin, version, hostOf(origin), ca, timers),
  };
}

/** Names only: an address may not be told to a server by SNI. */
const serverNameOf = ({ host }: Origin): { servername?: string } =>
  /^[\d.]+$|^\[/.test(host) ? {} : { servername: host };

class Call {
  readonly #request: OutsideRequest;
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #done = Promise.withResolvers<OutsideResult>();
  readonly #call: ClientRequest;
  readonly #cancel: () => void;

  constructor(
    origin: Origin,
    request: OutsideRequest,
    address: string,
    ca: string[] | undefined,
    clock: Clock,
    timers: Timers,
  ) {
    this.#request = request;
    this.#clock = clock;
    this.#startedMs = clock.mono();
    const isUsual = origin.port === (origin.scheme === "https" ? 443 : 80);
    const length = request.claimedBytes ?? (request.body === undefined ? null : Buffer.byteLength(request.body));
    const options: RequestOptions = {
      method: request.method,
      path: request.path,
      ...(origin.socketPath === undefined ? { host: address, port: origin.port } : { socketPath: origin.socketPath }),
      agent: false,
      headers: {
        host: isUsual ? origin.host : `${origin.host}:${origin.port}`,
        "user-agent": "glissade-doctor",
        accept: "application/json",
        "accept-encoding": "identity",
        ...(length === null ? {} : { "content-length": String(length) }),
        ...request.headers,
      },
    };
    const secure = {
      ...serverNameOf(origin),
      // A bad certificate is a finding, and the rest is worth looking at all the same; secrets are not sent there.
      rejectUnauthorized: request.isSecret === true,
      ...(ca === undefined ? {} : { ca }),
    };
    this.#call = origin.scheme === "https" ? httpsRequest({ ...options, ...secure }) : httpRequest(options);
    const claimMs = request.claimedBytes === undefined ? DEADLINE_MS : CLAIM_MS;
    this.#cancel = timers.after(request.deadlineMs ?? claimMs, () => this.#fail("no answer in time"));
  }

  run(): Promise<OutsideResult> {
    this.#call.on("response", (answer) => this.#read(answer));
    this.#call.on("error", (error: Error & { code?: string }) => this.#fail(error.code ?? error.message));
    this.#call.on("close", () => this.#fail("the connection was closed"));
    if (this.#request.claimedBytes === undefined) this.#call.end(this.#request.body);
    else this.#call.flushHeaders();
    return this.#done.promise;
  }

  #read(answer: IncomingMessage): void {
    const pieces: number[] = [];
    let text = "";
    answer.setEncoding("utf8");
    answer.on("data", (piece: string) => {
      pieces.push(this.#tookMs());
      if (text.length < MAX_BODY_CHARS) text += piece;
    });
    answer.on("end", () => {
      const headers = new Map<string, string[]>();
      for (let at = 0; at + 1 < answer.rawHeaders.length; at += 2) {
        const name = (answer.rawHeaders[at] ?? "").toLowerCase();
        headers.set(name, [...(headers.get(name) ?? []), answer.rawHeaders[at + 1] ?? ""]);
      }
      const tookMs = this.#tookMs();
      this.#settle({ ok: true, answer: { status: answer.statusCode ?? 0, headers, text, pieces, tookMs } });
    });
    answer.on("error", () => this.#fail("the answer broke off"));
    answer.on("aborted", () => this.#fail("the answer broke off"));
  }

  #tookMs(): number {
    return this.#clock.mono() - this.#startedMs;
  }

  #fail(reason: string): void {
    this.#settle({ ok: false, reason, tookMs: this.#tookMs() });
  }

  #settle(result: OutsideResult): void {
    this.#cancel();
    this.#done.resolve(result);
    this.#call.destroy();
  }
}

function handshake(
  origin: Origin,
  version: "TLSv1.2" | "TLSv1.3",
  address: string,
  ca: string[] | undefined,
  timers: Timers,
): Promise<Handshake> {
  const { promise, resolve } = Promise.withResolvers<Handshake>();
  const socket: TLSSocket = connect({
    host: address,
    port: origin.port,
    ...serverNameOf(origin),
    minVersion: version,
    maxVersion: version,
    ALPNProtocols: ["h2", "http/1.1"],
    rejectUnauthorized: false,
    ...(ca === undefined ? {} : { ca }),
  });
  const cancel = timers.after(DEADLINE_MS, () => resolve({ ok: false, reason: "no answer in time" }));
  socket.once("secureConnect", () => resolve(shakenHands(socket, origin)));
  socket.once("error", (error: Error & { code?: string }) =>
    resolve({ ok: false, reason: error.code ?? error.message }),
  );
  socket.once("close", () => resolve({ ok: false, reason: "the connection was closed" }));
  return promise.finally(() => {
    cancel();
    socket.destroy();
  });
}

function shakenHands(socket: TLSSocket, origin: Origin): Handshake {
  const certificate: PeerCertificate = socket.getPeerCertificate();
  const nameProblem = checkServerIdentity(origin.host.replace(/^\[|\]$/g, ""), certificate)?.message ?? null;
  const trust = socket.authorizationError as Error | string | null | undefined;
  const trustText = trust instanceof Error ? ((trust as Error & { code?: string }).code ?? trust.message) : trust;
  return {
    ok: true,
    protocol: socket.getProtocol() ?? "",
    alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : null,
    certificate: {
      validToMs: Date.parse(certificate.valid_to),
      nameProblem,
      // The name is told apart from the trust.
      trustProblem: trustText === "ERR_TLS_CERT_ALTNAME_INVALID" ? null : (trustText ?? null),
    },
  };
}
