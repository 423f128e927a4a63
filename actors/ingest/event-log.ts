import type { EventId, StreamPos } from "#src/protocol/ids.ts";

/** Ids of the newest stored events: all of them above a position, so that it can also say what is *not* stored. */
export class EventLog {
  readonly #limit: number;
  #young = new Set<EventId>();
  #youngMaxPos: StreamPos = 0;
  #old = new Set<EventId>();
  #oldMaxPos: StreamPos = 0;
  #floor: StreamPos;

  constructor(limit: number, head: StreamPos) {
    this.#limit = limit;
    this.#floor = head;
  }

  /** Every event stored after this position is in here. */
  get floor(): StreamPos {
    return this.#floor;
  }

  has(id: EventId): boolean {
    return this.#young.has(id) || this.#old.has(id);
  }

  /** An event stored at `pos`; positions come in ascending order. */
  add(id: EventId, pos: StreamPos): void {
    if (this.#young.size * 2 >= this.#limit) {
      this.#floor = Math.max(this.#floor, this.#oldMaxPos);
      this.#old = this.#young;
      this.#oldMaxPos = this.#youngMaxPos;
      this.#young = new Set();
    }
    this.#young.add(id);
    this.#youngMaxPos = pos;
  }

  /** An event that turned out to be stored long ago: remembered as long as it is asked for, and never the reason for a claim. */
  remember(id: EventId): void {
    this.add(id, this.#youngMaxPos);
  }
}
