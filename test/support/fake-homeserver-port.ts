import type {
  Homeserver,
  MessagesPage,
  SyncRequestParams,
  UpstreamFailure,
  UpstreamResult,
} from "#src/ports/homeserver.ts";
import type { DeviceId, EventId, RoomId, UserId } from "#src/protocol/ids.ts";

/** One sync request that waits for its answer. */
export interface OpenSync {
  readonly params: SyncRequestParams;
  readonly isAborted: boolean;
  /** Answers with a body: an object as JSON, a string as it is. */
  answer(body: unknown): void;
  fail(failure: UpstreamFailure): void;
}

class PendingSync implements OpenSync {
  readonly params: SyncRequestParams;
  readonly #settle: (result: UpstreamResult<Uint8Array<ArrayBuffer>>) => void;
  readonly #signal: AbortSignal;

  constructor(
    params: SyncRequestParams,
    signal: AbortSignal,
    settle: (result: UpstreamResult<Uint8Array<ArrayBuffer>>) => void,
  ) {
    this.params = params;
    this.#signal = signal;
    this.#settle = settle;
  }

  get isAborted(): boolean {
    return this.#signal.aborted;
  }

  answer(body: unknown): void {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    this.#settle({ ok: true, value: new TextEncoder().encode(text) });
  }

  fail(failure: UpstreamFailure): void {
    this.#settle({ ok: false, failure });
  }
}

/** The homeserver port, answered by hand: every sync stays open until the test settles it. */
export class FakeHomeserverPort implements Homeserver {
  readonly syncs: OpenSync[] = [];
  readonly uploadedFilters: string[] = [];
  /** Result of filter uploads. */
  filterResult: UpstreamResult<string> = { ok: true, value: "filter1" };
  #taken = 0;

  /** The next request not looked at yet. */
  nextSync(): OpenSync {
    const sync = this.syncs[this.#taken++];
    if (sync === undefined) throw new Error(`no sync request beyond ${this.syncs.length}`);
    return sync;
  }

  /** Requests not looked at yet. */
  get waitingCount(): number {
    return this.syncs.length - this.#taken;
  }

  async versions(): ReturnType<Homeserver["versions"]> {
    return { ok: true, value: { versions: ["v1.1"], unstableFeatures: {} } };
  }

  async whoami(): ReturnType<Homeserver["whoami"]> {
    return { ok: true, value: { userId: "@alice:hs" as UserId, deviceId: "DEVICE" as DeviceId, isGuest: false } };
  }

  /** State of rooms and rooms of users, by token; a failure where there is none. */
  readonly states = new Map<string, unknown>();
  readonly joined = new Map<string, RoomId[]>();
  /** Pages of rooms' histories. */
  readonly messages = new Map<string, unknown>();
  /** Every other request, in order. */
  readonly asked: string[] = [];
  /** What the next requests fail with. */
  failures: UpstreamFailure[] = [];

  async roomState(accessToken: string, roomId: RoomId): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>> {
    this.asked.push(`state ${accessToken} ${roomId}`);
    const failure = this.failures.shift();
    if (failure !== undefined) return { ok: false, failure };
    const state = this.states.get(`${accessToken} ${roomId}`) ?? this.states.get(roomId);
    if (state === undefined) return { ok: false, failure: refusedFailure(403) };
    const text = typeof state === "string" ? state : JSON.stringify(state);
    return { ok: true, value: new TextEncoder().encode(text) };
  }

  async roomMessages(accessToken: string, roomId: RoomId): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>> {
    this.asked.push(`messages ${accessToken} ${roomId}`);
    const failure = this.failures.shift();
    if (failure !== undefined) return { ok: false, failure };
    const page = this.messages.get(roomId);
    if (page === undefined) return { ok: false, failure: refusedFailure(403) };
    return { ok: true, value: new TextEncoder().encode(JSON.stringify(page)) };
  }

  /** What is behind a token; nothing where it is not said. */
  readonly ahead = new Map<string, { ids: EventId[]; end: string | null }>();

  async roomEventsAfter(
    accessToken: string,
    roomId: RoomId,
    { from, limit }: MessagesPage,
  ): ReturnType<Homeserver["roomEventsAfter"]> {
    this.asked.push(`after ${accessToken} ${roomId} ${from} ${limit}`);
    const failure = this.failures.shift();
    if (failure !== undefined) return { ok: false, failure };
    return { ok: true, value: this.ahead.get(`${from} ${limit}`) ?? { ids: [], end: null } };
  }

  async joinedRooms(accessToken: string): Promise<UpstreamResult<RoomId[]>> {
    this.asked.push(`joined ${accessToken}`);
    const failure = this.failures.shift();
    if (failure !== undefined) return { ok: false, failure };
    return { ok: true, value: this.joined.get(accessToken) ?? [] };
  }

  async createFilter(_accessToken: string, _userId: UserId, filter: string): Promise<UpstreamResult<string>> {
    this.uploadedFilters.push(filter);
    return this.filterResult;
  }

  sync(params: SyncRequestParams, { signal }: AbortController): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>> {
    const { promise, resolve } = Promise.withResolvers<UpstreamResult<Uint8Array<ArrayBuffer>>>();
    signal.addEventListener("abort", () =>
      resolve({ ok: false, failure: { kind: "transient", status: 0, retryAfterMs: 0, reason: "aborted" } }),
    );
    this.syncs.push(new PendingSync(params, signal, resolve));
    return promise;
  }
}

/** A failure worth a retry. */
export const transientFailure = (retryAfterMs = 0): UpstreamFailure => ({
  kind: "transient",
  status: 502,
  retryAfterMs,
  reason: "status 502",
});

/** Not for this user. */
const refusedFailure = (status: number): UpstreamFailure => ({
  kind: "refused",
  status,
  errcode: "M_FORBIDDEN",
  reason: `status ${status} M_FORBIDDEN`,
  body: "",
});

/** A dead token. */
export const authFailure = (softLogout = false): UpstreamFailure => ({
  kind: "auth",
  softLogout,
  status: 401,
  body: "{}",
});
