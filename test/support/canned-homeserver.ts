import { until } from "./until.ts";

/** One classic sync request as it came in. */
export interface SeenPoll {
  token: string;
  path: string;
  /** Names of the query's parameters, in their order. */
  names: string[];
  query: URLSearchParams;
  headers: Headers;
}

/** What a poll is answered when nothing is queued, after a moment. */
export type IdleAnswer = "null" | "{}" | "";

export interface CannedOptions {
  idle?: IdleAnswer;
  /** How long a poll is held while nothing is queued. */
  holdMs?: number;
  /** The prefix under which the endpoints are served; the other one is unknown. */
  prefix?: "r0" | "v3";
  /** Everything that is not sync or whoami. */
  otherwise?: (request: Request) => Response;
}

interface Account {
  userId: string;
  deviceId: string | null;
  queue: Canned[];
  /** Polls that have come in, and how many had when the queue was last found empty by one. */
  polls: number;
  idlePolls: number;
  /** Polls that wait here for news. */
  heldPolls: number;
  wake: () => void;
}

type Canned = { status: number; body: string };

const HOLD_MS = 500;
const PATIENCE = { limitMs: 20_000, everyMs: 2 };

/**
 * A homeserver as black-box suites make one: a queue of answers for each access token, whoami, and 404 for everything else.
 * It keeps no state: what it is told to say it says once.
 */
export class CannedHomeserver implements AsyncDisposable {
  readonly url: string;
  readonly seen: SeenPoll[] = [];
  whoamis = 0;
  readonly whoamiHeaders: Headers[] = [];
  /** Asked before every poll and whoami; null = go on. */
  intercept: ((kind: "sync" | "whoami", token: string) => Response | Promise<Response> | null) | null = null;
  readonly #accounts = new Map<string, Account>();
  readonly #options: Required<CannedOptions>;
  readonly #server: Bun.Server<undefined>;

