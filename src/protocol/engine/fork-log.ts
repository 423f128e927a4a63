import type { PositionLog, PositionResolution } from "./position-log.ts";
import type { KeptResponse } from "./response-log.ts";

/** So many answers to one position are told apart from made-up ones. */
const MAX_FORKS = 64;

/**
 * Positions by number where nothing is sent again: a request that comes with the acknowledged position once more is answered
 * anew, as if the answers to it had never been made.
 */
export class ForkLog implements PositionLog {
  #lastSeq: number;
  #ackedSeq: number;
  /** Answers to the acknowledged position, the last of which may be gone on from as it is. */
  #forks: number[] = [];

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

  knows(posSeq: number): boolean {
    return posSeq === this.#ackedSeq || this.#forks.includes(posSeq);
  }

  resolve(posSeq: number): PositionResolution {
    if (!this.knows(posSeq)) return { kind: "unknown" };
    if (posSeq === this.#ackedSeq) {
      if (this.#forks.length === 0) return { kind: "process", replay: null };
      return { kind: "fork" };
    }
    // An earlier answer than the last one arrived after all: what came of it is taken back already.
    if (posSeq !== this.#forks.at(-1)) return { kind: "rewind" };
    this.#ackedSeq = posSeq;
    this.#forks = [];
    return { kind: "advance" };
  }

  refuse(): void {}

  add({ seq }: KeptResponse): void {
    this.#lastSeq = seq;
    this.#forks.push(seq);
    if (this.#forks.length > MAX_FORKS) this.#forks.shift();
  }
}
