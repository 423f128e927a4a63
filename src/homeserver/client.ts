import type { Context, Span } from "@opentelemetry/api";
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, trace } from "@opentelemetry/api";
import type { Clock, Timers } from "#src/ports/basics.ts";
import type {
  Homeserver,
  MessagesPage,
  SyncRequestParams,
  UpstreamFailure,
  UpstreamResult,
} from "#src/ports/homeserver.ts";
import type { DeviceId, EventId, RoomId, UserId } from "#src/protocol/ids.ts";
import { parseRoomId, parseUserId } from "#src/protocol/ids.ts";
import { classifyAnswer, classifyNoAnswer, parseObject } from "./classify.ts";
import type { HomeserverAddress, HttpAnswer } from "./http-call.ts";
import { callHomeserver } from "./http-call.ts";
import { contextOfTraceparent, traceparentOf } from "./traceparent.ts";
import type { EndedCall } from "./upstream-watch.ts";

/** Answers of whoami, versions and filter uploads are a few KiB at most; of joined rooms, 50 bytes for each. */
const MAX_SMALL_BODY_BYTES = 8 * 1024 * 1024;

/** A hundred of the largest events, with some of what may come along. */
const MAX_MESSAGES_BODY_BYTES = 16 * 1024 * 1024;

/** Largest sync body taken: some ten times that of an account with thousands of large rooms. */
const MAX_SYNC_BODY_BYTES = 1024 * 1024 * 1024;

const VERSIONS_DEADLINE_MS = 10_000;

/** `/versions` is asked for before anything else: a homeserver that does not tell must not hold up more than this. */
const VERSIONS_PATIENCE_MS = 2000;

/** How long an answer of `/versions` is believed; homeservers change it when they are upgraded. */
const VERSIONS_FRESH_MS = 10 * 60_000;

/** How long a homeserver without `/versions` is taken for an old one. */
const NO_VERSIONS_FRESH_MS = 60_000;

/** How soon a homeserver that did not answer is asked again while an older answer is at hand. */
const RETRY_VERSIONS_MS = 5000;

const UTF8 = new TextDecoder();

/** What the homeserver says it speaks. */
export interface Versions {
  versions: string[];
  unstableFeatures: Record<string, boolean>;
}

export interface HomeserverDeps {
  address: HomeserverAddress;
  /** Of this program, for `User-Agent`. */
  version: string;
  clock: Clock;
  timers: Timers;
  /** For every call but sync, which brings its own. */
  deadlineMs: number;
  maxSyncBytes?: number;
  /** Told of every call when it is over, but for those that we gave up ourselves. */
  onCall?: (call: EndedCall) => void;
}

interface CallOptions {
  /** `homeserver.<thing>.<verb>` */
  span: string;
  /** As operators know it. */
  endpoint: string;
  method: "GET" | "POST";
  /** Behind the prefix of the client-server API, but for `versions`, which has none. */
  path: string;
  token: string | null;
  body: string | null;
  deadlineMs: number;
  maxBytes: number;
  controller: AbortController | null;
  parent: Context;
  traceparent: string | null;
}

/** The client of the upstream homeserver: the one place that calls it. */
export function createHomeserver(deps: HomeserverDeps): Homeserver {
  return new HomeserverClient(deps);
}

class HomeserverClient implements Homeserver {
  readonly #deps: HomeserverDeps;
  readonly #userAgent: string;
  #known: { value: Versions; freshUntilMs: number } | null = null;
  #asking: Promise<UpstreamResult<Versions>> | null = null;
  /** `/versions` was waited for in vain: it is asked for on behind, and nobody waits for it any more, whatever the next answers are. */
  #isSilent = false;
  /** The prefix that works where the one that `/versions` speaks for is not served. */
  #otherPrefix: Prefix | null = null;

  constructor(deps: HomeserverDeps) {
    this.#deps = deps;
    this.#userAgent = `Glissade/${deps.version}`;
  }

