import type { AnswerFrame, Batch } from "./envelope.ts";
import type { HostRuntime, Taken } from "./host-runtime.ts";
import type { PeerPort } from "./peer-link.ts";
import type { HostId } from "./placement.ts";

type Answers = readonly AnswerFrame[] | undefined;

/** One end of a line between two hosts of a thread. Nothing is cloned: what is sent belongs to the receiver. */
class LineEnd implements PeerPort {
  readonly isNear = true;
  readonly #onClose: () => void;
  #take: (batch: Batch) => Taken = () => ({ answers: undefined, transfers: [] });
  #other: LineEnd | null = null;
  #isClosed = false;
  /** Sent before the other end was there. */
  #early: { batch: Batch; taken: (answers: Answers) => void }[] = [];

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  /** What arrives here is taken by `take`. */
  open(take: (batch: Batch) => Taken): void {
    this.#take = take;
  }

  join(other: LineEnd): void {
    this.#other = other;
    // The host that joins is told of its peer before it hears from it.
    if (this.#early.length > 0) queueMicrotask(() => this.#deliverEarly(other));
  }

  deliver(batch: Batch): Promise<Answers> {
    if (this.#other === null || this.#early.length > 0)
      return new Promise((taken) => this.#early.push({ batch, taken }));
    // As over any other wire: who died does not say so here.
    if (this.#isClosed || this.#other.#isClosed) return new Promise(() => {});
    return Promise.resolve(this.#other.#take(batch).answers);
  }

  #deliverEarly(other: LineEnd): void {
    for (const { batch, taken } of this.#early.splice(0)) if (!other.#isClosed) taken(other.#take(batch).answers);
  }

  close(): void {
    this.#isClosed = true;
    this.#early = [];
    this.#onClose();
  }
}

/** Joins hosts that share a thread: what they have for each other is handed over as it is, with the end of the task. */
export class LocalLines {
  /** Lines of which only one end is there yet. */
  readonly #half = new Map<number, LineEnd>();

  /** Links `runtime` to `peer` over the line of this number, which the peer joins in the same way, before or after. */
  link(line: number, runtime: HostRuntime, peer: HostId): void {
    const end = new LineEnd(() => {
      if (this.#half.get(line) === end) this.#half.delete(line);
    });
    const link = runtime.attach(peer, end);
    end.open((batch) => runtime.take(link, batch));
    const other = this.#half.get(line);
    if (other === undefined) {
      this.#half.set(line, end);
      return;
    }
    this.#half.delete(line);
    end.join(other);
    other.join(end);
  }
}
