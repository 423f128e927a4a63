import { SmallMap } from "../small-collections.ts";

/** An overlay that is larger than this part of what it lies over (one in so many) is worked into it. */
const OVERLAY_PART = 4;
/** Smaller ones never are. */
const MIN_OVERLAY = 64;

/** A map that can be forked for little: the twins share what neither has changed. */
export class ForkedMap<K extends number | string, V> {
  #base: SmallMap<K, V>;
  /** No twin knows the base: it is written to directly. */
  #isOwn = true;
  /** Over a shared base; undefined = removed. */
  #overlay = new SmallMap<K, V | undefined>();
  #size: number;

  constructor(entries: Iterable<readonly [K, V]> = []) {
    this.#base = new SmallMap(entries);
    this.#size = this.#base.size;
  }

  get size(): number {
    return this.#size;
  }

  fork(): ForkedMap<K, V> {
    this.#isOwn = false;
    const twin = new ForkedMap<K, V>();
    twin.#base = this.#base;
    twin.#isOwn = false;
    twin.#overlay = new SmallMap(this.#overlay);
    twin.#size = this.#size;
    return twin;
  }

  get(key: K): V | undefined {
    return this.#overlay.has(key) ? this.#overlay.get(key) : this.#base.get(key);
  }

  set(key: K, value: V): void {
    if (this.get(key) === undefined) this.#size += 1;
    if (this.#isOwn) this.#base.set(key, value);
    else this.#overlay.set(key, value);
    this.#settle();
  }

  delete(key: K): void {
    if (this.get(key) === undefined) return;
    this.#size -= 1;
    if (this.#isOwn) this.#base.delete(key);
    else this.#overlay.set(key, undefined);
    this.#settle();
  }

  #settle(): void {
    if (this.#overlay.size <= Math.max(MIN_OVERLAY, this.#base.size / OVERLAY_PART)) return;
    const base = new SmallMap(this.#base);
    for (const [key, value] of this.#overlay) {
      if (value === undefined) base.delete(key);
      else base.set(key, value);
    }
    this.#base = base;
    this.#overlay = new SmallMap();
    this.#isOwn = true;
  }
}
