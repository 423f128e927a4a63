import type { Timers } from "#src/ports/basics.ts";
import { invalidParam } from "./wire.ts";

/** A point in the stream; `toDevice` lags behind `pos` when more messages wait than one response carries. */
export interface StreamToken {
  pos: number;
  toDevice: number;
}

/** Why a parked sync goes on. */
export type WaitEnd = "woken" | "timeout" | "gone";

interface Waiter {
  readonly accessToken: string;
  readonly end: (reason: WaitEnd) => void;
}

/** Spells a stream point as a client sees it. */
export function formatToken(token: StreamToken): string {
  return `s${token.pos}_${token.toDevice}`;
}

/** Reads a `since`, `from` or `to`; throws a Matrix error for anything we never gave out. */
export function parseToken(text: string): StreamToken {
  const match = /^s(\d{1,15})_(\d{1,15})$/u.exec(text);
  if (match === null) throw invalidParam("invalid stream token");
  return { pos: Number(match[1]), toDevice: Number(match[2]) };
}

/** The one counter everything is numbered with, and the long polls waiting for it to move. */
export class Stream {
  readonly #timers: Timers;
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #parkListeners = new Set<() => void>();
  #pos = 0;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get pos(): number {
    return this.#pos;
  }

  /** Next stream position. */
  next(): number {
    this.#pos += 1;
    return this.#pos;
  }

  /** Lets the parked syncs of these users look again; they run after the caller's turn, so a burst wakes once. */
  wake(userIds: Iterable<string>): void {
    for (const userId of userIds) {
      const waiters = this.#waiters.get(userId);
      if (waiters === undefined) continue;
      for (const waiter of waiters) waiter.end("woken");
    }
  }

  /** Parks one sync of a user. */
  wait(userId: string, accessToken: string, delayMs: number, signal: AbortSignal): Promise<WaitEnd> {
    if (signal.aborted) return Promise.resolve("gone");
    const { promise, resolve } = Promise.withResolvers<WaitEnd>();
    const waiters = this.#waiters.get(userId) ?? new Set<Waiter>();
    this.#waiters.set(userId, waiters);
    const onAbort = (): void => waiter.end("gone");
    const waiter: Waiter = {
      accessToken,
      end: (reason) => {
        if (!waiters.delete(waiter)) return;
        if (waiters.size === 0 && this.#waiters.get(userId) === waiters) this.#waiters.delete(userId);
        cancel();
        signal.removeEventListener("abort", onAbort);
        resolve(reason);
      },
    };
    const cancel = this.#timers.after(delayMs, () => waiter.end("timeout"));
    signal.addEventListener("abort", onAbort);
    waiters.add(waiter);
    for (const listener of this.#parkListeners) listener();
    return promise;
  }

  /** True while a sync of this user is parked; `accessToken` narrows it to one device's token. */
  isParked(userId: string, accessToken?: string): boolean {
    const waiters = this.#waiters.get(userId);
    if (waiters === undefined) return false;
    return accessToken === undefined || [...waiters].some((waiter) => waiter.accessToken === accessToken);
  }

  /** How many syncs are parked. */
  get parkedCount(): number {
    let count = 0;
    for (const waiters of this.#waiters.values()) count += waiters.size;
    return count;
  }

  /** Calls `listener` whenever a sync parks, until the returned function is called. */
  onPark(listener: () => void): () => void {
    this.#parkListeners.add(listener);
    return () => this.#parkListeners.delete(listener);
  }
}
