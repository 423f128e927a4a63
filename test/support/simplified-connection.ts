/** The path of the unstable dialect. */
export const SIMPLIFIED_PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/** A room config as it is asked for. */
export interface RoomWish {
  timeline_limit: number;
  required_state: [type: string, stateKey: string][];
}

/** A list as it is asked for. */
export interface ListWish extends RoomWish {
  ranges?: [number, number][];
  filters?: Record<string, unknown>;
}

/** The body of a request, without what follows from the answers before it. */
export interface Wish {
  lists: Record<string, ListWish>;
  room_subscriptions: Record<string, RoomWish>;
  extensions: Record<string, Record<string, unknown>>;
}

export type WireEvent = Record<string, unknown> & {
  event_id?: string;
  type: string;
  sender?: string;
  state_key?: string;
  content: Record<string, unknown>;
  unsigned?: Record<string, unknown>;
};

export type WireRoom = Record<string, unknown> & {
  initial?: boolean;
  name?: string;
  bump_stamp?: number;
  timeline?: WireEvent[];
  required_state?: WireEvent[];
  invite_state?: WireEvent[];
  prev_batch?: string;
  limited?: boolean;
};

/** A response as it is on the wire. */
export interface WireAnswer {
  pos: string;
  lists?: Record<string, { count: number; ops?: { op: string; range: [number, number]; room_ids: string[] }[] }>;
  rooms: Record<string, WireRoom>;
  extensions: Record<string, Record<string, unknown>>;
}

/** What one request came to. */
export interface Outcome {
  status: number;
  errcode: string | null;
  answer: WireAnswer | null;
}

/** Where a conversation stands: the next request builds on it, and may do so again. */
export interface Place {
  pos: string | null;
  /** Extension → up to where its events were received, for those that count on their own. */
  since: Readonly<Record<string, string>>;
}

/** Before the first answer. */
export const START: Place = { pos: null, since: {} };

/** One connection of the unstable dialect over plain HTTP. */
export class SimplifiedConnection {
  place: Place = START;
  /** Where the last request started from. */
  before: Place = this.place;
  readonly #url: string;
  readonly #accessToken: string;
  readonly #connId: string | null;

  constructor(url: string, accessToken: string, connId: string | null) {
    this.#url = url;
    this.#accessToken = accessToken;
    this.#connId = connId;
  }

  /** One request; a good answer moves the place. */
  async sync(
    wish: Partial<Wish>,
    options: { timeoutMs?: number; from?: Place; signal?: AbortSignal } = {},
  ): Promise<Outcome> {
    const from = options.from ?? this.place;
    this.before = from;
    const query = new URLSearchParams({
      timeout: String(options.timeoutMs ?? 0),
      ...(from.pos === null ? {} : { pos: from.pos }),
    });
    const answer = await fetch(`${this.#url}${SIMPLIFIED_PATH}?${query}`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.#accessToken}`, "content-type": "application/json" },
      body: JSON.stringify({
        ...(this.#connId === null ? {} : { conn_id: this.#connId }),
        ...wish,
        extensions: withSince(wish.extensions ?? {}, from.since),
      }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const body = (await answer.json()) as WireAnswer & { errcode?: string };
    if (!answer.ok) return { status: answer.status, errcode: body.errcode ?? null, answer: null };
    this.place = { pos: body.pos, since: { ...from.since, ...nextBatches(body) } };
    return { status: answer.status, errcode: null, answer: body };
  }

  /** The same, for those who count on success. */
  async expect(wish: Partial<Wish>, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<WireAnswer> {
    const { status, errcode, answer } = await this.sync(wish, options);
    if (answer === null) throw new Error(`simplified sync was answered ${status} ${errcode}`);
    return answer;
  }
}

function nextBatches({ extensions }: WireAnswer): Record<string, string> {
  const entries = Object.entries(extensions).map(([key, extension]) => [key, extension["next_batch"]]);
  return Object.fromEntries(entries.filter(([, nextBatch]) => typeof nextBatch === "string"));
}

function withSince(extensions: Wish["extensions"], since: Place["since"]): Wish["extensions"] {
  return Object.fromEntries(
    Object.entries(extensions).map(([key, extension]) => [
      key,
      since[key] === undefined ? extension : { ...extension, since: since[key] },
    ]),
  );
}
