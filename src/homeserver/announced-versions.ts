import { SyncError } from "#src/errors.ts";
import { LruCache } from "#src/protocol/lru-cache.ts";
import type { Clock, Timers } from "#src/ports/basics.ts";
import type { VersionsReply, VersionsSource } from "#src/ports/front.ts";
import { readFreshness } from "./cache-control.ts";
import type { Freshness } from "./cache-control.ts";
import { parseObject } from "./classify.ts";
import { FRONT_HEADER } from "./forward-headers.ts";
import type { HomeserverAddress, HttpAnswer } from "./http-call.ts";
import { callHomeserver } from "./http-call.ts";

/** Answers kept: a few KiB each, one for each token that asked. */
const ANSWERS = 1000;
/** Answers are a few KiB. */
const MAX_BODY_BYTES = 1024 * 1024;
/** Clients ask for it before anything else: they are not kept waiting longer. */
const DEADLINE_MS = 30_000;
/** A homeserver that is away is asked again this often. */
const RETRY_MS = 5000;
/** Of the homeserver's headers, those that hold for the answer as we tell it. */
const KEPT = ["cache-control", "vary", "retry-after"] as const;

const UTF8 = new TextDecoder();

/** What announcing needs of the outside. */
export interface AnnouncedVersionsDeps {
  address: HomeserverAddress;
  /** Of this program, for `User-Agent`. */
  version: string;
  /** Unstable features that are ours. */
  features: readonly string[];
  /** The name of this front: where the homeserver's address leads back to it, the question ends there. */
  frontId: string;
  /** The lookup key of a token: no token is kept. */
  hashToken: (accessToken: string) => string;
  deadlineMs: number;
  clock: Clock;
  timers: Timers;
}

interface KnownAnswer {
  reply: VersionsReply;
  freshness: Freshness;
  toldAtMs: number;
  /** Not asked for again before. */
  untilMs: number;
}

/** Stands for who asks without a token; no hash is empty. */
const NOBODY = "";

/** The homeserver's `/versions` with our features in it, kept for as long as the homeserver allows. */
export class AnnouncedVersions implements VersionsSource {
  readonly #deps: AnnouncedVersionsDeps;
  /** By hash of the token that asked. */
  readonly #known = new LruCache<string, KnownAnswer>(ANSWERS);
  readonly #asking = new Map<string, Promise<VersionsReply>>();

  constructor(deps: AnnouncedVersionsDeps) {
    this.#deps = deps;
  }

  versionsFor(accessToken: string | null): Promise<VersionsReply> {
    const key = accessToken === null ? NOBODY : this.#deps.hashToken(accessToken);
    const known = this.#known.get(key);
    if (known !== undefined && this.#deps.clock.mono() < known.untilMs) return Promise.resolve(this.#aged(known));
    const running = this.#asking.get(key);
    if (running !== undefined) return running;
    const asking = this.#ask(key, accessToken).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return asking;
  }

  async #ask(key: string, accessToken: string | null): Promise<VersionsReply> {
    const { address, version, deadlineMs, timers, clock, frontId } = this.#deps;
    const headers: Record<string, string> = {
      "user-agent": `Glissade/${version}`,
      accept: "application/json",
      [FRONT_HEADER]: frontId,
    };
    if (accessToken !== null) headers["authorization"] = `Bearer ${accessToken}`;
    const call = { method: "GET", path: "/_matrix/client/versions", headers, body: null, controller: null } as const;
    const limits = { deadlineMs: Math.min(deadlineMs, DEADLINE_MS), maxBytes: MAX_BODY_BYTES };
    const answer = await callHomeserver(address, { ...call, ...limits }, timers);
    const isAway = !answer.ok || answer.status >= 500 || answer.status === 429;
    const known = this.#known.get(key);
    if (isAway && known?.freshness.isGoodWhenStale === true) {
      known.untilMs = clock.mono() + RETRY_MS;
      return this.#aged(known);
    }
    if (!answer.ok) throw new SyncError("homeserver_unreachable", "the homeserver cannot be reached");
    const reply = this.#replyOf(answer);
    if (answer.status === 200) this.#keep(key, reply, readFreshness(answer.headers));
    else this.#known.delete(key);
    return reply;
  }

  #keep(key: string, reply: VersionsReply, freshness: Freshness): void {
    // An answer to one token is never told to another; nobody in particular is not one who asked.
    if (!freshness.isStorable || (key === NOBODY && freshness.isPrivate)) {
      this.#known.delete(key);
      return;
    }
    const now = this.#deps.clock.mono();
    this.#known.set(key, { reply, freshness, toldAtMs: now, untilMs: now + freshness.freshMs });
  }

  #aged({ reply, toldAtMs }: KnownAnswer): VersionsReply {
    const age = Math.floor((this.#deps.clock.mono() - toldAtMs) / 1000);
    return age === 0 ? reply : { ...reply, headers: { ...reply.headers, age: String(age) } };
  }

  #replyOf(answer: Extract<HttpAnswer, { ok: true }>): VersionsReply {
    const headers: Record<string, string> = {
      "content-type": answer.headers.get("content-type") ?? "application/json",
    };
    for (const name of KEPT) {
      const value = answer.headers.get(name);
      if (value !== null) headers[name] = value;
    }
    const text = UTF8.decode(answer.body);
    return { status: answer.status, headers, body: answer.status === 200 ? this.#announced(text) : text };
  }

  #announced(text: string): string {
    const told = parseObject(text);
    // Whatever it is, it is not an answer that clients understand: they are told the same.
    if (!Array.isArray(told["versions"])) return text;
    const flags = told["unstable_features"];
    const own = Object.fromEntries(this.#deps.features.map((feature) => [feature, true]));
    return JSON.stringify({
      ...told,
      unstable_features: { ...(typeof flags === "object" && flags !== null ? flags : {}), ...own },
    });
  }
}
