import type { SyncError } from "#src/errors.ts";
import type { KeptResponse } from "#src/protocol/engine/response-log.ts";
import { type Arrival, CurrentRequest, sendAnswer } from "./current-request.ts";
import { inTraceOf } from "./request-trace.ts";

/** What the queue asks of its connection. */
interface QueueOwner {
  nowMs(): number;
  /** The answer to a request that was not processed; `pos` is its own. */
  emptyResponse(pos: string | null): Omit<KeptResponse, "seq">;
  /** The request that waited is to be taken in. */
  arrive(arrival: Arrival): void;
}

/** The request that is served and the one that waits behind it: a newer one takes the place of one that was not processed. */
export class RequestQueue {
  readonly #owner: QueueOwner;
  #current: CurrentRequest | null = null;
  #next: Arrival | null = null;

  constructor(owner: QueueOwner) {
    this.#owner = owner;
  }

  get current(): CurrentRequest | null {
    return this.#current;
  }

  /** Somebody waits for the current request to be answered. */
  get hasNext(): boolean {
    return this.#next !== null;
  }

  /** Takes a request in; false when it has to wait for the current one. */
  take(arrival: Arrival): boolean {
    const current = this.#current;
    this.#supersedeNext();
    if (current !== null && current.phase !== "loading") {
      this.#next = arrival;
      return false;
    }
    this.#supersede(current);
    this.#current = new CurrentRequest(arrival, this.#owner.nowMs());
    return true;
  }

  /** The request that is served is answered as if it had not been sent. */
  dropCurrent(): void {
    this.#supersede(this.#current);
  }

  answer(response: KeptResponse): void {
    const current = this.#current;
    this.#current = null;
    current?.answer(response, this.#owner.nowMs());
    this.advance();
  }

  reject(error: SyncError): void {
    const current = this.#current;
    this.#current = null;
    current?.reject(error, this.#owner.nowMs());
    this.advance();
  }

  /** Both are refused: the connection ends. */
  refuseAll(error: SyncError): void {
    const next = this.#next;
    this.#next = null;
    this.reject(error);
    next?.command.reply.reject(error);
  }

  /** Nobody listens any more: what the client did not get it will ask for again, with the `pos` it has. */
  cancel(requestId: number): void {
    if (this.#next?.command.requestId === requestId) this.#supersedeNext();
    const current = this.#current;
    if (current?.command.requestId !== requestId || current.phase === "working") return;
    this.#supersede(current);
    // Somebody may wait behind one that is being begun anew.
    this.advance();
  }

  /** Takes in the one that waits when nobody is served. */
  advance(): void {
    const next = this.#next;
    if (next === null || this.#current !== null) return;
    this.#next = null;
    inTraceOf(next.trace, () => this.#owner.arrive(next));
  }

  #supersede(current: CurrentRequest | null): void {
    this.#current = null;
    current?.answer(this.#owner.emptyResponse(current.command.pos), this.#owner.nowMs());
  }

  #supersedeNext(): void {
    const next = this.#next;
    this.#next = null;
    if (next !== null)
      sendAnswer(next.command, this.#owner.emptyResponse(next.command.pos), { waitedMs: 0, setupMs: 0 });
  }
}
