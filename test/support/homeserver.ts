import type { Clock } from "#src/ports/basics.ts";
import type { Session } from "#src/demo/homeserver/accounts.ts";
import { DemoHomeserver, type DemoHomeserverOptions } from "#src/demo/homeserver/demo-homeserver.ts";
import type { RequestHook, ScriptedResponse, SeenRequest } from "#src/demo/homeserver/script.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { seededRng } from "#src/demo/seeded-rng.ts";

export { errorResponse, type ScriptedResponse, type SeenRequest } from "#src/demo/homeserver/script.ts";
export type { Session } from "#src/demo/homeserver/accounts.ts";

/** How long `waitUntilPolled` and `waitForRequest` wait before they fail. */
const DEFAULT_WAIT_MS = 20_000;

/** Options of a test homeserver; time and randomness have defaults. */
export type TestHomeserverOptions = Partial<DemoHomeserverOptions> & { seed?: number };

/** The demonstration homeserver with what only tests need: scripted answers, waits and records. */
export class TestHomeserver extends DemoHomeserver {
  readonly #clock: Clock;

  constructor(options: TestHomeserverOptions) {
    const { seed = 1, clock = systemClock, timers = systemTimers, ...rest } = options;
    super({ rng: seededRng(seed), clock, timers, serverName: "test", ...rest });
    this.#clock = clock;
  }

  /** An account whose syncs the test plays itself: only what is queued is ever answered. */
  addAccount(name: string, accessToken: string, deviceId?: string): Session {
    const session = this.user(name, { accessToken, ...(deviceId === undefined ? {} : { deviceId }) });
    this.script.addPuppet(session.account.userId);
    return session;
  }

  /** Queues a sync body for a user (name or ID) or for one access token; works for honest accounts too. */
  queueResponse(userOrToken: string | Session, body: unknown): void {
    this.queueSync(userOrToken, { kind: "json", body });
  }

  /** Queues any answer to a sync; a parked one is answered with it at once. */
  queueSync(userOrToken: string | Session, response: ScriptedResponse): void {
    const { key, userId } = this.#target(userOrToken);
    this.script.queue(key, response);
    this.parts.stream.wake([userId]);
  }

  #target(userOrToken: string | Session): { key: string; userId: string; accessToken?: string } {
    const session = typeof userOrToken === "string" ? this.parts.accounts.session(userOrToken) : userOrToken;
    if (session !== null) {
      return { key: session.accessToken, userId: session.account.userId, accessToken: session.accessToken };
    }
    const { userId } = this.account(userOrToken);
    return { key: userId, userId };
  }

  /** Resolves once everything queued has been taken and the next sync is parked: the last answer was digested. */
  async waitUntilPolled(userOrToken: string | Session, timeoutMs = DEFAULT_WAIT_MS): Promise<SeenRequest> {
    const { key, userId, accessToken } = this.#target(userOrToken);
    const isPolled = (): boolean =>
      this.script.queuedCount(key, userId) === 0 && this.parts.stream.isParked(userId, accessToken);
    await this.#until(isPolled, (check) => this.parts.stream.onPark(check), timeoutMs, `a parked sync of ${userId}`);
    const seen = this.syncs(userOrToken).at(-1);
    if (seen === undefined) throw new Error(`no sync of ${userId} was recorded`);
    return seen;
  }

  /** Resolves with the next request, or one already seen, that `matches`. */
  async waitForRequest(matches: (seen: SeenRequest) => boolean, timeoutMs = DEFAULT_WAIT_MS): Promise<SeenRequest> {
    let found: SeenRequest | undefined = this.script.seen.find((seen) => matches(seen));
    const subscribe = (check: () => void): (() => void) =>
      this.onRequest((seen) => {
        if (found === undefined && matches(seen)) found = seen;
        check();
        return undefined;
      });
    await this.#until(() => found !== undefined, subscribe, timeoutMs, "a request");
    if (found === undefined) throw new Error("request vanished");
    return found;
  }

  #until(
    isDone: () => boolean,
    subscribe: (check: () => void) => () => void,
    timeoutMs: number,
    what: string,
  ): Promise<void> {
    if (isDone()) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const finish = (end: () => void): void => {
      unsubscribe();
      cancel();
      end();
    };
    // In real time, however fast that of the homeserver passes.
    const cancel = systemTimers.after(timeoutMs, () =>
      finish(() => reject(new Error(`waited ${timeoutMs} ms for ${what}`))),
    );
    const unsubscribe = subscribe(() => {
      if (isDone()) finish(resolve);
    });
    return promise;
  }

  /** Sees every request first and may answer it; returns how to take the hook away. */
  onRequest(hook: RequestHook): () => void {
    return this.script.addHook(hook);
  }

  /** Syncs seen so far, of one user or token, or all. */
  syncs(userOrToken?: string | Session): SeenRequest[] {
    const target = userOrToken === undefined ? null : this.#target(userOrToken);
    return this.script.seen.filter(
      (seen) =>
        seen.route === "/sync" && (target === null || seen.accessToken === target.key || seen.userId === target.key),
    );
  }

  /** Everything seen so far, in order. */
  get requests(): readonly SeenRequest[] {
    return this.script.seen;
  }

  /** Requests by `METHOD route`, e.g. `GET /sync`. */
  counts(): Record<string, number> {
    return this.script.counts();
  }

  /** Wall clock of this homeserver. */
  now(): number {
    return this.#clock.now();
  }
}

/** A running test homeserver on a free port. */
export function createTestHomeserver(options: TestHomeserverOptions = {}): TestHomeserver {
  const homeserver = new TestHomeserver(options);
  homeserver.start();
  return homeserver;
}
