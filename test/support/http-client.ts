import type { RigResponse } from "./sync-rig.ts";

const SYNC_PATH = "/_matrix/client/unstable/org.matrix.msc3575/sync";

/** Options of one request. */
export interface SyncOptions {
  timeoutMs?: number;
  traceparent?: string;
  /** Parameters of this request alone, beside those of every one. */
  extra?: Record<string, unknown>;
}

/** One MSC3575 connection over plain HTTP: as little of a client as can be. */
export class HttpClient {
  pos: string | null = null;
  /** To-device messages up to here are received; null while there was none. */
  #toDeviceSince: unknown = null;
  readonly #server: { fetch: (path: string, init: RequestInit) => Promise<Response> };
  readonly #accessToken: string;
  readonly #params: Record<string, unknown>;

  constructor(
    server: { fetch: (path: string, init: RequestInit) => Promise<Response> },
    accessToken: string,
    params: Record<string, unknown>,
  ) {
    this.#server = server;
    this.#accessToken = accessToken;
    this.#params = params;
  }

  /** One request as it is answered, at the position of the last good answer. */
  async request({ timeoutMs = 0, traceparent, extra = {} }: SyncOptions = {}): Promise<Response> {
    const query = new URLSearchParams({ timeout: String(timeoutMs), ...(this.pos === null ? {} : { pos: this.pos }) });
    return this.#server.fetch(`${SYNC_PATH}?${query}`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${this.#accessToken}`,
        "content-type": "application/json",
        ...(traceparent === undefined ? {} : { traceparent }),
      },
      body: JSON.stringify({ ...this.#params, ...this.#acknowledgement(), ...extra }),
    });
  }

  /** Without it the same to-device messages would come again and again. */
  #acknowledgement(): Record<string, unknown> {
    if (this.#toDeviceSince === null) return {};
    const extensions = this.#params["extensions"] as Record<string, unknown>;
    return { extensions: { ...extensions, to_device: { enabled: true, since: this.#toDeviceSince } } };
  }

  /** The same, for those who count on success. */
  async sync(options: SyncOptions = {}): Promise<RigResponse> {
    const answer = await this.request(options);
    if (!answer.ok) throw new Error(`sync was answered ${answer.status}: ${await answer.text()}`);
    const body = (await answer.json()) as RigResponse;
    this.pos = body.pos;
    this.#toDeviceSince = body.extensions["to_device"]?.["next_batch"] ?? this.#toDeviceSince;
    return body;
  }
}
