import { SyncError } from "#src/errors.ts";
import type { Cancel, Timers } from "#src/ports/basics.ts";
import type { HostId } from "./placement.ts";

interface PendingAsk {
  to: HostId;
  resolve: (value: unknown) => void;
  reject: (error: SyncError) => void;
  cancel: Cancel;
}

/** The questions a host is waiting on: each settles once, by its answer, its deadline or the death of whom it asked. */
export class PendingAsks {
  readonly #timers: Timers;
  readonly #pending = new Map<number, PendingAsk>();
  #lastId = 0;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get count(): number {
    return this.#pending.size;
  }

  /** Opens a question; `id` goes into the envelope. */
  open<T>(to: HostId, deadlineMs: number, what: string): { id: number; answer: Promise<T> } {
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = new Promise<T>((resolve, reject) => {
      const cancel = this.#timers.after(deadlineMs, () => {
        this.fail(id, to, new SyncError("ask_timeout", `no answer to ${what} within ${deadlineMs} ms`));
      });
      this.#pending.set(id, { to, resolve: resolve as (value: unknown) => void, reject, cancel });
    });
    return { id, answer };
  }

  /** An answer from anyone but the host asked, or after the question was settled, is ignored. */
  resolve(id: number, from: HostId, value: unknown): void {
    this.#settle(id, from)?.resolve(value);
  }

  fail(id: number, from: HostId, error: SyncError): void {
    this.#settle(id, from)?.reject(error);
  }

  /** The host is dead: nobody will answer. */
  failAllOf(host: HostId): void {
    for (const [id, ask] of this.#pending) {
      if (ask.to === host) this.fail(id, host, new SyncError("actor_stopped", `host ${host} died`));
    }
  }

  /** Forgets everything without settling it: as a crash would. */
  abandon(): void {
    for (const ask of this.#pending.values()) ask.cancel();
    this.#pending.clear();
  }

  #settle(id: number, from: HostId): PendingAsk | null {
    const ask = this.#pending.get(id);
    if (ask === undefined || ask.to !== from) return null;
    this.#pending.delete(id);
    ask.cancel();
    return ask;
  }
}
