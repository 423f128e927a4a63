import type { Clock, Logger, Rng, Timers } from "#src/ports/basics.ts";
import { type Account, Accounts, type Session } from "./accounts.ts";
import { createRoom, type CreateRoomOptions } from "./create-room.ts";
import { IdMaker } from "./ids.ts";
import { KeyStore } from "./key-store.ts";
import { type MembershipOptions, Memberships } from "./membership.ts";
import { accessTokenOf, makeContext, Router } from "./router.ts";
import { accountRoutes } from "./routes/account-routes.ts";
import { historyAndDirectoryRoutes } from "./routes/history-routes.ts";
import { keyRoutes } from "./routes/key-routes.ts";
import { roomRoutes } from "./routes/room-routes.ts";
import { syncRoutes } from "./routes/sync-routes.ts";
import type { StoredEvent } from "./room.ts";
import { type RoomEntry, Rooms, transactionOf } from "./rooms.ts";
import { Script, type SeenRequest } from "./script.ts";
import { registerAccount, type ServerParts, type SpecAge } from "./server-parts.ts";
import { Stream } from "./stream.ts";
import { type Json, MatrixError } from "./wire.ts";

/** How a demonstration homeserver is made. */
export interface DemoHomeserverOptions {
  clock: Clock;
  rng: Rng;
  timers: Timers;
  log?: Logger;
  /** The part of user IDs after the colon. */
  serverName?: string;
  hostname?: string;
  /** 0 = any free one. */
  port?: number;
  /** `r0`: speaks only of r0 versions and answers only below `/_matrix/client/r0`. */
  specAge?: SpecAge;
  /** Whether, and under which name, `state_after` is offered (MSC4222). */
  stateAfter?: "off" | "unstable" | "stable";
}

/** What one may say instead of a session: the session itself, a user ID, or a localpart. */
export type Who = Session | string;

/** Options of one message sent through `send`. */
export interface SendOptions {
  type?: string;
  txnId?: string;
  ts?: number;
}

const CORS_HEADERS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
  "access-control-allow-headers": "X-Requested-With, Content-Type, Authorization",
};

const MODERN_VERSIONS = ["r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.11"];
const R0_VERSIONS = ["r0.5.0", "r0.6.0", "r0.6.1"];

/** A small Matrix homeserver in memory: the demonstration's, and the one of the tests. */
export class DemoHomeserver {
  readonly parts: ServerParts;
  readonly script = new Script();
  readonly #options: DemoHomeserverOptions;
  readonly #router: Router;
  #server: Bun.Server<undefined> | null = null;
  #port: number;

  constructor(options: DemoHomeserverOptions) {
    const { clock, rng, timers } = options;
    this.#options = options;
    this.#port = options.port ?? 0;
    const ids = new IdMaker(rng, options.serverName ?? "demo.localhost");
    const stream = new Stream(timers);
    const accounts = new Accounts(ids);
    const world = { clock, timers, ids, stream, accounts };
    const rooms = new Rooms(world);
    const specAge = options.specAge ?? "modern";
    this.parts = {
      ...world,
      rooms,
      memberships: new Memberships(rooms),
      keys: new KeyStore(accounts, rooms, stream),
      specAge,
      stateAfter: options.stateAfter ?? "unstable",
    };
    const routes = [
      ...accountRoutes(this.parts),
      ...roomRoutes(this.parts),
      ...historyAndDirectoryRoutes(this.parts),
      ...keyRoutes(this.parts),
      ...syncRoutes(this.parts, this.script),
    ];
    this.#router = new Router(routes, specAge === "r0" ? ["r0", "unstable"] : ["r0", "v1", "v3", "unstable"]);
  }

  // ---------------------------------------------------------------- serving

