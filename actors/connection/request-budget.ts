import { SyncError } from "#src/errors.ts";
import { LruCache } from "#src/protocol/lru-cache.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Clock, Metrics } from "#src/ports/basics.ts";

/** How many requests a device may make: so many a second in the long run, and so many at once. */
export interface RateLimit {
  perSecond: number;
  burst: number;
}

/** Devices whose budgets are remembered; one that is forgotten has its whole burst again. */
const REMEMBERED_DEVICES = 20_000;
/** A client is sent back to its beginning at most so often without its having to pay for it. */
const FREE_START_EVERY_MS = 1000;
/** The same request again is free so many times: networks lose answers. */
const FREE_REPEATS = 8;
/** What was answered already can be charged later, up to so many seconds' worth. */
const DEBT_SECS = 2;
/** Who waits for news at least so long is paced by that. */
const PATIENT_MS = 1000;

/** The tokens of one device. */
export class DeviceBudget {
  readonly #limit: RateLimit;
  #tokens: number;
  #refilledMs: number;
  #lastFreeStartMs = Number.NEGATIVE_INFINITY;
  #hasFreeStart = false;

  constructor(limit: RateLimit, nowMs: number) {
    this.#limit = limit;
    this.#tokens = limit.burst;
    this.#refilledMs = nowMs;
  }

  /** Pays for a request; false when there is nothing left. */
  take(nowMs: number): boolean {
    this.#refill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Pays for what was answered already. */
  charge(nowMs: number): void {
    this.#refill(nowMs);
    this.#tokens = Math.max(this.#tokens - 1, -DEBT_SECS * this.#limit.perSecond);
  }

  /** Whether more was charged than there was. */
  owes(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#tokens < 0;
  }

  /** We sent the client back to its beginning: that must not cost it anything. */
  sentBack(nowMs: number): void {
    if (nowMs - this.#lastFreeStartMs < FREE_START_EVERY_MS) return;
    this.#lastFreeStartMs = nowMs;
    this.#hasFreeStart = true;
  }

  /** Pays for a connection that begins anew. */
  takeStart(nowMs: number): boolean {
    if (!this.#hasFreeStart) return this.take(nowMs);
    this.#hasFreeStart = false;
    return true;
  }

  #refill(nowMs: number): void {
    const { perSecond, burst } = this.#limit;
    this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#refilledMs) / 1000) * perSecond);
    this.#refilledMs = nowMs;
  }
}

/** The budgets of all devices on a host. */
export class RequestBudgets {
  readonly #limit: RateLimit | null;
  readonly #clock: Pick<Clock, "mono">;
  readonly #metrics: Pick<Metrics, "count">;
  readonly #devices = new LruCache<string, DeviceBudget>(REMEMBERED_DEVICES);

  /** `limit` null = nobody is limited. */
  constructor(limit: RateLimit | null, deps: { clock: Pick<Clock, "mono">; metrics: Pick<Metrics, "count"> }) {
    this.#limit = limit;
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
  }

  /** Watches the requests of one connection. */
  forConnection(userId: UserId, deviceId: DeviceId): RequestMeter {
    return new RequestMeter(() => this.#of(userId, deviceId), this.#clock, this.#metrics);
  }

  #of(userId: UserId, deviceId: DeviceId): DeviceBudget | null {
    if (this.#limit === null) return null;
    const key = `${userId}\0${deviceId}`;
    const known = this.#devices.get(key);
    if (known !== undefined) return known;
    const budget = new DeviceBudget(this.#limit, this.#clock.mono());
    this.#devices.set(key, budget);
    return budget;
  }
}

/**
 * Says of each request of a connection whether its device can afford it. What the server itself paces or caused costs nothing:
 * waiting for news, taking them as fast as they come, asking again for an answer that was lost, starting over because the
 * position was not known. What costs is a new connection, a change of what is asked for, and asking in vain without waiting:
 * who owes for that is refused when he goes on with it.
 */
export class RequestMeter {
  readonly #budget: () => DeviceBudget | null;
  readonly #clock: Pick<Clock, "mono">;
  readonly #metrics: Pick<Metrics, "count">;
  /** What was asked for last; null when that is not known, as of a connection that was taken up. */
  #lastText: string | null = null;
  #wasInVain = true;
  #repeats = 0;

  constructor(budget: () => DeviceBudget | null, clock: Pick<Clock, "mono">, metrics: Pick<Metrics, "count">) {
    this.#budget = budget;
    this.#clock = clock;
    this.#metrics = metrics;
  }

  /** A connection begins anew; why it may not, or null. */
  start(): SyncError | null {
    const budget = this.#budget();
    return budget === null || budget.takeStart(this.#clock.mono()) ? null : this.#refusal();
  }

  /**
   * A request that is to be processed, as one text; `fork` comes again for another answer. `timeoutMs`: how long it waits for
   * news. Why it may not, or null.
   */
  process(
    kind: "advance" | "fork" | "process",
    text: string,
    { isStart, timeoutMs }: { isStart: boolean; timeoutMs: number },
  ): SyncError | null {
    const isSame = text === this.#lastText || (this.#lastText === null && !isStart);
    if (isSame && kind === "fork") return this.repeat();
    this.#repeats = 0;
    const refusal = isStart ? null : isSame ? this.#goOn(timeoutMs) : this.#pay();
    // What was refused was not asked for yet: the second time it is as new as the first.
    if (refusal === null) this.#lastText = text;
    return refusal;
  }

  /** The answer to a request is wanted once more; why it may not be had, or null. */
  repeat(): SyncError | null {
    this.#repeats += 1;
    return this.#repeats <= FREE_REPEATS ? null : this.#pay();
  }

  /** It was answered; `waitedMs` for news. */
  answered(hasNews: boolean, waitedMs: number): void {
    this.#wasInVain = !hasNews && waitedMs < PATIENT_MS;
    if (this.#wasInVain) this.#budget()?.charge(this.#clock.mono());
  }

  /** Its client has to begin anew, which is not held against it: what it is told. */
  sentBack(reason: string, why: string): SyncError {
    this.#budget()?.sentBack(this.#clock.mono());
    this.#metrics.count("sliding_sync_api_unknown_pos_total", 1, { reason });
    return new SyncError("unknown_pos", why);
  }

  #goOn(timeoutMs: number): SyncError | null {
    if (!this.#wasInVain || timeoutMs >= PATIENT_MS) return null;
    return this.#budget()?.owes(this.#clock.mono()) === true ? this.#refusal() : null;
  }

  #pay(): SyncError | null {
    const budget = this.#budget();
    return budget === null || budget.take(this.#clock.mono()) ? null : this.#refusal();
  }

  #refusal(): SyncError {
    this.#metrics.count("sliding_sync_api_rate_limited_total");
    return new SyncError("limit_exceeded", "this device sends too many requests");
  }
}
