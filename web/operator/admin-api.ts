import { ADMIN_ROOT, type ResyncRequest } from "#src/admin/api.ts";
import type { Browser } from "../browser.ts";
import { type Answer, failureText, type Http } from "../session/http.ts";
import type { Outcome } from "../session/homeserver.ts";

const DEADLINE_MS = 20_000;
/** Profiles are taken for as long as they were asked for, and snapshots are large. */
const DOWNLOAD_DEADLINE_MS = 300_000;

/** A file that the server made. */
export interface Download {
  name: string;
  content: Blob;
}

/** The admin API of the server that the page came from. */
export class AdminApi {
  readonly #http: Http;
  readonly #browser: Browser;
  readonly #token: string;
  readonly #onRefused: () => void;

  /** Without a token (empty) it asks as whoever reaches a socket. `onRefused` is told when the token is none. */
  constructor(deps: { http: Http; browser: Browser; token: string; onRefused: () => void }) {
    this.#http = deps.http;
    this.#browser = deps.browser;
    this.#token = deps.token;
    this.#onRefused = deps.onRefused;
  }

  async get<T>(path: string): Promise<Outcome<T>> {
    const answer = await this.#call("GET", path);
    if (answer.status === 401) this.#onRefused();
    if (answer.status !== 200) return { failure: failureText(answer) };
    try {
      return { value: JSON.parse(answer.text) as T };
    } catch {
      return { failure: "the answer is no JSON" };
    }
  }

  /** Resolves to what went wrong; null when it is done. */
  resync(request: ResyncRequest): Promise<string | null> {
    return this.#do("POST", "/resync", { ...request });
  }

  setPaused(userId: string, deviceId: string, isPaused: boolean): Promise<string | null> {
    return this.#do("POST", `/pollers/${deviceOf(userId, deviceId)}/${isPaused ? "pause" : "resume"}`);
  }

  dropConnection(userId: string, deviceId: string, connId: string): Promise<string | null> {
    return this.#do("DELETE", `/connections/${deviceOf(userId, deviceId)}/${encodeURIComponent(connId)}`);
  }

  profileCpu(host: string, seconds: number): Promise<Outcome<Download>> {
    return this.#download(`/profile/cpu?${new URLSearchParams({ host, seconds: String(seconds) })}`);
  }

  snapshotHeap(host: string): Promise<Outcome<Download>> {
    return this.#download(`/profile/heap?${new URLSearchParams({ host })}`);
  }

  async #do(method: "POST" | "DELETE", path: string, body?: Record<string, unknown>): Promise<string | null> {
    const answer = await this.#call(method, path, body);
    return answer.status === 200 ? null : failureText(answer);
  }

  #call(method: "GET" | "POST" | "DELETE", below: string, body?: Record<string, unknown>): Promise<Answer> {
    const path = ADMIN_ROOT + below;
    const accessToken = this.#token === "" ? null : this.#token;
    const more = body === undefined ? {} : { body };
    return this.#http.call({ method, url: path, path, accessToken, deadlineMs: DEADLINE_MS, ...more });
  }

  async #download(below: string): Promise<Outcome<Download>> {
    const abort = new AbortController();
    const cancel = this.#browser.after(DOWNLOAD_DEADLINE_MS, () => abort.abort());
    try {
      const response = await this.#browser.fetch(ADMIN_ROOT + below, {
        method: "POST",
        headers: this.#token === "" ? {} : { authorization: `Bearer ${this.#token}` },
        signal: abort.signal,
        referrerPolicy: "no-referrer",
      });
      if (!response.ok) return { failure: `HTTP ${response.status}` };
      const named = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1];
      return { value: { name: named ?? "glissade-profile", content: await response.blob() } };
    } catch {
      return { failure: "no answer" };
    } finally {
      cancel();
    }
  }
}

/** The device of a token without one has an empty name, which no path can hold. */
const deviceOf = (userId: string, deviceId: string): string =>
  `${encodeURIComponent(userId)}/${deviceId === "" ? "-" : encodeURIComponent(deviceId)}`;