  /** Listens; after a `stop` on the same port as before. */
  start(): void {
    if (this.#server !== null) return;
    this.#server = Bun.serve({
      hostname: this.#options.hostname ?? "127.0.0.1",
      port: this.#port,
      idleTimeout: 0,
      fetch: (request) => this.handle(request),
    });
    this.#port = this.#server.port ?? this.#port;
  }

  /** Drops every connection and listens no more; all data stays. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    await server?.stop(true);
  }

  /** Base URL, without a slash at the end. */
  get url(): string {
    return `http://${this.#options.hostname ?? "127.0.0.1"}:${this.#port}`;
  }

  /** Answers one request; never rejects. */
  async handle(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: CORS_HEADERS });
    const response = await this.#answer(request, url).catch((error: unknown) => this.#errorResponse(error));
    for (const [name, value] of Object.entries(CORS_HEADERS)) response.headers.set(name, value);
    return response;
  }

  async #answer(request: Request, url: URL): Promise<Response> {
    const match = this.#router.match(request.method, url.pathname);
    const accessToken = accessTokenOf(request, url.searchParams);
    const seen: SeenRequest = {
      method: request.method,
      pathname: url.pathname,
      route: match?.route.path ?? url.pathname,
      query: Object.fromEntries(url.searchParams),
      accessToken,
      userId: accessToken === null ? null : (this.parts.accounts.session(accessToken)?.account.userId ?? null),
      userAgent: request.headers.get("user-agent"),
      atMs: this.#options.clock.now(),
    };
    this.script.record(seen);
    const replaced = await this.script.replace(seen, request);
    if (replaced !== undefined) return new Response(replaced.body, replaced);
    if (url.pathname === "/_matrix/client/versions") return Response.json(this.#versions());
    if (match === null) throw new MatrixError(404, "M_UNRECOGNIZED", "Unrecognized request");
    const answer = await match.route.handle(makeContext(request, url, match.params, this.parts.accounts));
    return answer instanceof Response ? answer : Response.json(answer);
  }

  #versions(): Json {
    const { specAge, stateAfter } = this.parts;
    return {
      versions: specAge === "r0" ? R0_VERSIONS : MODERN_VERSIONS,
      unstable_features: { "org.matrix.msc4222": stateAfter !== "off" },
    };
  }

  #errorResponse(error: unknown): Response {
    if (error instanceof MatrixError) {
      const body = { errcode: error.errcode, error: error.message, ...error.extra };
      return Response.json(body, { status: error.status });
    }
    if (error instanceof URIError || error instanceof SyntaxError) {
      return Response.json({ errcode: "M_INVALID_PARAM", error: "Malformed request" }, { status: 400 });
    }
    this.#options.log?.error({ error: String(error) }, "demonstration homeserver failed");
    return Response.json({ errcode: "M_UNKNOWN", error: "Internal server error" }, { status: 500 });
  }

  // ---------------------------------------------------------------- acting without HTTP

  /** Logs a user in, on a new device unless one is named; makes the account where there is none. */
  user(name: string, options: { deviceId?: string; displayName?: string; accessToken?: string } = {}): Session {
    const { accounts, ids } = this.parts;
    const userId = ids.userId(name);
    const account = accounts.find(userId) ?? registerAccount(this.parts, userId, null, options.displayName ?? null);
    return accounts.logIn(account, options);
  }

  /** The account meant by `who`; throws when there is none. */
  account(who: Who): Account {
    if (typeof who !== "string") return who.account;
    const userId = this.parts.ids.userId(who);
    const account = this.parts.accounts.find(userId);
    if (account === null) throw new MatrixError(404, "M_NOT_FOUND", `No account ${userId}`);
    return account;
  }

  #userId(who: Who): string {
    return typeof who === "string" ? this.parts.ids.userId(who) : who.account.userId;
  }

  /** Makes a room; its ID. */
  createRoom(creator: Who, options: CreateRoomOptions = {}): string {
    const entry = createRoom({ world: this.parts, ...this.parts }, this.account(creator), options);
    return entry.room.roomId;
  }

  room(roomId: string): RoomEntry {
    return this.parts.rooms.get(roomId);
  }

  /** Sends a text, or any content; the event ID. */
  send(who: Who, roomId: string, content: string | Json, options: SendOptions = {}): string {
    const { type = "m.room.message", txnId, ts } = options;
    const session = typeof who === "string" ? null : who;
    const stored = this.parts.rooms.send(roomId, {
      sender: this.#userId(who),
      type,
      content: typeof content === "string" ? { msgtype: "m.text", body: content } : content,
      ...(ts === undefined ? {} : { ts }),
      ...(txnId === undefined || session === null ? {} : { txn: transactionOf(session, txnId) }),
    });
    return stored.event.event_id;
  }

  /** Sets state; the event ID. */
  setState(who: Who, roomId: string, type: string, content: Json, stateKey = ""): string {
    return this.parts.rooms.setState(roomId, { sender: this.#userId(who), type, stateKey, content }).event.event_id;
  }

  /** Redacts; the ID of the redaction. */
  redact(who: Who, roomId: string, eventId: string): string {
    return this.parts.rooms.redact(roomId, eventId, { sender: this.#userId(who) }).event.event_id;
  }

  join(who: Who, roomId: string, options?: MembershipOptions): void {
    this.parts.memberships.join(roomId, this.#userId(who), options);
  }

  leave(who: Who, roomId: string, options?: MembershipOptions): void {
    this.parts.memberships.leave(roomId, this.#userId(who), options);
  }

  invite(who: Who, roomId: string, target: Who, options?: MembershipOptions): void {
    this.parts.memberships.invite(roomId, this.#userId(who), this.#userId(target), options);
  }

  kick(who: Who, roomId: string, target: Who, options?: MembershipOptions): void {
    this.parts.memberships.kick(roomId, this.#userId(who), this.#userId(target), options);
  }

  ban(who: Who, roomId: string, target: Who, options?: MembershipOptions): void {
    this.parts.memberships.ban(roomId, this.#userId(who), this.#userId(target), options);
  }

  /** Starts typing for 30 s, or stops. */
  typing(who: Who, roomId: string, isTyping = true): void {
    this.parts.rooms.setTyping(roomId, this.#userId(who), isTyping, 30_000);
  }

  /** Reads up to an event, by default the newest. */
  read(who: Who, roomId: string, eventId?: string, type = "m.read", threadId?: string): void {
    const newest: StoredEvent | undefined = this.room(roomId).room.at(this.room(roomId).room.length - 1);
    const target = eventId ?? newest?.event.event_id ?? "";
    this.parts.rooms.setReceipt(roomId, this.account(who), { type, eventId: target, threadId });
  }

  /** Account data: of a room, or global for null. */
  setAccountData(who: Who, roomId: string | null, type: string, content: Json): void {
    this.parts.rooms.setAccountData(this.account(who), roomId, type, content);
  }

  /** Sends one to-device message; `*` reaches all devices. */
  sendToDevice(from: Who, to: Who, type: string, content: Json, deviceId = "*"): void {
    this.parts.keys.sendToDevice(this.#userId(from), type, { [this.#userId(to)]: { [deviceId]: content } });
  }

  /** Makes a token unknown from now on; a sync parked with it is answered 401. */
  invalidateToken(accessToken: string, options: { softLogout?: boolean } = {}): void {
    const session = this.parts.accounts.session(accessToken);
    this.parts.accounts.killToken(accessToken, options.softLogout ?? false);
    if (session !== null) this.parts.stream.wake([session.account.userId]);
  }

  /** A new token for the same device; the old one dies unless kept. */
  rotateToken(old: Session, options: { keepOld?: boolean; softLogout?: boolean } = {}): Session {
    const session = this.parts.accounts.logIn(old.account, { deviceId: old.device.deviceId });
    if (options.keepOld !== true) this.invalidateToken(old.accessToken, { softLogout: options.softLogout ?? true });
    return session;
  }

  /** Sizes, for health lines and tests. */
  stats(): { users: number; devices: number; rooms: number; events: number; parkedSyncs: number; requests: number } {
    let events = 0;
    for (const { room } of this.parts.rooms.all()) events += room.length;
    return {
      ...this.parts.accounts.counts,
      rooms: this.parts.rooms.count,
      events,
      parkedSyncs: this.parts.stream.parkedCount,
      requests: Object.values(this.script.counts()).reduce((sum, count) => sum + count, 0),
    };
  }
}