  versions(): Promise<UpstreamResult<Versions>> {
    if (this.#known !== null && this.#deps.clock.mono() < this.#known.freshUntilMs) {
      return Promise.resolve({ ok: true, value: this.#known.value });
    }
    // Thousands of pollers start at once: they share one question.
    this.#asking ??= this.#askVersions().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async whoami(
    accessToken: string,
  ): Promise<UpstreamResult<{ userId: UserId; deviceId: DeviceId | null; isGuest: boolean }>> {
    const answer = await this.#small("whoami", "GET", "/account/whoami", accessToken, null);
    if (!answer.ok) return answer;
    const { user_id, device_id, is_guest } = parseObject(answer.value);
    const userId = parseUserId(user_id);
    if (userId === null) return { ok: false, failure: classifyNoAnswer("whoami without a user id", 200) };
    const deviceId = typeof device_id === "string" && device_id !== "" ? (device_id as DeviceId) : null;
    return { ok: true, value: { userId, deviceId, isGuest: is_guest === true } };
  }

  async createFilter(accessToken: string, userId: UserId, filter: string): Promise<UpstreamResult<string>> {
    const path = `/user/${encodeURIComponent(userId)}/filter`;
    const answer = await this.#small("filter", "POST", path, accessToken, filter);
    if (!answer.ok) return answer;
    const { filter_id } = parseObject(answer.value);
    if (typeof filter_id === "string" && filter_id !== "" && !filter_id.startsWith("{")) {
      return { ok: true, value: filter_id };
    }
    return { ok: false, failure: classifyNoAnswer("filter upload without a filter id", 200) };
  }

  async roomState(accessToken: string, roomId: RoomId): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>> {
    const answer = await this.#callApi({
      span: "homeserver.state.get",
      endpoint: "state",
      method: "GET",
      path: `/rooms/${encodeURIComponent(roomId)}/state`,
      token: accessToken,
      body: null,
      deadlineMs: this.#deps.deadlineMs,
      maxBytes: this.#deps.maxSyncBytes ?? MAX_SYNC_BODY_BYTES,
      controller: null,
      parent: context.active(),
      traceparent: null,
    });
    return this.#settle(answer, false, (body) => body);
  }

  roomMessages(
    accessToken: string,
    roomId: RoomId,
    page: MessagesPage,
  ): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>> {
    return this.#messages(accessToken, roomId, "b", page);
  }

  async roomEventsAfter(
    accessToken: string,
    roomId: RoomId,
    page: MessagesPage,
  ): ReturnType<Homeserver["roomEventsAfter"]> {
    const answer = await this.#messages(accessToken, roomId, "f", page);
    if (!answer.ok) return answer;
    const { chunk, end } = parseObject(UTF8.decode(answer.value));
    const ids = Array.isArray(chunk) ? chunk.map((event: { event_id?: unknown } | null) => event?.event_id) : [null];
    // A token is of a place behind all of them: none may be left out.
    if (!ids.every((id) => typeof id === "string") || ids.length > page.limit)
      return { ok: false, failure: classifyNoAnswer("a page without its events", 200) };
    return { ok: true, value: { ids: ids as EventId[], end: typeof end === "string" && end !== "" ? end : null } };
  }

