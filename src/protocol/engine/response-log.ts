import type { SyncRequest } from "../request.ts";

/** More unacknowledged responses than this are not kept: the client is taken up again from what its `pos` proves. */
const MAX_KEPT = 8;
/** One that is larger is kept alone: without it a lost response could not be sent again. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;

/** A response that was made and may have to be sent again. */
export interface KeptResponse {
  seq: number;
  pos: string;
  body: Uint8Array<ArrayBuffer>;
  rooms: number;
  ops: number;
}

/** What a request with a valid `pos` asks of the log. */
export type Resolution =
  /** The position was acknowledged before, or never given out. */
  | { kind: "unknown" }
  /** Answer with this again; nothing is processed. */
  | { kind: "replay"; response: KeptResponse }
  /** Process. `replay` is answered first when an older response is still unacknowledged. */
  | { kind: "process"; replay: KeptResponse | null }
  /** The responses in between are gone: start again from what the `pos` proves. */
  | { kind: "rewind" };

interface ProcessedRequest {
  posSeq: number;
  body: string;
}

/** Responses by sequence number, from the last acknowledged one on (spec 6.2). */
export class ResponseLog {
  #lastSeq: number;
  #ackedSeq: number;
  #lastRequest: ProcessedRequest | null = null;
  #requestBefore: ProcessedRequest | null = null;
  /** Ascending: those not acknowledged, and while they are repeated the one they are counted from. */
  #kept: KeptResponse[] = [];
  #isOverflown = false;

  /** `seq`: the response the client has; 0 for a new connection. */
  constructor(seq: number) {
    this.#lastSeq = seq;
    this.#ackedSeq = seq;
  }

  get nextSeq(): number {
    return this.#lastSeq + 1;
  }

  get ackedSeq(): number {
    return this.#ackedSeq;
  }

  /** False for a position that was acknowledged before, or never given out: a request with it changes nothing. */
  knows(posSeq: number): boolean {
    return (
      this.#isOverflown ||
      posSeq === this.#lastRequest?.posSeq ||
      posSeq === this.#ackedSeq ||
      this.#kept.some(({ seq }) => seq === posSeq)
    );
  }

  /** `body`: from `requestText`. */
  resolve(posSeq: number, body: string): Resolution {
    if (!this.knows(posSeq)) return { kind: "unknown" };
    if (this.#isOverflown && posSeq !== this.#lastSeq) return { kind: "rewind" };
    this.#isOverflown = false;
    this.#ackedSeq = Math.max(this.#ackedSeq, posSeq);
    const next = this.#kept.find(({ seq }) => seq > posSeq) ?? null;
    if (next !== null && body === this.#lastRequest?.body) {
      // The processed request may come once more, with its older position: it gets what it would get without this one.
      this.#kept = this.#kept.filter(({ seq }) => seq >= posSeq);
      return { kind: "replay", response: next };
    }
    this.#kept = this.#kept.filter(({ seq }) => seq > posSeq);
    this.#requestBefore = this.#lastRequest;
    this.#lastRequest = { posSeq, body };
    return { kind: "process", replay: next };
  }

  /** The request that was to be processed is refused: it leaves no trace, and the one before it may still be repeated. */
  refuse(): void {
    this.#lastRequest = this.#requestBefore;
  }

  /** Records a response that was made; the next one has a higher number. */
  add(response: KeptResponse): void {
    this.#lastSeq = response.seq;
    this.#requestBefore = null;
    this.#kept.push(response);
    const bytes = this.#kept.reduce((sum, { body }) => sum + body.length, 0);
    if (this.#kept.length > MAX_KEPT || (bytes > MAX_KEPT_BYTES && this.#kept.length > 1)) {
      this.#kept = [response];
      this.#isOverflown = true;
    }
  }
}

/** A request as one text, the same for everything that asks for the same: without `txn_id`, whatever the order of keys. */
export function requestText(request: SyncRequest): string {
  return JSON.stringify({
    ...request,
    txn_id: undefined,
    lists: sorted(request.lists),
    room_subscriptions: sorted(request.room_subscriptions),
  });
}

function sorted<V>(record: Record<string, V> | undefined): Record<string, V> | undefined {
  if (record === undefined) return undefined;
  const entries = Object.entries(record);
  return entries.length < 2 ? record : Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
