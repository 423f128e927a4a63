/** More unacknowledged responses than this are not kept: the client is taken up again from what its `pos` proves. */
const MAX_UNACKED = 8;
const MAX_UNACKED_BYTES = 16 * 1024 * 1024;

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

/** Responses by sequence number, from the last acknowledged one on (spec 6.2). */
export class ResponseLog {
  #lastSeq: number;
  #ackedSeq: number;
  #lastRequest: { posSeq: number; body: string } | null = null;
  #unacked: KeptResponse[] = [];
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

  /** `body`: the request without its `txn_id`, in one canonical text. */
  resolve(posSeq: number, body: string): Resolution {
    const isRepeat = posSeq === this.#lastRequest?.posSeq;
    const isKnown = isRepeat || posSeq === this.#ackedSeq || this.#unacked.some(({ seq }) => seq === posSeq);
    if (this.#isOverflown && posSeq !== this.#lastSeq) return { kind: "rewind" };
    if (!isKnown && posSeq !== this.#lastSeq) return { kind: "unknown" };
    this.#isOverflown = false;
    this.#unacked = this.#unacked.filter(({ seq }) => seq > posSeq);
    this.#ackedSeq = Math.max(this.#ackedSeq, posSeq);
    const oldest = this.#unacked[0] ?? null;
    const isSameBody = body === this.#lastRequest?.body;
    if (oldest !== null && isSameBody) return { kind: "replay", response: oldest };
    this.#lastRequest = { posSeq, body };
    return { kind: "process", replay: oldest };
  }

  /** A failed request leaves no trace: an identical retry is processed afresh. */
  forgetRequest(): void {
    this.#lastRequest = null;
  }

  /** Records the first request of a connection, so that its retry under the same position is known. */
  add(response: KeptResponse): void {
    this.#lastSeq = response.seq;
    this.#unacked.push(response);
    const bytes = this.#unacked.reduce((sum, { body }) => sum + body.length, 0);
    if (this.#unacked.length > MAX_UNACKED || (bytes > MAX_UNACKED_BYTES && this.#unacked.length > 1)) {
      this.#unacked = [response];
      this.#isOverflown = true;
    }
  }
}
