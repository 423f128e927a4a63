import { playResponse } from "#src/demo/homeserver/script.ts";
import { systemTimers } from "#src/system.ts";
import { errorResponse, type SeenRequest, type TestHomeserver } from "./homeserver.ts";

/** What a homeserver does instead of answering a sync. */
export type SyncFault =
  | { kind: "status"; status: number; errcode?: string; retryAfterMs?: number }
  /** 200, and bytes that are no JSON. */
  | { kind: "garbage"; body?: string | Uint8Array<ArrayBuffer> }
  /** The honest body, cut in the middle, and the connection with it. */
  | { kind: "half" }
  /** The connection breaks before a byte. */
  | { kind: "reset" }
  /** Holds the request and never answers. */
  | { kind: "silence" }
  /** The honest body, changed. */
  | { kind: "altered"; alter: (body: SyncBody) => unknown };

/** A sync body, as far as tests put something into it. */
export interface SyncBody {
  next_batch: string;
  rooms?: { join?: Record<string, unknown>; invite?: Record<string, unknown>; leave?: Record<string, unknown> };
  [section: string]: unknown;
}

const GARBAGE = new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x00, 0x22, 0x3a, 0x80]);

/** Makes syncs of a test homeserver go wrong; the homeserver's own data is never touched by it. */
export class SyncFaults {
  /** Syncs that went wrong. */
  readonly seen: { fault: SyncFault; request: SeenRequest; atMs: number }[] = [];
  /** All syncs, with the real time at which they came in. */
  readonly syncs: { userId: string | null; since: string | null; atMs: number }[] = [];
  readonly #homeserver: TestHomeserver;
  readonly #planned: { fault: SyncFault; userId: string | null }[] = [];
  readonly #silent = new Set<() => void>();
  /** Requests of our own, for an honest answer. */
  readonly #inner = new WeakSet<Request>();
  /** While set, every sync goes wrong this way. */
  always: SyncFault | null = null;

  constructor(homeserver: TestHomeserver) {
    this.#homeserver = homeserver;
    homeserver.onRequest((seen, request) => this.#decide(seen, request));
  }

  /** The next `times` syncs, of one user or of anybody, go wrong. */
  next(fault: SyncFault, times = 1, userId: string | null = null): void {
    for (let time = 0; time < times; time += 1) this.#planned.push({ fault, userId });
  }

  get plannedCount(): number {
    return this.#planned.length;
  }

  /** Ends all silences: the connections break. */
  release(): void {
    for (const end of this.#silent) end();
  }

  #decide(seen: SeenRequest, request: Request): Response | undefined | Promise<Response | undefined> {
    if (seen.route !== "/sync" || this.#inner.has(request)) return undefined;
    const atMs = performance.now();
    this.syncs.push({ userId: seen.userId, since: seen.query["since"] ?? null, atMs });
    const fault = this.always ?? this.#take(seen.userId);
    if (fault === null) return undefined;
    this.seen.push({ fault, request: seen, atMs });
    return this.#play(fault, request);
  }

  #take(userId: string | null): SyncFault | null {
    const index = this.#planned.findIndex((plan) => plan.userId === null || plan.userId === userId);
    return index === -1 ? null : (this.#planned.splice(index, 1)[0]?.fault ?? null);
  }

  #play(fault: SyncFault, request: Request): Response | Promise<Response> {
    switch (fault.kind) {
      case "status": {
        const options = fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs };
        const scripted = errorResponse(fault.status, fault.errcode ?? "M_UNKNOWN", options);
        if (scripted.kind === "silence") throw new Error("an error is no silence");
        return playResponse(scripted, systemTimers);
      }
      case "garbage":
        return playResponse({ kind: "raw", body: fault.body ?? GARBAGE }, systemTimers);
      case "half":
        return this.#half(request);
      case "reset":
        return playResponse({ kind: "cut", body: "" }, systemTimers);
      case "silence":
        return this.#silence(request);
      case "altered":
        return this.#altered(fault.alter, request);
    }
  }

  /** What the homeserver would have answered. */
  #honest(request: Request): Promise<Response> {
    const inner = new Request(request.url, { headers: request.headers, signal: request.signal });
    this.#inner.add(inner);
    return this.#homeserver.handle(inner);
  }

  async #altered(alter: (body: SyncBody) => unknown, request: Request): Promise<Response> {
    const honest = await this.#honest(request);
    if (!honest.ok) return honest;
    const altered = alter((await honest.json()) as SyncBody);
    return playResponse(
      { kind: "raw", body: typeof altered === "string" ? altered : JSON.stringify(altered) },
      systemTimers,
    );
  }

  async #half(request: Request): Promise<Response> {
    const whole = await (await this.#honest(request)).bytes();
    const body = whole.slice(0, Math.floor(whole.length / 2));
    return playResponse({ kind: "cut", body }, systemTimers);
  }

  async #silence(request: Request): Promise<Response> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#silent.add(resolve);
    request.signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    this.#silent.delete(resolve);
    return playResponse({ kind: "cut", body: "" }, systemTimers);
  }
}
