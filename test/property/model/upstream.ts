import type { Homeserver, SyncRequestParams, UpstreamResult } from "#src/ports/homeserver.ts";
import type { RoomId } from "#src/protocol/ids.ts";
import { contentOf, type ModelEvent } from "./homeserver-room.ts";
import { type ClassicSync, classicSync, type ToldEvent } from "./classic-sync.ts";
import type { ModelHomeserver } from "./model-homeserver.ts";

type Body = UpstreamResult<Uint8Array<ArrayBuffer>>;

interface Prepared {
  readonly answer: ClassicSync;
  /** Where the homeserver was when it made the answer. */
  readonly pos: number;
}

interface OpenPoll {
  readonly since: number;
  /** The homeserver is asked not to hold it. */
  readonly isHurried: boolean;
  readonly filter: Filter;
  readonly isAborted: () => boolean;
  readonly settle: (result: Body) => void;
  /** Made, and still on its way. */
  prepared: Prepared | null;
}

/** As far as our filters go. */
interface Filter {
  room?: { rooms?: string[]; timeline?: { limit?: number } };
}

const encoder = new TextEncoder();

/** The homeserver as pollers see it: each sync stays open until the history has it answered. */
export class Upstream implements Pick<
  Homeserver,
  "sync" | "createFilter" | "roomMessages" | "roomState" | "joinedRooms"
