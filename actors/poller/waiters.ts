import { SyncError } from "#src/errors.ts";
import type { Reply } from "#actors/runtime/actor.ts";
import type { PollingEnsured } from "./messages.ts";
import type { PollerStats } from "./poller-stats.ts";

/** Bound for one device: its clients repeat their request every half minute or so. */
const MAX_WAITERS = 256;

/** Those who wait for a poll that is begun after they came. */
export class Throughs {
  #waiting: { after: number; reply: Reply<PollingEnsured> }[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** `begun`: how many polls were begun so far. */
  add(begun: number, reply: Reply<PollingEnsured>): void {
    this.#waiting.push({ after: begun, reply });
  }

  /** Poll number `begun` is stored. */
  stored(begun: number): void {
    for (const { after, reply } of this.#waiting) if (after < begun) reply.resolve({ ok: true });
    this.#waiting = this.#waiting.filter(({ after }) => after >= begun);
  }

  rejectAll(error: SyncError): void {
    for (const { reply } of this.#waiting.splice(0)) reply.reject(error);
  }
}

/** Those who wait for a device's first sync. */
export class Waiters {
  readonly #stats: Pick<PollerStats, "deviceWaits" | "deviceWaitsNoMore">;
  #replies: Reply<PollingEnsured>[] = [];

  constructor(stats: Pick<PollerStats, "deviceWaits" | "deviceWaitsNoMore">) {
    this.#stats = stats;
  }

  get isEmpty(): boolean {
    return this.#replies.length === 0;
  }

  get count(): number {
    return this.#replies.length;
  }

  /** Beyond the bound the oldest, which has most likely given up, makes room. */
  add(reply: Reply<PollingEnsured>): void {
    if (this.isEmpty) this.#stats.deviceWaits();
    this.#replies.push(reply);
    if (this.#replies.length <= MAX_WAITERS) return;
    this.#replies.shift()?.reject(new SyncError("limit_exceeded", "too many requests wait for one first sync"));
  }

  resolveAll(): void {
    for (const reply of this.#takeAll()) reply.resolve({ ok: true });
  }

  rejectAll(error: SyncError): void {
    for (const reply of this.#takeAll()) reply.reject(error);
  }

  /** The poller ends: its host answers those who still wait. */
  forget(): void {
    this.#takeAll();
  }

  #takeAll(): Reply<PollingEnsured>[] {
    if (!this.isEmpty) this.#stats.deviceWaitsNoMore();
    return this.#replies.splice(0);
  }
}
