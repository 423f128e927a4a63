import type { RoomNid } from "../ids.ts";
import { canFollow, type ListOp } from "../list-ops.ts";
import type { Range } from "../ranges.ts";
import type { ListParams, MergedRequest, RoomConfig } from "../sticky.ts";
import type { Draft } from "./draft.ts";
import { type ListRules, MSC3575_RULES } from "./list-rules.ts";
import { type HeldWindows, type ListChange, RoomList } from "./room-list.ts";
import type { World } from "./world.ts";
import { SmallMap, SmallSet } from "../../small-collections.ts";

/** Parts of an initial entry that a client has to be sent. */
export interface Parts {
  withTimeline: boolean;
  withState: boolean;
}

/** Hears of rooms that a list shows its client for the first time, and of those it has to show more of. */
export type ShowRoom = (nid: RoomNid, config: RoomConfig, parts: Parts) => void;

const WHOLE: Parts = { withTimeline: true, withState: true };

/** One list with what is still to be said of it. */
interface Entry {
  list: RoomList;
  ops: ListOp<RoomNid>[];
  /** What the client holds of it as of the last response. */
  held: HeldWindows;
  /** What happened cannot be told step by step: all that is held is replaced. */
  isRetold: boolean;
}

/** All lists of a connection, and the operations they owe their client. */
export class ListSet {
  readonly #entries = new SmallMap<string, Entry>();
  readonly #show: ShowRoom;
  readonly #rules: ListRules;
  /** Rooms that no longer belong into lists they are in. */
  readonly #leaving = new SmallSet<RoomNid>();

