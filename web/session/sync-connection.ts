import { type ConnectionState, stickyPart, type SyncCall, type ViewQuery, writeCall } from "../model/query.ts";
import { type DialectName, readSyncResponse, type SyncResponse } from "../model/wire.ts";
import { type Answer, failureText } from "./http.ts";

/** How a connection does. */
export type SyncStatus =
  | { kind: "starting" }
  | { kind: "live" }
  | { kind: "retrying"; reason: string; inMs: number }
  | { kind: "logged out" };

/** What a connection needs of the outside. */
export interface SyncDeps {
  send: (call: SyncCall, deadlineMs: number, signal: AbortSignal) => Promise<Answer>;
  after: (ms: number, work: () => void) => () => void;
  onStatus: (status: SyncStatus) => void;
  /** `isNew` = the connection begins here: what was known of its list is void. */
  onResponse: (response: SyncResponse, isNew: boolean) => void;
}

const POLL_MS = 30_000;
/** Beyond what the server was asked to wait. */
const GRACE_MS = 20_000;
/** The first answer may wait for the first sync of the device. */
const FIRST_DEADLINE_MS = 1_800_000;
const MOST_BACKOFF_MS = 30_000;

/** One sliding sync connection: asks, and asks again, until it is stopped. */
export class SyncConnection {
  readonly #deps: SyncDeps;
  readonly #dialect: DialectName;
  readonly #connId: string;
  #query: ViewQuery;
  #pos: string | null = null;
  #remembered: string | null = null;
  #subscribed: readonly string[] = [];
  /** Counts how often the connection began. */
  #life = 0;
  #isNews = false;
  #isStopped = false;
  #abort = new AbortController();
  #failures = 0;

  constructor(deps: SyncDeps, dialect: DialectName, connId: string, query: ViewQuery) {
    this.#deps = deps;
    this.#dialect = dialect;
    this.#connId = connId;
    this.#query = query;
    deps.onStatus({ kind: "starting" });
    void this.#run();
  }

  /** Asks for something else; a request that waits is cut short. `isAnew` starts the connection over. */
  ask(query: ViewQuery, isAnew: boolean): void {
    this.#query = query;
    if (isAnew) this.#forget();
    this.#isNews = true;
    this.#abort.abort();
  }

  /** For good. */
  stop(): void {
    this.#isStopped = true;
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      this.#abort = new AbortController();
      this.#isNews = false;
      const query = this.#query;
      const life = this.#life;
      const state = this.#state();
      const call = writeCall(this.#dialect, query, state);
      if (query.openRoom !== null) this.#subscribed = [...new Set([...this.#subscribed, query.openRoom])];
      const deadlineMs = state.pos === null ? FIRST_DEADLINE_MS : state.timeoutMs + GRACE_MS;
      const answer = await this.#deps.send(call, deadlineMs, this.#abort.signal);
      if (this.#isStopped) return;
      await this.#take(answer, query, life);
    }
  }

  async #take(answer: Answer, query: ViewQuery, life: number): Promise<void> {
    const response = answer.status === 200 ? readSyncResponse(answer.text) : null;
    // Nobody wants it any more when the connection was started over meanwhile.
    if (response !== null && life === this.#life) {
      const isNew = this.#pos === null;
      this.#pos = response.pos;
      this.#remembered = stickyPart(query);
      this.#subscribed = query.openRoom === null ? [] : [query.openRoom];
      this.#failures = 0;
      this.#deps.onResponse(response, isNew);
      this.#deps.onStatus({ kind: "live" });
      return;
    }
    // What the server has taken in of it is not known.
    this.#remembered = null;
    if (answer.isCutShort || response !== null) return;
    if (answer.json["errcode"] === "M_UNKNOWN_POS") {
      this.#forget();
      return;
    }
    if (answer.status === 401) {
      this.#isStopped = true;
      this.#deps.onStatus({ kind: "logged out" });
      return;
    }
    await this.#backOff(answer);
  }

  async #backOff(answer: Answer): Promise<void> {
    const inMs = answer.retryAfterMs ?? Math.min(MOST_BACKOFF_MS, 1000 * 2 ** this.#failures);
    this.#failures += 1;
    this.#deps.onStatus({ kind: "retrying", reason: failureText(answer), inMs });
    if (this.#isNews) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#deps.after(inMs, resolve);
    this.#abort.signal.addEventListener("abort", () => resolve());
    await promise;
    cancel();
  }

  #forget(): void {
    this.#life += 1;
    this.#pos = null;
    this.#remembered = null;
    this.#subscribed = [];
  }

  #state(): ConnectionState {
    return {
      connId: this.#connId,
      pos: this.#pos,
      remembered: this.#remembered,
      subscribed: this.#subscribed,
      timeoutMs: this.#pos === null ? 0 : POLL_MS,
    };
  }
}