  constructor(options: CannedOptions = {}) {
    this.#options = {
      idle: "null",
      holdMs: HOLD_MS,
      prefix: "r0",
      otherwise: () => new Response("404 page not found", { status: 404 }),
      ...options,
    };
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: (request) => this.#answer(request),
    });
    this.url = `http://127.0.0.1:${this.#server.port}`;
  }

  /** Makes a token known; several may be of one device, and several users may have devices of one name. */
  addToken(token: string, userId: string, deviceId: string | null = "FOO"): void {
    const account = { userId, deviceId, queue: [], polls: 0, idlePolls: 0, heldPolls: 0, wake: () => undefined };
    this.#accounts.set(token, account);
  }

  /** From now on the homeserver knows nothing of it. */
  removeToken(token: string): void {
    this.#accounts.get(token)?.wake();
    this.#accounts.delete(token);
  }

  /** The next poll with this token is answered with it. */
  queue(token: string, body: unknown, status = 200): void {
    const account = this.#account(token);
    account.queue.push({
      status,
      body: typeof body === "string" ? body : JSON.stringify(status === 200 ? goSync(body) : body),
    });
    account.wake();
  }

  /** Resolves when everything queued has been taken and the poller has asked again. */
  async drained(token: string): Promise<void> {
    const account = this.#account(token);
    if (account.queue.length > 0 || account.idlePolls === 0) await this.#pollAfter(account, account.idlePolls);
  }

  /** Queues and waits for the poller to come back for more. */
  async push(token: string, body: unknown): Promise<void> {
    const account = this.#account(token);
    const before = account.idlePolls;
    this.queue(token, body);
    await this.#pollAfter(account, before);
  }

  #pollAfter(account: Account, idlePolls: number): Promise<void> {
    const isBack = (): boolean => account.queue.length === 0 && account.idlePolls > idlePolls;
    return until(`the poller of ${account.userId}`, isBack, PATIENCE);
  }

  /** Resolves when no poll waits here any more: who had asked has hung up, and what is queued now is not told to them. */
  async released(token: string): Promise<void> {
    const account = this.#account(token);
    await until(`${account.userId} to hang up`, () => account.heldPolls === 0, PATIENCE);
  }

  /** The same for everybody: resolves when nothing of a process that is dead is under way. */
  async quiet(): Promise<void> {
    await until("the end of all requests", () => this.#server.pendingRequests === 0, PATIENCE);
  }

  pollsOf(token: string): SeenPoll[] {
    return this.seen.filter((poll) => poll.token === token);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  #account(token: string): Account {
    const account = this.#accounts.get(token);
    if (account === undefined) throw new Error(`no account has the token ${token}`);
    return account;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const endpoint = pathname.startsWith(`/_matrix/client/${this.#options.prefix}/`)
      ? pathname.slice(`/_matrix/client/${this.#options.prefix}`.length)
      : null;
    const token = (request.headers.get("authorization") ?? "").replace(/^Bearer /, "");
    if (request.method === "GET" && endpoint === "/account/whoami") return this.#whoami(token, request.headers);
    if (request.method === "GET" && endpoint === "/sync") {
      const names = [...searchParams.keys()];
      this.seen.push({ token, path: pathname, names, query: searchParams, headers: request.headers });
      return this.#sync(token, request.signal);
    }
    return this.#options.otherwise(request);
  }

  async #whoami(token: string, headers: Headers): Promise<Response> {
    this.whoamis++;
    this.whoamiHeaders.push(headers);
    const special = await this.intercept?.("whoami", token);
    if (special !== undefined && special !== null) return special;
    const account = this.#accounts.get(token);
    if (account === undefined) return unknownToken();
    const { userId, deviceId } = account;
    return Response.json({ user_id: userId, ...(deviceId === null ? {} : { device_id: deviceId }) });
  }

  async #sync(token: string, signal: AbortSignal): Promise<Response> {
    const special = await this.intercept?.("sync", token);
    if (special !== undefined && special !== null) return special;
    const account = this.#accounts.get(token);
    if (account === undefined) return unknownToken();
    account.polls++;
    if (account.queue.length === 0) {
      account.idlePolls++;
      await this.#hold(account, signal);
      if (this.#accounts.get(token) !== account) return unknownToken();
    }
    // Who has hung up is told nothing: it would be lost.
    if (signal.aborted) return json(this.#options.idle);
    const next = account.queue.shift();
    if (next === undefined) return json(this.#options.idle);
    return json(next.body, next.status);
  }

  /** Until there is news, the time is up, or who asked has hung up. */
  async #hold(account: Account, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    account.wake = resolve;
    account.heldPolls++;
    signal.addEventListener("abort", () => resolve());
    await Promise.race([Bun.sleep(this.#options.holdMs), promise]);
    account.heldPolls--;
    if (account.wake === resolve) account.wake = () => undefined;
  }
}

const json = (body: string, status = 200): Response =>
  new Response(body, { status, headers: { "content-type": "application/json" } });

const unknownToken = (): Response =>
  Response.json({ errcode: "M_UNKNOWN_TOKEN", error: "unknown token" }, { status: 401 });

type Json = Record<string, unknown>;

/** A sync answer as a marshalled Go struct: everything is there, and what was not set is null, "" or false. */
function goSync(given: unknown): Json {
  const { rooms, account_data: accountData, to_device: toDevice, device_lists: deviceLists, ...rest } = given as Json;
  const { join = null, leave = null, invite = null } = (rooms ?? {}) as Json;
  return {
    next_batch: "",
    device_one_time_keys_count: null,
    device_unused_fallback_key_types: null,
    presence: { events: null },
    ...rest,
    account_data: accountData ?? { events: null },
    rooms: { join: eachRoom(join, goJoin), leave: eachRoom(leave, goLeave), invite },
    to_device: toDevice ?? { events: null },
    device_lists: { changed: null, left: null, ...(deviceLists as Json | undefined) },
  };
}

function eachRoom(rooms: unknown, fill: (room: Json) => Json): Json | null {
  if (rooms === null) return null;
  return Object.fromEntries(Object.entries(rooms as Json).map(([roomId, room]) => [roomId, fill(room as Json)]));
}

const goTimeline = (given: unknown): Json => ({
  events: null,
  limited: false,
  prev_batch: "",
  ...(given as Json | undefined),
});

const goJoin = ({ timeline, unread_notifications: unread, ...rest }: Json): Json => ({
  state: { events: null },
  ephemeral: { events: null },
  account_data: { events: null },
  ...rest,
  timeline: goTimeline(timeline),
  unread_notifications: { highlight_count: null, notification_count: null, ...(unread as Json | undefined) },
});

const goLeave = ({ timeline, ...rest }: Json): Json => ({
  state: { events: null },
  ...rest,
  timeline: goTimeline(timeline),
});
