import { matchesFilters } from "../filters.ts";
import type { RoomNid } from "../ids.ts";
import type { SortKey } from "../room-order.ts";
import { sortKey } from "../sorting.ts";
import type { ListParams } from "../sticky.ts";
import { filterView, isCandidate, sortView } from "./room-facts.ts";
import type { World } from "./world.ts";

/** What lists hold, and in which order. */
export interface ListRules {
  /** Tells orders that several connections share from those under other rules. */
  readonly name: string;
  /** True when a list with these parameters holds the room, whoever asks. */
  holds(world: World, nid: RoomNid, params: ListParams): boolean;
  key(world: World, nid: RoomNid, params: ListParams): SortKey;
  /** Rooms that lists of this connection alone may hold. */
  readonly own: {
    rooms(world: World): Iterable<RoomNid>;
    holds(world: World, nid: RoomNid, params: ListParams): boolean;
  } | null;
}

/** Lists as MSC3575 has them: rooms one is in or invited to. */
export const MSC3575_RULES: ListRules = {
  name: "msc3575",
  holds(world, nid, { filters }) {
    if (!isCandidate(world, nid)) return false;
    const view = filterView(world, nid);
    return view !== null && matchesFilters(filters, view);
  },
  key(world, nid, { sort, bumpEventTypes }) {
    const view = sortView(world, nid, bumpEventTypes, sort.includes("by_name"));
    return view === null ? [] : sortKey(sort, view);
  },
  own: null,
};
