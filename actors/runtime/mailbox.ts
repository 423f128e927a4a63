/** A growing ring: first in, first out, without moving what waits. */
export class Fifo<T> {
  #slots: (T | undefined)[] = Array.from({ length: INITIAL_SLOTS });
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item;
    this.#length += 1;
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length -= 1;
    // A burst must not be paid for in memory for ever after.
    if (this.#length === 0 && this.#slots.length > MAX_IDLE_SLOTS) {
      this.#slots = Array.from({ length: INITIAL_SLOTS });
      this.#head = 0;
    }
    return item;
  }

  #grow(): void {
    const old = this.#slots;
    const slots: (T | undefined)[] = Array.from({ length: old.length * 2 });
    for (let i = 0; i < old.length; i++) slots[i] = old[(this.#head + i) & (old.length - 1)];
    this.#slots = slots;
    this.#head = 0;
  }
}

/** Slots of an empty ring; a power of two, as every size here must be. */
const INITIAL_SLOTS = 4;
/** An emptied ring above this is given back. */
const MAX_IDLE_SLOTS = 256;

/** An actor's queue: a bounded lane in order of arrival, and a control lane that is unbounded and always first. */
export class Mailbox<T, C> {
  readonly #limit: number;
  readonly #messages = new Fifo<T>();
  /** Made on first use: almost no mailbox ever holds a signal. */
  #signals: Fifo<C> | null = null;

  constructor(limit: number | "unbounded") {
    this.#limit = limit === "unbounded" ? Number.POSITIVE_INFINITY : limit;
  }

  /** Messages waiting; signals are not counted. */
  get depth(): number {
    return this.#messages.length;
  }

  get isEmpty(): boolean {
    return this.#messages.length === 0 && (this.#signals === null || this.#signals.length === 0);
  }

  /** False: full, and the message is not taken. The oldest message is never dropped for the newest. */
  offer(message: T): boolean {
    if (this.#messages.length >= this.#limit) return false;
    this.#messages.push(message);
    return true;
  }

  /** For what an actor sends to itself (timers, piped results): in order, but exempt, or a full mailbox would wedge its owner. */
  offerOwn(message: T): void {
    this.#messages.push(message);
  }

  signal(signal: C): void {
    this.#signals ??= new Fifo();
    this.#signals.push(signal);
  }

  takeSignal(): C | undefined {
    return this.#signals?.shift();
  }

  take(): T | undefined {
    return this.#messages.shift();
  }
}
