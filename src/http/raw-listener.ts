import { chmod } from "node:fs/promises";
import { createServer as createHttpServer, STATUS_CODES } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Duplex } from "node:stream";
import type { Config } from "#src/config.ts";
import { SyncError } from "#src/errors.ts";
import type { Timers } from "#src/ports/basics.ts";
import { adoptSocket } from "./adopted-socket.ts";
import type { AdoptedSocket } from "./adopted-socket.ts";
import { readCertificate } from "./certificate.ts";
import type { Certificate } from "./certificate.ts";
import { SOCKET_MODE, clearSocketPath } from "./listener.ts";
import type { Listener } from "./listener.ts";
import { errorReply, goingAwayReply } from "./reply.ts";

/** What a listener that gives requests as they came is made of. */
export interface RawListenOptions {
  bind: Config["bind"];
  tls: Config["tls"];
  /** What `tls` names, where it has been read. */
  certificate?: Certificate | null;
  handle: (request: IncomingMessage, response: ServerResponse) => void;
  timers: Timers;
  /** The descriptor of a socket that the service manager has opened already; it takes the place of `bind`, without TLS. */
  inherited?: number | null;
}

/** Classic clients put whole filters into the query. */
const MAX_HEAD_BYTES = 32 * 1024;
/** The head of a request that dribbles in longer is given up. */
const HEAD_DEADLINE_MS = 30_000;
/** Longer than reverse proxies keep their connections: a request must not meet its end. */
const IDLE_CONNECTION_MS = 90_000;

/**
 * As `listen`, but the request's target and headers are handed on byte for byte: the runtime's own server resolves dots and
 * backslashes in paths before anybody sees them.
 */
export async function listenRaw(options: RawListenOptions): Promise<Listener> {
  const { timers } = options;
  let isEnding = false;
  const server = await createServer(options, (request, response) => {
    if (isEnding) void sendReply(response, goingAwayReply());
    else options.handle(request, response);
  });
  server.timeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = HEAD_DEADLINE_MS;
  server.keepAliveTimeout = IDLE_CONNECTION_MS;
  server.on("clientError", (error: Error & { code?: string }, socket) => void refuse(socket, error.code ?? ""));
  const socket = await place(server, options);
  let closed: Promise<void> | null = null;
  const retire = (): Promise<void> => (closed ??= socket.close());
  const end = (): void => {
    if (isEnding) return;
    isEnding = true;
    void retire();
    socket.endIdle();
  };
  return {
    address: socket.address,
    retire,
    stopAccepting: end,
    async stop(withinMs) {
      end();
      const late = Promise.withResolvers<"late">();
      const cancel = timers.after(withinMs, () => late.resolve("late"));
      const outcome = await Promise.race([retire(), late.promise]);
      cancel();
      if (outcome === "late") socket.cut();
    },
  };
}

/** Where connections come from: a place of our own, or a socket that was there before us. */
async function place(server: Server, options: RawListenOptions): Promise<AdoptedSocket> {
  const { bind, inherited } = options;
  if (typeof inherited === "number") return adoptSocket(server, inherited);
  if (bind.kind === "unix") await clearSocketPath(bind.path);
  await opened(server, bind);
  if (bind.kind === "unix") await chmod(bind.path, SOCKET_MODE);
  return {
    address: addressOf(server, options),
    close: () => new Promise((resolve) => void server.close(() => resolve())),
    endIdle: () => server.closeIdleConnections(),
    cut: () => server.closeAllConnections(),
  };
}

/** Sends a reply whose body is at hand. */
export async function sendReply(response: ServerResponse, reply: Response): Promise<void> {
  const body = new Uint8Array(await reply.arrayBuffer());
  if (response.destroyed || response.headersSent) return;
  response.writeHead(reply.status, { ...Object.fromEntries(reply.headers), "content-length": body.byteLength });
  response.end(body);
}

async function createServer(
  { bind, tls, certificate, inherited }: RawListenOptions,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const limits = { maxHeaderSize: MAX_HEAD_BYTES };
  if (tls === null || bind.kind === "unix" || typeof inherited === "number") return createHttpServer(limits, handle);
  return createHttpsServer({ ...limits, ...(certificate ?? (await readCertificate(tls))) }, handle);
}

function opened(server: Server, bind: Config["bind"]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (error) => {
    const where = bind.kind === "unix" ? bind.path : `${bind.host}:${bind.port}`;
    reject(new Error(`cannot listen on ${where}: ${error.message}`, { cause: error }));
  });
  if (bind.kind === "unix") server.listen({ path: bind.path }, resolve);
  else server.listen({ host: bind.host, port: bind.port, exclusive: true }, resolve);
  return promise;
}

function addressOf(server: Server, { bind, tls }: RawListenOptions): string {
  if (bind.kind === "unix") return bind.path;
  const address = server.address();
  const port = address === null || typeof address === "string" ? bind.port : address.port;
  const host = bind.host.includes(":") ? `[${bind.host}]` : bind.host;
  return `${tls === null ? "http" : "https"}://${host}:${port}`;
}

/** What cannot be handed on as it is, is refused: never made into something else. */
async function refuse(socket: Duplex, code: string): Promise<void> {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const error =
    code === "HPE_HEADER_OVERFLOW"
      ? new SyncError("headers_too_large", `request line and headers are longer than ${MAX_HEAD_BYTES} bytes`)
      : new SyncError("malformed_request", MALFORMED[code] ?? "this is not an HTTP request");
  const reply = errorReply(error);
  const body = await reply.text();
  const headers = [...reply.headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const head = `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ""}`;
  socket.end(`${head}\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
}

const MALFORMED: Readonly<Record<string, string>> = {
  HPE_INVALID_URL: "the path or query holds bytes that have to be percent-encoded",
  HPE_INVALID_METHOD: "the request method is not known",
};
