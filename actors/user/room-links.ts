import type { RoomNid } from "#src/protocol/ids.ts";
import type { RoomMeta } from "#src/protocol/room-meta.ts";

const NOBODY: ReadonlySet<RoomNid> = new Set();

/** What lists of one user have to follow from one room to others. */
export class RoomLinks {
  /** Upgraded rooms by the room that took their place: they hide and show with the user's place in that one. */
  readonly #upgraded = new Map<string, Set<RoomNid>>();
  /** Spaces with their children, as lists know them. */
  readonly #children = new Map<RoomNid, readonly string[]>();

  /**
   * Takes in what a room has become; answers whose place in lists may have changed with it. By what the room is, and not by its
   * events: a redaction or a reset changes children too.
   */
  note({ nid, successor, spaceChildren }: RoomMeta): readonly string[] {
    if (successor !== null) {
      const upgraded = this.#upgraded.get(successor) ?? new Set();
      this.#upgraded.set(successor, upgraded.add(nid));
    }
    const before = this.#children.get(nid);
    if (spaceChildren.length > 0) this.#children.set(nid, spaceChildren);
    else this.#children.delete(nid);
    return before === undefined ? spaceChildren : differenceOf(before, spaceChildren);
  }

  /** Rooms that this one took the place of. */
  replacedBy(roomId: string): ReadonlySet<RoomNid> {
    return this.#upgraded.get(roomId) ?? NOBODY;
  }
}

/** By the later one. All users of a host hold the same arrays: what thousands of children are compared for is found once. */
const differences = new WeakMap<readonly string[], { before: readonly string[]; changed: readonly string[] }>();

function differenceOf(before: readonly string[], after: readonly string[]): readonly string[] {
  if (before === after) return [];
  const known = differences.get(after);
  if (known?.before === before) return known.changed;
  const changed = [...new Set(before).symmetricDifference(new Set(after))];
  differences.set(after, { before, changed });
  return changed;
}
