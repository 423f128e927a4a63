import { invariant } from "../errors.ts";
import { ForkedMap } from "./forked-map.ts";

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

/** Entries of one chunk; a longer one is cut in two. Bounds what a move copies. */
const MAX_CHUNK = 1024;

let lastOwner = 0;
/** A number that no other order has, nor this one had before. */
const nextOwner = (): number => ++lastOwner;

/** A run of entries; only the order that made it may change it. */
interface Chunk<Id> {
  entries: Entry<Id>[];
  owner: number;
}

/**
 * Rooms in order of their sort keys. They are found with O(log n) comparisons, and kept in chunks, so that neither a move nor
 * a fork costs more because there are many.
 */
export class RoomOrder<Id extends number> {
  readonly #maxChunk: number;
  #chunks: Chunk<Id>[] = [];
  #byId = new ForkedMap<Id, Entry<Id>>();
  /** Chunks with another owner are shared with a twin: they are copied before the first change. */
  #owner = nextOwner();

  constructor(maxChunk = MAX_CHUNK) {
    this.#maxChunk = maxChunk;
  }

  get length(): number {
    return this.#byId.size;
  }

  /** The same order again, for next to nothing until one of the two changes. */
  fork(): RoomOrder<Id> {
    const twin = new RoomOrder<Id>(this.#maxChunk);
    twin.#chunks = [...this.#chunks];
    twin.#byId = this.#byId.fork();
    this.#owner = nextOwner();
    return twin;
  }

  /** Replaces everything. Ids are distinct. */
  rebuild(entries: readonly { id: Id; key: SortKey }[]): void {
    const ordered = entries.map(({ id, key }): Entry<Id> => ({ id, key })).sort(compareEntries);
    this.#byId = new ForkedMap(ordered.map((entry) => [entry.id, entry]));
    invariant(this.#byId.size === ordered.length, "ids of an order are distinct");
    this.#chunks = [];
    const step = Math.ceil(this.#maxChunk / 2);
    for (let start = 0; start < ordered.length; start += step) {
      this.#chunks.push({ entries: ordered.slice(start, start + step), owner: this.#owner });
    }
  }

  /** Adds a room that is not there yet; its index. */
  insert(id: Id, key: SortKey): number {
    invariant(!this.has(id), "an inserted id is new to the order");
    const entry = { id, key };
    this.#byId.set(id, entry);
    return this.#place(entry);
  }

  /** The index the room had; null when it was not there. */
  remove(id: Id): number | null {
    const entry = this.#byId.get(id);
    if (entry === undefined) return null;
    this.#byId.delete(id);
    return this.#take(entry);
  }

  /** Gives a room that is there another key. */
  move(id: Id, key: SortKey): { from: number; to: number } {
    const before = this.#byId.get(id);
    invariant(before !== undefined, "a moved id is in the order");
    const entry = { id, key };
    this.#byId.set(id, entry);
    const from = this.#take(before);
    return { from, to: this.#place(entry) };
  }

  has(id: Id): boolean {
    return this.#byId.get(id) !== undefined;
  }

  indexOf(id: Id): number | null {
    const entry = this.#byId.get(id);
    if (entry === undefined) return null;
    const at = this.#chunkOf(entry);
    return this.#startOf(at) + firstNotBefore(this.#chunks[at]?.entries ?? [], entry);
  }

  at(index: number): Id | undefined {
    return this.slice(index, index + 1)[0];
  }

  /** Ids in [start, end). */
  slice(start: number, end: number): Id[] {
    const ids: Id[] = [];
    let offset = 0;
    for (const { entries } of this.#chunks) {
      if (offset >= end) break;
      const last = Math.min(end - offset, entries.length);
      for (let index = Math.max(0, start - offset); index < last; index += 1) {
        const entry = entries[index];
        if (entry !== undefined) ids.push(entry.id);
      }
      offset += entries.length;
    }
    return ids;
  }

  #place(entry: Entry<Id>): number {
    if (this.#chunks.length === 0) this.#chunks.push({ entries: [], owner: this.#owner });
    const at = this.#chunkOf(entry);
    const entries = this.#own(at);
    const index = firstNotBefore(entries, entry);
    entries.splice(index, 0, entry);
    const place = this.#startOf(at) + index;
    if (entries.length > this.#maxChunk) {
      const tail = entries.splice(Math.floor(entries.length / 2));
      this.#chunks.splice(at + 1, 0, { entries: tail, owner: this.#owner });
    }
    return place;
  }

  #take(entry: Entry<Id>): number {
    const at = this.#chunkOf(entry);
    const entries = this.#own(at);
    const index = firstNotBefore(entries, entry);
    const place = this.#startOf(at) + index;
    entries.splice(index, 1);
    const next = this.#chunks[at + 1];
    if (entries.length === 0) this.#chunks.splice(at, 1);
    // Small neighbours grow together, so that there are never many more chunks than there have to be.
    else if (next !== undefined && entries.length + next.entries.length <= this.#maxChunk / 2) {
      for (const moved of next.entries) entries.push(moved);
      this.#chunks.splice(at + 1, 1);
    }
    return place;
  }

  /** The chunk an entry is in or belongs into: the first whose last entry is not before it, or the last one. */
  #chunkOf(entry: Entry<Id>): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const last = this.#chunks[middle]?.entries.at(-1);
      if (last !== undefined && compareEntries(last, entry) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #startOf(chunk: number): number {
    let start = 0;
    for (let at = 0; at < chunk; at += 1) start += this.#chunks[at]?.entries.length ?? 0;
    return start;
  }

  #own(at: number): Entry<Id>[] {
    const chunk = this.#chunks[at];
    invariant(chunk !== undefined, "a chunk that is changed is there");
    if (chunk.owner === this.#owner) return chunk.entries;
    const entries = [...chunk.entries];
    this.#chunks[at] = { entries, owner: this.#owner };
    return entries;
  }
}

function firstNotBefore<Id extends number>(entries: readonly Entry<Id>[], entry: Entry<Id>): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = entries[middle];
    if (other !== undefined && compareEntries(other, entry) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
