import type { Browser } from "../browser.ts";
import type { Exchange, SyncSummary } from "../model/traffic.ts";
import { parseObject } from "../model/wire.ts";

/** A request to the server or to the homeserver. */
export interface CallOptions {
  method: "GET" | "POST" | "PUT" | "DELETE";
  url: string;
  /** As it is shown: without the address. */
  path: string;
  accessToken: string | null;
  body?: Record<string, unknown>;
  deadlineMs: number;
  signal?: AbortSignal;
  /** Neither request nor response is shown, as for passwords and tokens. */
  isSecret?: true;
  /** Draws what a response says. */
  summarise?: (text: string) => SyncSummary | null;
}

/** What came back; a failure without answer has status 0. */
export interface Answer {
  status: number;
  text: string;
  /** The JSON object in it; empty where there is none. */
  json: Record<string, unknown>;
  durationMs: number;
  isCutShort: boolean;
  retryAfterMs: number | null;
}

/** Speaks HTTP and tells of everything that goes over the wire. */
export class Http {
  readonly #browser: Browser;
  readonly #onExchange: (exchange: Exchange) => void;
  #lastId = 0;

  constructor(browser: Browser, onExchange: (exchange: Exchange) => void) {
    this.#browser = browser;
    this.#onExchange = onExchange;
  }

  /** Never throws: what went wrong is in the answer. */
  async call(options: CallOptions): Promise<Answer> {
    const { method, url, accessToken, deadlineMs } = options;
    const body = options.body === undefined ? null : JSON.stringify(options.body);
    this.#lastId += 1;
    const begun = this.#begin(options, body);
    this.#onExchange(begun);
    const startedMs = this.#browser.mono();
    const abort = new AbortController();
    const cancelDeadline = this.#browser.after(deadlineMs, () => abort.abort());
    const onCut = (): void => abort.abort();
    options.signal?.addEventListener("abort", onCut);
    if (options.signal?.aborted === true) abort.abort();
    try {
      const response = await this.#browser.fetch(url, {
        method,
        headers: {
          ...(accessToken === null ? {} : { authorization: `Bearer ${accessToken}` }),
          ...(body === null ? {} : { "content-type": "application/json" }),
        },
        ...(body === null ? {} : { body }),
        signal: abort.signal,
        cache: "no-store",
        referrerPolicy: "no-referrer",
      });
      const bytes = await response.arrayBuffer();
      const text = new TextDecoder().decode(bytes);
      const durationMs = this.#browser.mono() - startedMs;
      this.#onExchange({
        ...begun,
        outcome: "answered",
        status: response.status,
        durationMs,
        responseBytes: bytes.byteLength,
        response: options.isSecret === true ? null : text,
        sync: response.ok ? (options.summarise?.(text) ?? null) : null,
      });
      const json = parseObject(text) ?? {};
      const retryAfterMs = retryAfter(response.headers.get("retry-after"), json);
      return { status: response.status, text, json, durationMs, isCutShort: false, retryAfterMs };
    } catch {
      const isCutShort = options.signal?.aborted === true;
      const durationMs = this.#browser.mono() - startedMs;
      this.#onExchange({ ...begun, outcome: isCutShort ? "cut short" : "failed", durationMs });
      return { status: 0, text: "", json: {}, durationMs, isCutShort, retryAfterMs: null };
    } finally {
      cancelDeadline();
      options.signal?.removeEventListener("abort", onCut);
    }
  }

  #begin(options: CallOptions, body: string | null): Exchange {
    return {
      id: this.#lastId,
      startedAtMs: this.#browser.now(),
      method: options.method,
      path: options.path,
      status: null,
      outcome: "waiting",
      durationMs: null,
      requestBytes: body === null ? 0 : new TextEncoder().encode(body).length,
      responseBytes: 0,
      request: options.isSecret === true ? null : body,
      response: null,
      sync: null,
    };
  }
}

/** What a person can read of a failure. */
export function failureText({ status, json }: Answer): string {
  if (status === 0) return "no answer";
  const error = typeof json["error"] === "string" && json["error"] !== "" ? json["error"] : `HTTP ${status}`;
  return typeof json["errcode"] === "string" ? `${error} (${json["errcode"]})` : error;
}

function retryAfter(header: string | null, json: Record<string, unknown>): number | null {
  if (typeof json["retry_after_ms"] === "number") return json["retry_after_ms"];
  const seconds = Number(header ?? "");
  return header === null || !Number.isFinite(seconds) ? null : seconds * 1000;
}