> {
  readonly #hs: ModelHomeserver;
  readonly #stateAfter: boolean;
  readonly #open = new Map<string, OpenPoll>();
  readonly #logins = new Map<string, number>();
  /** The answer that each device was given last: told for good when it is stored. */
  readonly #out = new Map<string, { answer: ClassicSync; reached: number }>();
  /** Up to where what is each device's own is stored. */
  readonly #reached = new Map<string, number>();
  /** User and room: of what was said last nothing was told. */
  readonly #openGaps = new Set<string>();
  /** Where each device began to sync. */
  readonly began = new Map<string, number>();
  /** By room: what any poll that was taken in has told, in the order of the answers. */
  readonly told = new Map<string, Map<string, ToldEvent>>();

  constructor(hs: ModelHomeserver, stateAfter: boolean) {
    this.#hs = hs;
    this.#stateAfter = stateAfter;
  }

  /** The token says who it is, and of which login: `<user id>/<device id>#<login>`. */
  sync(params: SyncRequestParams, { signal }: AbortController): Promise<Body> {
    const { promise, resolve } = Promise.withResolvers<Body>();
    const [device = "", login] = params.accessToken.split("#");
    if (this.tokenOf(device) !== `${device}#${login}`) return Promise.resolve(REFUSED);
    const since = params.since === null ? 0 : Number(params.since.slice(1));
    // What is not stored by now never will be.
    this.#out.delete(device);
    if (since > 0 && !this.began.has(device)) this.began.set(device, since);
    this.#open.set(device, {
      since,
      isHurried: params.timeoutMs === 0,
      filter: readFilter(params.filter),
      isAborted: () => signal.aborted,
      settle: resolve,
      prepared: null,
    });
    signal.addEventListener("abort", () => resolve(failure("aborted")));
    return promise;
  }

  tokenOf(device: string): string {
    return `${device}#${this.#logins.get(device) ?? 0}`;
  }

  /** Up to where of the homeserver's stream what is this device's own is stored. */
  reached(device: string): number {
    return this.#reached.get(device) ?? 0;
  }

  /** The device's token is good no longer; the next one is. */
  revoke(device: string): void {
    this.#logins.set(device, (this.#logins.get(device) ?? 0) + 1);
    const open = this.#open.get(device);
    this.#open.delete(device);
    open?.settle(REFUSED);
  }

  /** State as it is, for who is in the room. */
  async roomState(accessToken: string, roomId: string): Promise<Body> {
    const [userId = ""] = accessToken.split("/");
    const room = this.#hs.room(roomId);
    if (room.membership(userId) !== "join")
      return {
        ok: false,
        failure: { kind: "refused", status: 403, errcode: "M_FORBIDDEN", body: "", reason: "not in the room" },
      };
    const state = [...room.state.values()].map((event) => stateEvent(event));
    return { ok: true, value: encoder.encode(JSON.stringify(state)) };
  }

  async joinedRooms(accessToken: string): Promise<UpstreamResult<RoomId[]>> {
    const [userId = ""] = accessToken.split("/");
    const joined = [...this.#hs.rooms.values()].filter((room) => room.membership(userId) === "join");
    return { ok: true, value: joined.map(({ id }) => id as RoomId) };
  }

  /** What is older than a poll told stays untold. */
  async roomMessages(): Promise<Body> {
    return failure("not modelled");
  }

  async createFilter(): Promise<UpstreamResult<string>> {
    return { ok: true, value: "filter" };
  }

  /** Devices that wait for an answer. */
  get waiting(): string[] {
    return [...this.#open].filter(([, { isAborted }]) => !isAborted()).map(([device]) => device);
  }

  /** Polls that the homeserver is asked not to hold are answered. */
  answerHurried(): void {
    for (const [device, { isHurried }] of this.#open) if (isHurried) this.answer(device, 50);
  }

  isFirstSync(device: string): boolean {
    return this.#open.get(device)?.since === 0;
  }

  /** The homeserver makes its answer to a device's poll, which arrives with the next `answer`: others may be told more before. */
  prepare(device: string, limit: number): void {
    const open = this.#open.get(device);
    if (open === undefined || open.isAborted() || open.prepared !== null) return;
    const prepared = this.#make(device, open, limit);
    if (!prepared.answer.isEmpty) open.prepared = prepared;
  }

  /** Answers a device's poll, if it has one open and there is something to say; false otherwise. */
  answer(device: string, limit: number): boolean {
    const open = this.#open.get(device);
    if (open === undefined || open.isAborted()) return false;
    const { answer, pos } = open.prepared ?? this.#make(device, open, limit);
    if (answer.isEmpty && !open.isHurried && open.since !== 0 && open.since === pos) return false;
    this.#open.delete(device);
    // Rooms that a device reads beside its `since` bring nothing of its own.
    this.#out.set(device, { answer, reached: open.since === 0 && this.began.has(device) ? 0 : pos });
    open.settle({ ok: true, value: encoder.encode(JSON.stringify(answer.body)) });
    return true;
  }

  #make(device: string, open: OpenPoll, limit: number): Prepared {
    const [userId = "", deviceId = ""] = device.split("/");
    const { room = {} } = open.filter;
    const style = {
      since: open.since,
      limit: Math.min(limit, room.timeline?.limit ?? limit),
      stateAfter: this.#stateAfter,
      hasRooms: room.rooms?.length !== 0,
    };
    return { answer: classicSync(this.#hs, userId, deviceId, style), pos: this.#hs.pos };
  }

  /** The poll ends without an answer, as through a proxy that gives up. */
  fail(device: string): void {
    const open = this.#open.get(device);
    this.#open.delete(device);
    open?.settle(failure("status 502"));
  }

  /** Of this device, all is stored that the latest answer brought. */
  stored(device: string): void {
    const out = this.#out.get(device);
    this.#out.delete(device);
    if (out === undefined) return;
    const { answer } = out;
    this.#reached.set(device, Math.max(out.reached, this.reached(device)));
    const [userId = ""] = device.split("/");
    for (const [roomId, events] of answer.told) {
      const [first] = events;
      // What an answer left out lies before what the next one shows.
      if (first !== undefined && this.#openGaps.delete(`${userId} ${roomId}`))
        events[0] = { ...first, gapBefore: true };
      const told = this.told.get(roomId) ?? new Map<string, ToldEvent>();
      this.told.set(roomId, told);
      // Of several events, only what follows the last known one is new (spec 4.4).
      const known = events.length > 1 ? events.findLastIndex(({ event }) => told.has(event.id)) : -1;
      for (const item of events.slice(known + 1)) if (!told.has(item.event.id)) told.set(item.event.id, item);
    }
    for (const roomId of answer.skipped) this.#openGaps.add(`${userId} ${roomId}`);
  }
}

const REFUSED: Body = { ok: false, failure: { kind: "auth", softLogout: true, status: 401, body: "{}" } };

const stateEvent = (event: ModelEvent): Record<string, unknown> => ({
  type: event.type,
  event_id: event.id,
  sender: event.sender,
  origin_server_ts: event.ts,
  content: contentOf(event),
  state_key: event.stateKey,
});

const readFilter = (filter: string): Filter => (filter.startsWith("{") ? (JSON.parse(filter) as Filter) : {});

const failure = (reason: string): Body => ({
  ok: false,
  failure: { kind: "transient", status: 502, retryAfterMs: 0, reason },
});
