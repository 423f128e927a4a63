import { withPostgres } from "./database.ts";
import { untilInFlight } from "./metrics-page.ts";
import { freePort } from "./ports.ts";
import { CannedHomeserver, type CannedOptions } from "./canned-homeserver.ts";
import { GlissadeProcess } from "./glissade-process.ts";

const SYNC_PATH = "/_matrix/client/v3/sync";
/** Beyond its timeout no answer may take longer than this, on the busiest machine. */
const GRACE_MS = 30_000;

export type Json = Record<string, unknown>;

/** A classic event. */
export interface CannedEvent extends Json {
  type: string;
  event_id: string;
  sender: string;
  content: Json;
  origin_server_ts: number;
  state_key?: string;
}

/** A list operation as it is on the wire. */
export interface WireOp {
  op: string;
  range?: [number, number];
  room_ids?: string[];
  index?: number;
  room_id?: string;
}

/** A room of a response as it is on the wire. */
export interface WireRoom extends Json {
  name?: string;
  initial?: boolean;
  timeline?: CannedEvent[];
  required_state?: CannedEvent[];
  notification_count?: number;
  highlight_count?: number;
}

/** A response as it is on the wire. */
export interface WireResponse {
  pos: string;
  txn_id?: string;
  lists: Record<string, { count: number; ops?: WireOp[] }>;
  rooms: Record<string, WireRoom>;
  extensions: Record<string, Json>;
}

/** A status and what came with it. */
export interface WireAnswer {
  status: number;
  headers: Headers;
  body: WireResponse & { errcode?: string; error?: string };
  tookMs: number;
}

export interface Asking {
  pos?: string;
  timeoutMs?: number | string;
  path?: string;
  signal?: AbortSignal;
}

/** The server as its own process on PostgreSQL, and the homeserver behind it: all that a black-box suite has. */
export class BlackBox implements AsyncDisposable {
  readonly homeserver: CannedHomeserver;
  readonly server: GlissadeProcess;
  readonly #metricsAt: string;
  #clock = 1_700_000_000_000;
  #count = 0;

  private constructor(homeserver: CannedHomeserver, server: GlissadeProcess, metricsAt: string) {
    this.homeserver = homeserver;
    this.server = server;
    this.#metricsAt = metricsAt;
  }

  static async start(options: CannedOptions = {}, env: Record<string, string> = {}): Promise<BlackBox> {
    const postgres = await withPostgres();
    const homeserver = new CannedHomeserver(options);
    const metricsAt = env["SYNCV3_PROM"] ?? `127.0.0.1:${await freePort()}`;
    const server = await GlissadeProcess.create({
      SYNCV3_SERVER: homeserver.url,
      SYNCV3_DB: await postgres.createDatabase(),
      SYNCV3_SECRET: "a secret of the black box",
      SYNCV3_PROM: metricsAt,
      ...env,
    });
    await server.start();
    return new BlackBox(homeserver, server, metricsAt);
  }

  /** Resolves when so many sync requests wait for their answers. */
  waiting(count: number): Promise<void> {
    return untilInFlight(`http://${this.#metricsAt}/metrics`, count);
  }

  /** `between` its lives: all that the homeserver was asked by then was asked in the first one. */
  async restart(between: () => void = () => undefined): Promise<void> {
    await this.server.kill("SIGKILL");
    await this.homeserver.quiet();
    between();
    await this.server.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.kill();
    await this.homeserver[Symbol.asyncDispose]();
  }

  /** A user of this test alone; the token is theirs. */
  user(name: string, deviceId: string | null = "FOO"): { id: string; token: string } {
    const serial = ++this.#count;
    const user = { id: `@${name}${serial}:localhost`, token: `token-of-${name}-${serial}` };
    this.homeserver.addToken(user.token, user.id, deviceId);
    return user;
  }

  roomId(name: string): string {
    return `!${name}${++this.#count}:localhost`;
  }