  constructor(show: ShowRoom, rules: ListRules = MSC3575_RULES) {
    this.#show = show;
    this.#rules = rules;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Lists of a connection whose memory was lost: what the client holds of them is not known. */
  restore(world: World, lists: Readonly<Record<string, ListParams>>): void {
    for (const [key, params] of Object.entries(lists)) {
      const entry = this.#create(key, params);
      entry.list.fill(world);
      entry.held = { ranges: entry.list.windows(entry.list.length), length: Number.MAX_SAFE_INTEGER };
      entry.isRetold = true;
    }
  }

  /** Follows a request: each list's operations, as they would be without the updates that wait. */
  applyRequest(world: World, merged: MergedRequest): void {
    for (const key of merged.deletedLists) this.#entries.delete(key);
    for (const [key, change] of Object.entries(merged.lists)) {
      const params = merged.params.lists[key];
      if (params === undefined) continue;
      const entry = this.#entries.get(key);
      if (entry === undefined || change.before === null) {
        const created = this.#create(key, params);
        this.#add(created, created.list.create(world));
        continue;
      }
      const { list } = entry;
      list.params = params;
      if (change.rebuilt) {
        this.#add(entry, list.rebuild(world, change.before));
        continue;
      }
      if (change.timelineChanged || change.stateChanged) {
        const parts = { withTimeline: change.timelineChanged, withState: change.stateChanged };
        for (const nid of list.visible()) {
          // An invite shows the same, whatever is asked for.
          if (this.#rules.own !== null || world.standing(nid)?.membership === "join") this.#show(nid, params, parts);
        }
      }
      if (change.rangesChanged) this.#add(entry, list.changeRanges(change.before.ranges));
    }
  }

  /** Puts a room where it belongs in every list; those it leaves are left to `removeLeaving`. */
  place(world: World, nid: RoomNid): void {
    for (const entry of this.#entries.values()) {
      const change = entry.list.place(world, nid);
      if (change === null) this.#leaving.add(nid);
      else this.#add(entry, change);
    }
  }

  /**
   * Takes out rooms that have to go, last ones first: behind the moves, so that a DELETE which makes the list shorter is
   * followed only by such of smaller indices.
   */
  removeLeaving(world: World): void {
    if (this.#leaving.size === 0) return;
    for (const entry of this.#entries.values()) {
      const { list } = entry;
      const leaving = [...this.#leaving].filter((nid) => list.has(nid) && !list.belongs(world, nid));
      leaving.sort((a, b) => (list.indexOf(b) ?? 0) - (list.indexOf(a) ?? 0));
      for (const nid of leaving) this.#add(entry, list.remove(nid));
    }
    this.#leaving.clear();
  }

  /** Takes out a room that was to be shown and of which nothing can be shown any more: it is not even named. */
  withdraw(nid: RoomNid): void {
    for (const entry of this.#entries.values()) {
      if (entry.ops.some((op) => names(op, nid))) entry.isRetold = true;
      this.#add(entry, entry.list.remove(nid));
    }
  }

  /** The lists as they are, with what is still to be said of them, which is forgotten. */
  take(): Draft["lists"] {
    const lists = this.#view(({ list, held, isRetold, ops }) => (isRetold ? list.retell(held) : ops));
    for (const entry of this.#entries.values()) {
      const { list } = entry;
      entry.ops = [];
      entry.isRetold = false;
      entry.held = { ranges: list.windows(list.length), length: list.length };
    }
    return lists;
  }

  /** The lists as they are, with nothing said of them. */
  counts(): Draft["lists"] {
    return this.#view(() => []);
  }

  /** The lists with every window whole, as it was asked for; what was still to be said is forgotten. */
  takeWindows(windowsOf: (params: ListParams) => readonly Range[]): Draft["lists"] {
    for (const entry of this.#entries.values()) entry.ops = [];
    return [...this.#entries].map(([key, { list }]) => ({
      key,
      count: list.length,
      ops: [],
      windows: windowsOf(list.params).map((range) => ({ range, rooms: list.slice(range) })),
    }));
  }

  /** Keys of the lists that hold the room, in their windows or not. */
  keysOf(nid: RoomNid): string[] {
    return [...this.#entries].filter(([, { list }]) => list.has(nid)).map(([key]) => key);
  }

  get hasOps(): boolean {
    for (const { ops, isRetold } of this.#entries.values()) if (isRetold || ops.length > 0) return true;
    return false;
  }

  /** True when the client can see the room in some list; with `keys`, in one of these (`*` = all). */
  shows(nid: RoomNid, keys?: readonly string[]): boolean {
    for (const [key, { list }] of this.#entries) {
      if ((keys === undefined || keys[0] === "*" || keys.includes(key)) && list.shows(nid)) return true;
    }
    return false;
  }

  has(nid: RoomNid): boolean {
    for (const { list } of this.#entries.values()) if (list.has(nid)) return true;
    return false;
  }

  /** See `RoomList.takeUpcoming`. */
  takeUpcoming(): [RoomNid, RoomConfig][] {
    const rooms = [...this.#entries.values()].flatMap(({ list }) =>
      list.takeUpcoming().map((nid): [RoomNid, RoomConfig] => [nid, list.params]),
    );
    return rooms;
  }

  /** Rooms in windows, those in several as often. */
  *visible(): Iterable<RoomNid> {
    for (const { list } of this.#entries.values()) yield* list.visible();
  }

  /** The first so many rooms of each window. */
  *foremost(count: number): Iterable<RoomNid> {
    for (const { list } of this.#entries.values()) {
      for (const [start, end] of list.windows(list.length))
        yield* list.slice([start, Math.min(end, start + count - 1)]);
    }
  }

  /** What the lists that show the room want of it. */
  shownConfigs(nid: RoomNid): RoomConfig[] {
    return this.#configs((list) => list.shows(nid));
  }

  /** What the lists that hold the room want of it, in their windows or not. */
  listedConfigs(nid: RoomNid): RoomConfig[] {
    return this.#configs((list) => list.has(nid));
  }

  #configs(isMeant: (list: RoomList) => boolean): RoomConfig[] {
    const configs: RoomConfig[] = [];
    for (const { list } of this.#entries.values()) if (isMeant(list)) configs.push(list.params);
    return configs;
  }

  #view(opsOf: (entry: Entry) => ListOp<RoomNid>[]): Draft["lists"] {
    return [...this.#entries].map(([key, entry]) => ({ key, count: entry.list.length, ops: opsOf(entry) }));
  }

  #create(key: string, params: ListParams): Entry {
    const entry: Entry = {
      list: new RoomList(params, this.#rules),
      ops: [],
      held: { ranges: [], length: 0 },
      isRetold: false,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #add(entry: Entry, { ops, shown }: ListChange): void {
    if (!canFollow(entry.ops.at(-1), ops[0])) entry.isRetold = true;
    entry.ops.push(...ops);
    for (const nid of shown) this.#show(nid, entry.list.params, WHOLE);
  }
}

function names(op: ListOp<RoomNid>, nid: RoomNid): boolean {
  return op.op === "INSERT" ? op.room === nid : op.op === "SYNC" && op.rooms.includes(nid);
}
