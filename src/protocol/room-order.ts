import { invariant } from "../errors.ts";

/** Where a room belongs: compared element by element, ascending. Keys of one order have the same shape. */
export type SortKey = readonly (number | string)[];

/** Negative when `a` comes first. */
export function compareSortKeys(a: SortKey, b: SortKey): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index += 1) {
    const left = a[index];
    const right = b[index];
    if (left === right || left === undefined || right === undefined) continue;
    if (left < right) return -1;
    if (left > right) return 1;
  }
  return a.length - b.length;
}

interface Entry<Id> {
  id: Id;
  key: SortKey;
}

/** Equal keys are told apart by id, so that the order is total whatever the keys. */
const compareEntries = <Id extends number>(a: Entry<Id>, b: Entry<Id>): number =>
  compareSortKeys(a.key, b.key) || a.id - b.id;

/** Rooms in order of their sort keys: found, placed and moved with O(log n) comparisons. */
export class RoomOrder<Id extends number> {
  #ordered: Entry<Id>[] = [];
  #byId = new Map<Id, Entry<Id>>();
  /** Another order holds the same array and map: they are copied before the first change. */
  #isShared = false;

  get length(): number {
    return this.#ordered.length;
  }

  /** The same order again, for nothing until one of the two changes. */
  fork(): RoomOrder<Id> {
    const twin = new RoomOrder<Id>();
    twin.#ordered = this.#ordered;
    twin.#byId = this.#byId;
    twin.#isShared = true;
    this.#isShared = true;
    return twin;
  }

  /** Replaces everything. Ids are distinct. */
  rebuild(entries: readonly { id: Id; key: SortKey }[]): void {
    this.#byId = new Map();
    this.#isShared = false;
    this.#ordered = entries.map(({ id, key }) => ({ id, key }));
    this.#ordered.sort(compareEntries);
    for (const entry of this.#ordered) this.#byId.set(entry.id, entry);
    invariant(this.#byId.size === this.#ordered.length, "ids of an order are distinct");
  }

  /** Adds a room that is not there yet; its index. */
  insert(id: Id, key: SortKey): number {
    invariant(!this.#byId.has(id), "an inserted id is new to the order");
    this.#own();
    const entry = { id, key };
    this.#byId.set(id, entry);
    return this.#place(entry);
  }

  /** The index the room had; null when it was not there. */
  remove(id: Id): number | null {
    const index = this.indexOf(id);
    if (index === null) return null;
    this.#own();
    this.#byId.delete(id);
    this.#ordered.splice(index, 1);
    return index;
  }

  /** Gives a room that is there another key. */
  move(id: Id, key: SortKey): { from: number; to: number } {
    const from = this.indexOf(id);
    invariant(from !== null, "a moved id is in the order");
    const entry = { id, key };
    this.#own();
    this.#byId.set(id, entry);
    const previous = this.#ordered[from - 1];
    const next = this.#ordered[from + 1];
    const staysBehind = previous === undefined || compareEntries(previous, entry) < 0;
    if (staysBehind && (next === undefined || compareEntries(entry, next) < 0)) {
      this.#ordered[from] = entry;
      return { from, to: from };
    }
    this.#ordered.splice(from, 1);
    return { from, to: this.#place(entry) };
  }

  has(id: Id): boolean {
    return this.#byId.has(id);
  }

  indexOf(id: Id): number | null {
    const entry = this.#byId.get(id);
    return entry === undefined ? null : this.#firstNotBefore(entry);
  }

  at(index: number): Id | undefined {
    return this.#ordered[index]?.id;
  }

  /** Ids in [start, end). */
  slice(start: number, end: number): Id[] {
    const ids: Id[] = [];
    const last = Math.min(end, this.#ordered.length);
    for (let index = Math.max(0, start); index < last; index += 1) {
      const entry = this.#ordered[index];
      if (entry !== undefined) ids.push(entry.id);
    }
    return ids;
  }

  #own(): void {
    if (!this.#isShared) return;
    this.#ordered = [...this.#ordered];
    this.#byId = new Map(this.#byId);
    this.#isShared = false;
  }

  #place(entry: Entry<Id>): number {
    const index = this.#firstNotBefore(entry);
    this.#ordered.splice(index, 0, entry);
    return index;
  }

  #firstNotBefore(entry: Entry<Id>): number {
    let low = 0;
    let high = this.#ordered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#ordered[middle];
      if (other !== undefined && compareEntries(other, entry) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