  async #messages(
    accessToken: string,
    roomId: RoomId,
    dir: "b" | "f",
    { from, limit, deadlineMs }: MessagesPage,
  ): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>> {
    const query = new URLSearchParams({ dir, from, limit: String(limit) });
    const answer = await this.#callApi({
      span: "homeserver.messages.get",
      endpoint: "messages",
      method: "GET",
      path: `/rooms/${encodeURIComponent(roomId)}/messages?${query.toString()}`,
      token: accessToken,
      body: null,
      deadlineMs: Math.min(deadlineMs, this.#deps.deadlineMs),
      maxBytes: MAX_MESSAGES_BODY_BYTES,
      controller: null,
      parent: context.active(),
      traceparent: null,
    });
    return this.#settle(answer, false, (body) => body);
  }

  async joinedRooms(accessToken: string): Promise<UpstreamResult<RoomId[]>> {
    const answer = await this.#small("joined-rooms", "GET", "/joined_rooms", accessToken, null);
    if (!answer.ok) return answer;
    const { joined_rooms: joined } = parseObject(answer.value);
    // Half a list would take people out of their rooms.
    if (!Array.isArray(joined)) return { ok: false, failure: classifyNoAnswer("joined rooms without a list", 200) };
    return { ok: true, value: joined.map(parseRoomId).filter((roomId) => roomId !== null) };
  }

  async sync(params: SyncRequestParams, controller: AbortController): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>> {
    const answer = await this.#callApi({
      span: "homeserver.sync.get",
      endpoint: syncEndpoint(params),
      method: "GET",
      path: `/sync?${syncQuery(params)}`,
      token: params.accessToken,
      body: null,
      deadlineMs: params.deadlineMs,
      maxBytes: this.#deps.maxSyncBytes ?? MAX_SYNC_BODY_BYTES,
      controller,
      parent: contextOfTraceparent(params.traceparent),
      traceparent: params.traceparent,
    });
    return this.#settle(answer, true, (body) => body);
  }

  async #askVersions(): Promise<UpstreamResult<Versions>> {
    const { deadlineMs, clock } = this.#deps;
    const answer = await this.#call({
      span: "homeserver.versions.get",
      endpoint: "versions",
      method: "GET",
      path: "/_matrix/client/versions",
      token: null,
      body: null,
      deadlineMs: Math.min(deadlineMs, VERSIONS_DEADLINE_MS),
      maxBytes: MAX_SMALL_BODY_BYTES,
      controller: null,
      parent: ROOT_CONTEXT,
      traceparent: null,
    });
    const result = this.#settle(answer, false, readVersions);
    this.#isSilent ||= !answer.ok && answer.reason === "deadline";
    const now = clock.mono();
    if (result.ok) this.#known = { value: result.value, freshUntilMs: now + VERSIONS_FRESH_MS };
    else if ((answer.ok && answer.status === 200) || isUnknownEndpoint(result.failure)) {
      // It is there, but older than the endpoint, or says nothing that can be read.
      this.#known = { value: { versions: [], unstableFeatures: {} }, freshUntilMs: now + NO_VERSIONS_FRESH_MS };
    } else if (this.#known !== null) {
      this.#known = { value: this.#known.value, freshUntilMs: now + RETRY_VERSIONS_MS };
    }
    return result;
  }

  /**
   * `v3` where the homeserver lists v1.1 or newer, `r0` where it does not. One that cannot be asked now is taken for what it
   * was, or else for an old one: those of today serve both.
   */
  async #prefix(): Promise<Prefix> {
    if (this.#otherPrefix !== null) return this.#otherPrefix;
    // An older answer is good enough for the path: it is renewed without holding up this call.
    const asking = this.versions();
    if (this.#known === null && !this.#isSilent) await this.#heardOf(asking);
    return clientPrefix(this.#known?.value.versions ?? []);
  }

  /** Waits for the versions, for a while. */
  async #heardOf(asking: Promise<unknown>): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = this.#deps.timers.after(VERSIONS_PATIENCE_MS, () => {
      this.#isSilent = true;
      resolve();
    });
    await Promise.race([asking, late]);
    cancel();
  }

  async #small(
    endpoint: string,
    method: "GET" | "POST",
    path: string,
    token: string,
    body: string | null,
  ): Promise<UpstreamResult<string>> {
    const answer = await this.#callApi({
      span: `homeserver.${endpoint}.${method.toLowerCase()}`,
      endpoint,
      method,
      path,
      token,
      body,
      deadlineMs: this.#deps.deadlineMs,
      maxBytes: MAX_SMALL_BODY_BYTES,
      controller: null,
      parent: context.active(),
      traceparent: null,
    });
    return this.#settle(answer, false, (bytes) => UTF8.decode(bytes));
  }

  /** Under the prefix that `/versions` speaks for, or the other one where only that is served, as behind some proxies. */
  async #callApi(options: CallOptions): Promise<HttpAnswer> {
    const prefix = await this.#prefix();
    const answer = await this.#call(options, prefix);
    if (!isUnserved(answer) || options.controller?.signal.aborted === true) return answer;
    // Another call may have found it meanwhile.
    const other = this.#otherPrefix ?? (prefix === PREFIXES.modern ? PREFIXES.old : PREFIXES.modern);
    if (other === prefix) return answer;
    const again = await this.#call(options, other);
    if (!again.ok || isUnserved(again)) return answer;
    this.#otherPrefix = other;
    return again;
  }

  #settle<T>(
    answer: HttpAnswer,
    isSync: boolean,
    read: (body: Uint8Array<ArrayBuffer>) => T | null,
  ): UpstreamResult<T> {
    if (!answer.ok) return { ok: false, failure: classifyNoAnswer(answer.reason) };
    const { status, headers, body } = answer;
    if (status === 200) {
      const value = read(body);
      return value === null ? { ok: false, failure: classifyNoAnswer("garbage", status) } : { ok: true, value };
    }
    const failed = { status, retryAfter: headers.get("retry-after"), body: UTF8.decode(body) };
    return { ok: false, failure: classifyAnswer(failed, isSync, this.#deps.clock.now()) };
  }

  /** Under a prefix, or where the path says. */
  #call(options: CallOptions, prefix: Prefix | "" = ""): Promise<HttpAnswer> {
    const { method, path, body, deadlineMs, maxBytes, controller, endpoint } = options;
    const span = trace
      .getTracer("glissade.homeserver")
      .startSpan(
        options.span,
        { kind: SpanKind.CLIENT, attributes: { "http.request.method": method } },
        options.parent,
      );
    const headers: Record<string, string> = { "user-agent": this.#userAgent, accept: "application/json" };
    if (options.token !== null) headers["authorization"] = `Bearer ${options.token}`;
    if (body !== null) headers["content-type"] = "application/json";
    const traceparent = options.traceparent ?? traceparentOf(span);
    if (traceparent !== null) headers["traceparent"] = traceparent;
    const startedMs = this.#deps.clock.mono();
    const onAnswer = (answer: HttpAnswer): void => {
      endSpan(span, answer);
      // What we gave up says nothing of the homeserver.
      if (!answer.ok && answer.reason === "aborted") return;
      const tookMs = this.#deps.clock.mono() - startedMs;
      this.#deps.onCall?.({ endpoint, tookMs, failure: failureOf(answer) });
    };
    const call = { method, path: `${prefix}${path}`, headers, body, deadlineMs, maxBytes, controller, onAnswer };
    return callHomeserver(this.#deps.address, call, this.#deps.timers);
  }
}

function endSpan(span: Span, answer: HttpAnswer): void {
  if (span.isRecording()) {
    if (answer.ok) {
      span.setAttribute("http.response.status_code", answer.status);
      span.setAttribute("http.response.body.size", answer.body.length);
    } else span.setAttribute("error.type", answer.reason);
    if (!answer.ok || answer.status >= 400) span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}

/** Held ones, those that bring a whole account, and the others take very different times. */
function syncEndpoint({ since, timeoutMs }: SyncRequestParams): string {
  if (since === null) return "first-sync";
  return timeoutMs > 0 ? "long-poll" : "sync";
}

/** Few names, whatever happens: they are labels of a metric. */
function failureOf(answer: HttpAnswer): string | null {
  if (!answer.ok) return NO_ANSWER[answer.reason] ?? "no-answer";
  if (answer.status < 400) return null;
  if (answer.status === 401 || answer.status === 429) return String(answer.status);
  return answer.status < 500 ? "4xx" : "5xx";
}

const NO_ANSWER: Readonly<Record<string, string>> = {
  deadline: "deadline",
  ECONNREFUSED: "refused",
  ConnectionRefused: "refused",
  ECONNRESET: "reset",
  ConnectionClosed: "reset",
  "body too large": "too-large",
};

/** Parameters in the order that homeservers' caches and our tests know. */
function syncQuery({ timeoutMs, since, presence, filter }: SyncRequestParams): string {
  const from = since === null || since === "" ? "" : `&since=${encoded(since)}`;
  // State after the timeline (MSC4222), under its stable and its unstable name; unknown parameters are ignored.
  const after = "&use_state_after=true&org.matrix.msc4222.use_state_after=true";
  return `timeout=${timeoutMs}${from}&set_presence=${presence}&filter=${encoded(filter)}${after}`;
}

/** Tokens are whatever the homeserver says. */
const encoded = (text: string): string => encodeURIComponent(text.toWellFormed());

const PREFIXES = { modern: "/_matrix/client/v3", old: "/_matrix/client/r0" } as const;
type Prefix = (typeof PREFIXES)[keyof typeof PREFIXES];

function clientPrefix(versions: readonly string[]): Prefix {
  const isModern = versions.some((version) => /^v(?:1\.[1-9]|1\.\d{2,}|[2-9]|\d{2,})/.test(version));
  return isModern ? PREFIXES.modern : PREFIXES.old;
}

/** 404 of a server that does not know the endpoint; one that knows it answers with an error code of its own. */
function isUnserved(answer: HttpAnswer): boolean {
  if (!answer.ok || answer.status !== 404) return false;
  const { errcode } = parseObject(UTF8.decode(answer.body));
  return typeof errcode !== "string" || errcode === "M_UNRECOGNIZED";
}

const isUnknownEndpoint = (failure: UpstreamFailure): boolean =>
  failure.kind === "refused" && [400, 404, 405, 501].includes(failure.status);

function readVersions(body: Uint8Array): Versions | null {
  const { versions, unstable_features: features } = parseObject(UTF8.decode(body));
  if (!Array.isArray(versions)) return null;
  const flags = typeof features === "object" && features !== null ? Object.entries(features) : [];
  return {
    versions: versions.filter((version) => typeof version === "string"),
    unstableFeatures: Object.fromEntries(
      flags.filter((flag): flag is [string, boolean] => typeof flag[1] === "boolean"),
    ),
  };
}
