import type { Timers } from "#src/ports/basics.ts";
import type { Json } from "./wire.ts";

/** A made-up answer, played instead of an honest one. */
export type ScriptedResponse =
  | { kind: "json"; body: unknown; status?: number; headers?: Record<string, string> }
  /** Sent as it is. */
  | { kind: "raw"; body: string | Uint8Array<ArrayBuffer>; status?: number; headers?: Record<string, string> }
  /** Sends `body` as the beginning of a 200 and drops the connection. */
  | { kind: "cut"; body: string | Uint8Array<ArrayBuffer> }
  /** Says nothing for so long; then whatever comes next. */
  | { kind: "silence"; forMs: number };

/** One request as it came in. */
export interface SeenRequest {
  readonly method: string;
  /** Undecoded. */
  readonly pathname: string;
  /** The pattern that matched, with `:parameters`; the path itself when none did. */
  readonly route: string;
  readonly query: Readonly<Record<string, string>>;
  readonly accessToken: string | null;
  readonly userId: string | null;
  readonly userAgent: string | null;
  readonly atMs: number;
}

/** May answer in place of the homeserver; `undefined` lets it go on. */
export type RequestHook = (seen: SeenRequest, request: Request) => Response | undefined | Promise<Response | undefined>;

/** A scripted error in Matrix form. */
export function errorResponse(
  status: number,
  errcode = "M_UNKNOWN",
  options: { retryAfterMs?: number; softLogout?: boolean } = {},
): ScriptedResponse {
  const { retryAfterMs, softLogout } = options;
  const body: Json = {
    errcode,
    error: "made up for a test",
    ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
    ...(softLogout === undefined ? {} : { soft_logout: softLogout }),
  };
  const headers: Record<string, string> =
    retryAfterMs === undefined ? {} : { "Retry-After": String(Math.ceil(retryAfterMs / 1000)) };
  return { kind: "json", status, body, headers };
}

/** How many requests are remembered. */
const KEPT_REQUESTS_COUNT = 20_000;

/** Time for the first half to reach the client. */
const CUT_DELAY_MS = 20;

/** A response that stops in the middle: the error without a reason makes the server reset the connection. */
function cutResponse(body: string | Uint8Array<ArrayBuffer>, timers: Timers): Response {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const stream = new ReadableStream({
    start: (controller) => {
      controller.enqueue(bytes);
      // The first part has to leave before the reset, or the client sees no response at all.
      timers.after(CUT_DELAY_MS, () => controller.error());
    },
  });
  return new Response(stream, { headers: { "content-type": "application/json" } });
}

/** Turns a scripted response into a real one. */
export function playResponse(response: Exclude<ScriptedResponse, { kind: "silence" }>, timers: Timers): Response {
  switch (response.kind) {
    case "json":
      return Response.json(response.body, { status: response.status ?? 200, headers: response.headers ?? {} });
    case "raw":
      return new Response(response.body, {
        status: response.status ?? 200,
        headers: { "content-type": "application/json", ...response.headers },
      });
    case "cut":
      return cutResponse(response.body, timers);
    default:
      return response satisfies never;
  }
}

/** What a test makes the homeserver do, and what the homeserver has seen. */
export class Script {
  readonly #hooks = new Set<RequestHook>();
  readonly #queues = new Map<string, ScriptedResponse[]>();
  readonly #puppets = new Set<string>();
  #seen: SeenRequest[] = [];
  readonly #counts = new Map<string, number>();

  /** The user's syncs are answered from the queue only. */
  addPuppet(userId: string): void {
    this.#puppets.add(userId);
  }

  isPuppet(userId: string): boolean {
    return this.#puppets.has(userId);
  }

  addHook(hook: RequestHook): () => void {
    this.#hooks.add(hook);
    return () => this.#hooks.delete(hook);
  }

  /** The first answer any hook gives. */
  async replace(seen: SeenRequest, request: Request): Promise<Response | undefined> {
    for (const hook of this.#hooks) {
      const response = await hook(seen, request);
      if (response !== undefined) return response;
    }
    return undefined;
  }

  /** Queues an answer for the syncs of a user ID or of an access token. */
  queue(userOrToken: string, response: ScriptedResponse): void {
    const queue = this.#queues.get(userOrToken) ?? [];
    queue.push(response);
    this.#queues.set(userOrToken, queue);
  }

  queuedCount(...keys: string[]): number {
    return keys.reduce((count, key) => count + (this.#queues.get(key)?.length ?? 0), 0);
  }

  /** The next queued answer; those for the token come first. */
  take(accessToken: string, userId: string): ScriptedResponse | undefined {
    return this.#queues.get(accessToken)?.shift() ?? this.#queues.get(userId)?.shift();
  }

  record(seen: SeenRequest): void {
    const key = `${seen.method} ${seen.route}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    this.#seen.push(seen);
    if (this.#seen.length > KEPT_REQUESTS_COUNT) this.#seen = this.#seen.slice(-KEPT_REQUESTS_COUNT / 2);
  }

  get seen(): readonly SeenRequest[] {
    return this.#seen;
  }

  /** Requests by method and route. */
  counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
