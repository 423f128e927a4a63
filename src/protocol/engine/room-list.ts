import type { RoomNid } from "../ids.ts";
import type { ListOp } from "../list-ops.ts";
import { opsForMove, opsForNewList, opsForRangeChange, opsForRebuild } from "../list-ops.ts";
import type { Range } from "../ranges.ts";
import { containsIndex } from "../ranges.ts";
import { RoomOrder, type SortKey } from "../room-order.ts";
import type { ListParams } from "../sticky.ts";
import { type ListRules, MSC3575_RULES } from "./list-rules.ts";
import type { World } from "./world.ts";

/** What a change to a list tells the client, and which rooms it then sees there for the first time. */
export interface ListChange {
  ops: ListOp<RoomNid>[];
  shown: RoomNid[];
}

/** What a client holds of a list: of these windows as much as a list of this length fills. */
export interface HeldWindows {
  ranges: readonly Range[];
  length: number;
}

const NO_CHANGE: ListChange = { ops: [], shown: [] };

/** No more are read ahead of a client, whatever its step. */
const MAX_UPCOMING = 100;

/** Index of the last room in view; -1 = none. */
const endOf = (ranges: readonly Range[]): number => ranges.reduce((last, [, end]) => Math.max(last, end), -1);

/** One filtered, sorted list of a connection, in the order the client knows it. */
export class RoomList {
  params: ListParams;
  #order = new RoomOrder<RoomNid>();
  /** How far the last change moved the end of the windows on. */
  #step = 0;

  readonly #rules: ListRules;

  constructor(params: ListParams, rules: ListRules = MSC3575_RULES) {
    this.params = params;
    this.#rules = rules;
  }

  get length(): number {
    return this.#order.length;
  }

  /** True when the client can see the room in this list. */
  shows(nid: RoomNid): boolean {
    if (this.params.slowGetAllRooms) return this.#order.has(nid);
    const index = this.#order.indexOf(nid);
    return index !== null && containsIndex(this.params.ranges, index);
  }

  has(nid: RoomNid): boolean {
    return this.#order.has(nid);
  }

  indexOf(nid: RoomNid): number | null {
    return this.#order.indexOf(nid);
  }

  /** The rooms of one window, as far as the list fills it. */
  slice([start, end]: Range): RoomNid[] {
    return end < start ? [] : this.#order.slice(start, end + 1);
  }

  /** Rooms in the windows, each once. */
  visible(): RoomNid[] {
    if (this.params.slowGetAllRooms) return this.#order.slice(0, this.#order.length);
    return this.params.ranges.flatMap(([start, end]) => this.#order.slice(start, end + 1));
  }

  /** Fills the list; the operations of a list the client has not had before. */
  create(world: World): ListChange {
    this.fill(world);
    return this.#wholeList(() => opsForNewList(this.params.ranges, this.length, this.#at));
  }

  /** New filters or sort: everything the client holds is replaced. */
  rebuild(world: World, before: ListParams): ListChange {
    const beforeLength = this.length;
    this.fill(world);
    return this.#wholeList(() =>
      opsForRebuild(
        before.slowGetAllRooms ? wholeRange(beforeLength) : before.ranges,
        beforeLength,
        this.params.ranges,
        this.length,
        this.#at,
      ),
    );
  }

  /** The windows of this list when it has so many rooms. */
  windows(length: number): Range[] {
    return this.params.slowGetAllRooms ? wholeRange(length) : this.params.ranges;
  }

  /** Replaces all that the client holds by the windows as they are. */
  retell(held: HeldWindows): ListOp<RoomNid>[] {
    return opsForRebuild(held.ranges, held.length, this.windows(this.length), this.length, this.#at).ops;
  }

  changeRanges(before: readonly Range[]): ListChange {
    if (this.params.slowGetAllRooms) return { ops: [], shown: [] };
    this.#step = Math.max(0, endOf(this.params.ranges) - endOf(before));
    return opsForRangeChange(before, this.params.ranges, this.length, this.#at);
  }

  /** Rooms that come into view if the windows move on as they just did; none when asked again. */
  takeUpcoming(): RoomNid[] {
    const start = endOf(this.params.ranges) + 1;
    const rooms = this.#order.slice(start, start + Math.min(this.#step, MAX_UPCOMING));
    this.#step = 0;
    return rooms;
  }

  /** Puts one room where it belongs now: in, or to another index. Null for one that is in the list and has to leave it. */
  place(world: World, nid: RoomNid): ListChange | null {
    if (!this.belongs(world, nid)) return this.#order.has(nid) ? null : NO_CHANGE;
    return this.#changed(this.#placeIn(this.#order, world, nid));
  }

  /** Takes one room out. */
  remove(nid: RoomNid): ListChange {
    return this.#changed({ from: this.#order.remove(nid), to: null });
  }

  /** True when the room passes the filters now, whether it is in the list or not. */
  belongs(world: World, nid: RoomNid): boolean {
    return this.#rules.holds(world, nid, this.params) || this.#rules.own?.holds(world, nid, this.params) === true;
  }

  #changed({ from, to }: { from: number | null; to: number | null }): ListChange {
    if (from === null && to === null) return NO_CHANGE;
    if (!this.params.slowGetAllRooms) {
      return opsForMove({ ranges: this.params.ranges, from, to, length: this.length, at: this.#at });
    }
    // Such a list only says which rooms there are at first; then rooms come by themselves.
    return { ops: [], shown: from === null && to !== null ? [this.#at(to)] : [] };
  }

  #placeIn(order: RoomOrder<RoomNid>, world: World, nid: RoomNid): { from: number | null; to: number | null } {
    return this.#put(order, world, nid, this.belongs(world, nid));
  }

  #put(
    order: RoomOrder<RoomNid>,
    world: World,
    nid: RoomNid,
    belongs: boolean,
  ): { from: number | null; to: number | null } {
    if (!belongs) return { from: order.remove(nid), to: null };
    const key = this.#key(world, nid);
    return order.has(nid) ? order.move(nid, key) : { from: null, to: order.insert(nid, key) };
  }

  readonly #at = (index: number): RoomNid => {
    const nid = this.#order.at(index);
    if (nid === undefined) throw new RangeError(`list index ${index} out of ${this.length}`);
    return nid;
  };

  #wholeList(windowed: () => ListChange): ListChange {
    if (!this.params.slowGetAllRooms) return windowed();
    return opsForNewList(wholeRange(this.length), this.length, this.#at);
  }

  /** Takes in all rooms that pass the filters, in order. */
  fill(world: World): void {
    const { filters, sort, bumpEventTypes } = this.params;
    const rules = this.#rules;
    const signature = JSON.stringify([rules.name, filters, sort, bumpEventTypes]);
    this.#order = world
      .order(
        signature,
        () => {
          const entries: { id: RoomNid; key: SortKey }[] = [];
          for (const { nid } of world.standings()) {
            if (rules.holds(world, nid, this.params)) entries.push({ id: nid, key: this.#key(world, nid) });
          }
          const order = new RoomOrder<RoomNid>();
          order.rebuild(entries);
          return order;
        },
        (order, nid) => void this.#put(order, world, nid, rules.holds(world, nid, this.params)),
      )
      .fork();
    for (const nid of rules.own?.rooms(world) ?? []) this.#placeIn(this.#order, world, nid);
  }

  #key(world: World, nid: RoomNid): SortKey {
    return this.#rules.key(world, nid, this.params);
  }
}

const wholeRange = (length: number): Range[] => (length === 0 ? [] : [[0, length - 1]]);
