import type { Answer } from "./http-socket.ts";
import { HttpSocket, requestText } from "./http-socket.ts";

/** Dialects that clients of the bench speak. */
export const DIALECTS = ["msc3575", "simplified"] as const;
export type BenchDialect = (typeof DIALECTS)[number];

const SYNC_PATHS: Record<BenchDialect, string> = {
  msc3575: "/_matrix/client/unstable/org.matrix.msc3575/sync",
  simplified: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
};
const POS_KEY = Buffer.from('"pos":"');
const NEXT_BATCH_KEY = Buffer.from('"next_batch":"');
const QUOTE = 0x22;
/** How soon a client whose server is away tries again. */
const RETRY_MS = 50;

/** What a client asks for; the rest of its request is the same for all. */
export type ClientOptions = {
  readonly port: number;
  readonly dialect: BenchDialect;
  readonly token: string;
  readonly connId: string;
  /** Last index of the only list's window. */
  readonly windowEnd: number;
  readonly timelineLimit: number;
};

const REQUIRED_STATE =
  '[["m.room.name",""],["m.room.create",""],["m.room.encryption",""],["m.room.avatar",""],["m.room.member","$LAZY"],["m.room.member","$ME"]]';
const extensionsWith = (since: string | null): string =>
  `{"to_device":{"enabled":true,"limit":100${since === null ? "" : `,"since":"${since}"`}},"e2ee":{"enabled":true},"account_data":{"enabled":true},"typing":{"enabled":true},"receipts":{"enabled":true}}`;

function stringAfter(body: Buffer, key: Buffer): string | null {
  const at = body.indexOf(key);
  if (at === -1) return null;
  const start = at + key.length;
  return body.toString("latin1", start, body.indexOf(QUOTE, start));
}

/**
 * One sliding sync connection: of MSC3575 it says the whole request first and then only what changes, of simplified sliding sync all of it
 * each time, as SDKs do.
 */
export class SlidingClient {
  readonly #options: ClientOptions;
  #socket: HttpSocket | null = null;
  #windowEnd: number;
  #pos: string | null = null;
  #toDeviceSince: string | null = null;
  #isStopped = false;
  /** How often the server no longer knew the connection. */
  startOverCount = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#windowEnd = options.windowEnd;
  }

  get pos(): string | null {
    return this.#pos;
  }

  setWindowEnd(end: number): void {
    this.#windowEnd = end;
  }

  /** The next request starts a new connection. */
  forget(): void {
    this.#pos = null;
    this.#toDeviceSince = null;
  }

  #request(timeoutMs: number): string {
    const { token, connId, timelineLimit, dialect } = this.#options;
    const query = `?timeout=${timeoutMs}${this.#pos === null ? "" : `&pos=${encodeURIComponent(this.#pos)}`}`;
    const target = `${SYNC_PATHS[dialect]}${query}`;
    const ranges = `"ranges":[[0,${this.#windowEnd}]]`;
    const id = connId === "" ? "" : `"conn_id":"${connId}",`;
    if (this.#pos === null || dialect === "simplified") {
      const sort = dialect === "simplified" ? "" : '"sort":["by_recency"],';
      const list = `{${ranges},${sort}"timeline_limit":${timelineLimit},"required_state":${REQUIRED_STATE}}`;
      const body = `{${id}"lists":{"list":${list}},"extensions":${extensionsWith(this.#toDeviceSince)}}`;
      return requestText("POST", target, token, body);
    }
    const since = this.#toDeviceSince === null ? "" : `,"extensions":{"to_device":{"since":"${this.#toDeviceSince}"}}`;
    const body = `{${id}"lists":{"list":{${ranges}}}${since}}`;
    return requestText("POST", target, token, body);
  }

  /** One request and its answer; an answer that is no success is an error. */
  async poll(timeoutMs: number): Promise<Answer> {
    if (this.#socket === null || this.#socket.isClosed) this.#socket = await HttpSocket.open(this.#options.port);
    const answer = await this.#socket.exchange(this.#request(timeoutMs));
    if (answer.status === 400 && answer.body.includes("M_UNKNOWN_POS")) {
      this.startOverCount += 1;
      this.forget();
      return this.poll(timeoutMs);
    }
    if (answer.status !== 200) {
      throw new Error(`answer ${answer.status}: ${answer.body.toString("latin1", 0, 300)}`);
    }
    this.#pos = stringAfter(answer.body, POS_KEY);
    if (this.#pos === null) throw new Error("an answer has no pos");
    this.#toDeviceSince = stringAfter(answer.body, NEXT_BATCH_KEY) ?? this.#toDeviceSince;
    return answer;
  }

  /** Polls without pause until `stop`, through restarts of the server. */
  async run(timeoutMs: number, onAnswer: (body: Buffer) => void): Promise<void> {
    while (!this.#isStopped) {
      try {
        const { body } = await this.poll(timeoutMs);
        onAnswer(body);
      } catch (error) {
        // `stop` may have been called while waiting
        if (this.#isStopped) return;
        if (error instanceof Error && error.message.startsWith("answer 4")) throw error;
        await Bun.sleep(RETRY_MS);
      }
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#socket?.close();
    this.#socket = null;
  }
}