  /** Later than everything before it. */
  nextTs(): number {
    return (this.#clock += 1000);
  }

  event(type: string, sender: string, content: Json, more: Partial<CannedEvent> = {}): CannedEvent {
    const event_id = `$${type.replaceAll(/[^a-z]/g, "")}-${++this.#count}`;
    return { type, event_id, sender, content, origin_server_ts: this.nextTs(), ...more };
  }

  say(sender: string, body: string, more: Partial<CannedEvent> = {}): CannedEvent {
    return this.event("m.room.message", sender, { body, msgtype: "m.text" }, more);
  }

  state(type: string, sender: string, content: Json, stateKey = "", more: Partial<CannedEvent> = {}): CannedEvent {
    return this.event(type, sender, content, { state_key: stateKey, ...more });
  }

  member(
    target: string,
    membership: string,
    content: Json = {},
    sender = target,
    more: Partial<CannedEvent> = {},
  ): CannedEvent {
    return this.state("m.room.member", sender, { membership, ...content }, target, more);
  }

  /** How a room begins: created, joined by its creator, with power levels and rules. */
  beginning(creator: string, createContent: Json = {}): CannedEvent[] {
    return [
      this.state("m.room.create", creator, { creator, ...createContent }),
      this.member(creator, "join"),
      this.state("m.room.power_levels", creator, { users: { [creator]: 100 } }),
      this.state("m.room.join_rules", creator, { join_rule: "public" }),
    ];
  }

  async ask(
    token: string | null,
    body: Json | string,
    { pos, timeoutMs = 20, path = SYNC_PATH, signal }: Asking = {},
  ): Promise<WireAnswer> {
    const query = new URLSearchParams({ timeout: String(timeoutMs), ...(pos === undefined ? {} : { pos }) });
    const startedMs = performance.now();
    const answer = await this.server.fetch(`${path}?${query}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
      body: typeof body === "string" ? body : JSON.stringify(goRequest(body)),
      signal: signal ?? AbortSignal.timeout(Math.min(Math.max(0, Number(timeoutMs) || 0), 120_000) + GRACE_MS),
    });
    const text = await answer.text();
    return {
      status: answer.status,
      headers: answer.headers,
      body: JSON.parse(text) as WireAnswer["body"],
      tookMs: performance.now() - startedMs,
    };
  }

  /** The same, for those who count on success. */
  async sync(token: string, body: Json, asking: Asking = {}): Promise<WireResponse> {
    const answer = await this.ask(token, body, asking);
    if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** Asks on until the response is as wanted, keeping all responses on the way; a suite's way to be patient. */
  async until(
    token: string,
    body: Json,
    from: WireResponse,
    wanted: (response: WireResponse) => boolean,
  ): Promise<WireResponse> {
    const endsAt = performance.now() + GRACE_MS;
    let response = from;
    do {
      response = await this.sync(token, body, { pos: response.pos, timeoutMs: 500 });
      if (wanted(response)) return response;
    } while (performance.now() < endsAt);
    throw new Error(`never came: last was ${JSON.stringify(response)}`);
  }
}

/** A joined room of a classic response. */
export const joined = (
  roomId: string,
  room: {
    state?: CannedEvent[];
    timeline?: CannedEvent[];
    limited?: boolean;
    prevBatch?: string;
    ephemeral?: Json[];
    accountData?: Json[];
    unread?: Json;
  },
): [string, Json] => [
  roomId,
  {
    ...(room.state === undefined ? {} : { state: { events: room.state } }),
    timeline: {
      events: room.timeline ?? [],
      ...(room.limited === undefined ? {} : { limited: room.limited }),
      ...(room.prevBatch === undefined ? {} : { prev_batch: room.prevBatch }),
    },
    ...(room.ephemeral === undefined ? {} : { ephemeral: { events: room.ephemeral } }),
    ...(room.accountData === undefined ? {} : { account_data: { events: room.accountData } }),
    ...(room.unread === undefined ? {} : { unread_notifications: room.unread }),
  },
];

/** A classic response of joined rooms; further members as given. */
export const response = (rooms: [string, Json][], more: Json = {}): Json => ({
  rooms: { join: Object.fromEntries(rooms) },
  ...more,
});

/** A request as a marshalled Go struct: everything is there, and what was not set is null, 0, "" or false. */
function goRequest(body: Json): Json {
  const { lists, room_subscriptions: rooms, extensions, ...rest } = body;
  return {
    txn_id: "",
    conn_id: "",
    unsubscribe_rooms: null,
    ...rest,
    lists: mapped(lists, goList),
    room_subscriptions: mapped(rooms, goSubscription),
    extensions: {
      to_device: null,
      e2ee: null,
      account_data: null,
      typing: null,
      receipts: null,
      ...mapped(extensions, goExtension),
    },
  };
}

function mapped(given: unknown, each: (value: Json) => Json): Json | null {
  if (given === undefined || given === null) return null;
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, each(value as Json)]));
}

const goSubscription = (given: Json): Json => ({
  required_state: null,
  timeline_limit: 0,
  include_old_rooms: null,
  include_heroes: null,
  ...given,
});

const goList = (given: Json): Json => ({
  ...goSubscription({}),
  ranges: null,
  sort: null,
  slow_get_all_rooms: null,
  deleted: false,
  bump_event_types: null,
  ...given,
  filters: given["filters"] === undefined || given["filters"] === null ? null : goFilters(given["filters"] as Json),
});

const goFilters = (given: Json): Json => ({
  spaces: null,
  is_dm: null,
  is_encrypted: null,
  is_invite: null,
  is_tombstoned: null,
  room_types: null,
  not_room_types: null,
  room_name_like: "",
  tags: null,
  not_tags: null,
  ...given,
});

const goExtension = (given: Json): Json => ({ enabled: null, lists: null, rooms: null, limit: 0, since: "", ...given });
