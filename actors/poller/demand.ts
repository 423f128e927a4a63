import type { SyncError } from "#src/errors.ts";
import type { Clock } from "#src/ports/basics.ts";
import type { Reply } from "#actors/runtime/actor.ts";
import type { PollingEnsured } from "./messages.ts";
import type { PollerStats } from "./poller-stats.ts";
import { Throughs, Waiters } from "./waiters.ts";

/** Who wants a device to be polled: those who wait for something, and until it is idle whoever asked for it last. */
export class Demand {
  readonly #clock: Pick<Clock, "mono">;
  readonly #idleMs: number;
  readonly #waiters: Waiters;
  readonly #throughs = new Throughs();
  #lastUsedMs: number;

  /** `idleMs` null = it is never idle. */
  constructor(clock: Pick<Clock, "mono">, idleMs: number | null, stats: PollerStats) {
    this.#clock = clock;
    this.#idleMs = idleMs ?? Number.POSITIVE_INFINITY;
    this.#waiters = new Waiters(stats);
    this.#lastUsedMs = clock.mono();
  }

  /** Somebody has asked for the device. */
  used(): void {
    this.#lastUsedMs = this.#clock.mono();
  }

  /** How long until the device is idle, whoever waits; not above 0 when it is. */
  get idleInMs(): number {
    return this.#lastUsedMs + this.#idleMs - this.#clock.mono();
  }

  /** Nobody waits, and nobody has asked for long. */
  get isOver(): boolean {
    return this.#waiters.isEmpty && this.#throughs.isEmpty && this.idleInMs <= 0;
  }

  /** Requests that wait for the device's rooms. */
  get waitingRequests(): number {
    return this.#waiters.count;
  }

  forRooms(reply: Reply<PollingEnsured>): void {
    this.#waiters.add(reply);
  }

  /** For a poll after those that were begun so far. */
  forPollAfter(begun: number, reply: Reply<PollingEnsured>): void {
    this.#throughs.add(begun, reply);
  }

  roomsAreHere(): void {
    this.#waiters.resolveAll();
  }

  /** Poll number `begun` is stored. */
  pollStored(begun: number): void {
    this.#throughs.stored(begun);
  }

  refuseRooms(error: SyncError): void {
    this.#waiters.rejectAll(error);
  }

  refusePolls(error: SyncError): void {
    this.#throughs.rejectAll(error);
  }

  /** The poller ends: its host answers those who still wait. */
  forget(): void {
    this.#waiters.forget();
  }
}
