import type { Draft } from "#src/protocol/engine/draft.ts";
import { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import { DIRTY } from "#src/protocol/engine/world.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import type { ListOp } from "#src/protocol/list-ops.ts";
import type { ListRequest } from "#src/protocol/request.ts";
import { FakeWorld } from "./fake-world.ts";

const STEP = 1000;

/** What one response says of one list: operations as text, and the rooms it brings whole. */
export interface Told {
  ops: string;
  shown: string;
  count: number;
}

/**
 * A connection's engine over rooms named by single letters, with a list `all` of the encrypted ones in order of recency:
 * rooms come, go and move as a test says, and nothing else happens to them.
 */
export class ListBoard {
  readonly world = new FakeWorld();
  readonly engine = new ConnectionEngine(10, 1);
  #seq = 0;
  #pos = 10;
  /** The list as it is, by letter. */
  #order: string[] = [];
  readonly #ts = new Map<string, number>();

  constructor(list: string, request: ListRequest = {}) {
    this.#order = list.split("");
    for (const [index, letter] of this.#order.entries()) this.#put(letter, (list.length - index) * STEP, true);
    this.ask(request);
  }

  /** Asks for something else of the list; a first request makes it. */
  ask(request: ListRequest): this {
    const filters = request.filters ?? (this.#seq === 0 ? {} : undefined);
    const all = filters === undefined ? request : { ...request, filters: { is_encrypted: true, ...filters } };
    this.engine.applyRequest(this.world, { lists: { all } });
    return this;
  }

  move(letter: string, to: number): this {
    const rest = this.#order.filter((other) => other !== letter);
    return this.#place(letter, rest, to);
  }

  /** A room that the list did not hold. */
  add(letter: string, to: number): this {
    return this.#place(letter, this.#order, to);
  }

  remove(letter: string): this {
    this.#order = this.#order.filter((other) => other !== letter);
    this.#put(letter, this.#ts.get(letter) ?? 0, false);
    return this.touch(letter);
  }

  /** Something happens that leaves the room where it is. */
  touch(letter: string, bits: number = DIRTY.place): this {
    this.#pos += 1;
    this.engine.markDirty(nidOf(letter), bits);
    return this;
  }

  draft(): Draft {
    const draft = this.engine.collect(this.world, this.#pos);
    this.#seq += 1;
    this.engine.noteSent(draft, this.#seq, new Map());
    return draft;
  }

  /** The next response. */
  next(): Told {
    const { lists, rooms } = this.draft();
    const all = lists.find(({ key }) => key === "all");
    const whole = [...rooms.values()].filter(({ kind }) => kind === "initial");
    return {
      ops: (all?.ops ?? []).map(writeOp).join(", "),
      shown: whole.map(({ nid }) => letterOf(nid)).join(""),
      count: all?.count ?? -1,
    };
  }

  #place(letter: string, rest: readonly string[], to: number): this {
    const after = this.#ts.get(rest[to - 1] ?? "");
    const before = this.#ts.get(rest[to] ?? "");
    const high = after ?? (before ?? 0) + 2 * STEP;
    const low = before ?? high - 2 * STEP;
    this.#put(letter, (high + low) / 2, true);
    this.#order = rest.toSpliced(to, 0, letter);
    return this.touch(letter);
  }

  #put(letter: string, ts: number, isEncrypted: boolean): void {
    this.#ts.set(letter, ts);
    this.world.set(nidOf(letter), {}, { latestTs: ts, isEncrypted });
  }
}

/** The room of a letter. */
export const nidOf = (letter: string): RoomNid => (letter.charCodeAt(0) - 96) as RoomNid;

/** The letter of a room. */
const letterOf = (nid: RoomNid): string => String.fromCharCode(nid + 96);

function writeOp(op: ListOp<RoomNid>): string {
  switch (op.op) {
    case "SYNC":
      return `SYNC [${op.range.join()}] ${op.rooms.map(letterOf).join("")}`;
    case "INVALIDATE":
      return `INVALIDATE [${op.range.join()}]`;
    case "DELETE":
      return `DELETE ${op.index}`;
    case "INSERT":
      return `INSERT ${op.index} ${letterOf(op.room)}`;
  }
}
