import { chmod, lstat, unlink } from "node:fs/promises";
import { connect } from "node:net";
import type { Config } from "#src/config.ts";
import type { Timers } from "#src/ports/basics.ts";
import { readCertificate } from "./certificate.ts";
import type { Certificate } from "./certificate.ts";
import { goingAwayReply } from "./reply.ts";

/** What a listener is made of. */
export interface ListenOptions {
  bind: Config["bind"];
  /** Paths of a certificate chain and its key; never on unix sockets. */
  tls: Config["tls"];
  /** What `tls` names, where it has been read. */
  certificate?: Certificate | null;
  /** `remote` says where the request came from. */
  fetch: (request: Request, remote: () => string) => Response | Promise<Response>;
  timers: Timers;
  /** Only this process's user may open the unix socket. */
  isPrivate?: boolean;
}

/** An open listener. */
export interface Listener {
  /** As one would write it down: `http://127.0.0.1:8008`, or a path. */
  readonly address: string;
  /** Takes no new connections and ends idle ones; what is under way is answered. Resolves when nothing is left. */
  retire(): Promise<void>;
  /** Takes nothing new from here on: no connections, and no requests on those there are. What is in flight goes on. */
  stopAccepting(): void;
  /** Waits for what is in flight, then cuts what is left after the time given. */
  stop(withinMs: number): Promise<void>;
}

/** Whoever may reach the directory may connect, as with a port; there is nothing to read from a socket's file. */
export const SOCKET_MODE = 0o222;
const PRIVATE_SOCKET_MODE = 0o600;
const PRIVATE_UMASK = 0o177;
/** A back stop far above the limit the routes answer with a Matrix error. */
const RAW_BODY_LIMIT_BYTES = 16 * 1024 * 1024;

/** Opens a listener on a port or a unix socket; throws with what to do when it cannot. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { bind, timers } = options;
  let ended: Promise<void> | null = null;
  // A client whose long poll was just answered asks again at once, on the connection it has.
  const fetch: ListenOptions["fetch"] = (request, remote) =>
    ended === null ? options.fetch(request, remote) : goingAwayReply();
  if (bind.kind === "unix") await clearSocketPath(bind.path);
  const certificate = options.certificate ?? (options.tls === null ? null : await readCertificate(options.tls));
  const open = (): ReturnType<typeof Bun.serve> => serve({ ...options, fetch }, certificate);
  const server = options.isPrivate === true ? withUmask(PRIVATE_UMASK, open) : open();
  if (bind.kind === "unix") await chmod(bind.path, options.isPrivate === true ? PRIVATE_SOCKET_MODE : SOCKET_MODE);
  let retired: Promise<void> | null = null;
  const retire = (): Promise<void> => (retired ??= server.stop(false));
  const end = (): Promise<void> => (ended ??= retire());
  return {
    address: bind.kind === "unix" ? bind.path : String(server.url).replace(/\/$/, ""),
    retire,
    stopAccepting() {
      end().catch(() => {});
    },
    async stop(withinMs) {
      const late = Promise.withResolvers<"late">();
      const cancel = timers.after(withinMs, () => late.resolve("late"));
      const outcome = await Promise.race([end(), late.promise]);
      cancel();
      if (outcome === "late") await server.stop(true);
    },
  };
}

function serve(options: ListenOptions, certificate: Certificate | null): ReturnType<typeof Bun.serve> {
  const { bind } = options;
  try {
    return Bun.serve(serveOptions(options, certificate));
  } catch (error) {
    const where = bind.kind === "unix" ? bind.path : `${bind.host}:${bind.port}`;
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot listen on ${where}: ${reason}`, { cause: error });
  }
}

/** Over a unix socket there is no address. */
const LOCAL = "local";

/** A socket is open from its first moment on: there must be none at which others may open it. */
function withUmask<T>(mask: number, run: () => T): T {
  const before = process.umask(mask);
  try {
    return run();
  } finally {
    process.umask(before);
  }
}

type ServeOptions = Parameters<typeof Bun.serve>[0];

function serveOptions({ bind, fetch }: ListenOptions, certificate: Certificate | null): ServeOptions {
  const shared = {
    fetch: (request: Request, server: Bun.Server<undefined>) =>
      fetch(longNamed(request), () => server.requestIP(request)?.address ?? LOCAL),
    // Long polls are silent by design; every wait has a deadline of its own.
    idleTimeout: 0,
    maxRequestBodySize: RAW_BODY_LIMIT_BYTES,
    development: false,
  };
  if (bind.kind === "unix") {
    // The types leave `idleTimeout` out for sockets, but it holds there too: without it a long poll is cut after 10 s.
    const onSocket: object = { ...shared, unix: bind.path };
    return onSocket as ServeOptions;
  }
  const secure = certificate === null ? {} : { tls: certificate };
  // Bun shares a port between processes unless told not to, and half of the requests would go astray.
  return { ...shared, ...secure, hostname: bind.host, port: bind.port, reusePort: false };
}

/** The router looks for the path behind this place, where the name of a host in a URL has ended but for the shortest. */
const ROUTER_SEARCHES_FROM = 11;
const AUTHORITY = /^([a-z]+:\/\/)[^/]*/;

/** The request as the router understands it: behind the name of a host of three letters it would find another path. */
function longNamed(request: Request): Request {
  if (request.url.indexOf("/", "https://".length) >= ROUTER_SEARCHES_FROM) return request;
  return new Request(request.url.replace(AUTHORITY, "$1localhost"), request);
}

/** Removes a socket left behind by a crash, and nothing else. */
export async function clearSocketPath(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => null);
  if (stats === null) return;
  if (!stats.isSocket()) throw new Error(`${path} exists and is not a socket: remove it or choose another path`);
  if (await isAnswered(path)) throw new Error(`another process listens on ${path}: stop it or choose another path`);
  await unlink(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}
