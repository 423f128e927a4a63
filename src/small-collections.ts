/** With more than this a search takes longer than a hash. */
const MAX_FEW = 16;
/** What all have in common that hold nothing: never written to. */
const NOTHING: never[] = [];

/**
 * A map that nearly always has a few entries. The runtime's own takes 220 bytes for the first one and 880 for the fifth, this
 * one 16 for each, until there are more than a few. What is walked over may be taken out meanwhile.
 */
export class SmallMap<K extends number | string, V> {
  /** Keys and values in turns, oldest first. */
  #entries: (K | V)[] | Map<K, V> = NOTHING;

  constructor(entries: Iterable<readonly [K, V]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.#entries instanceof Map ? this.#entries.size : this.#entries.length / 2;
  }

  has(key: K): boolean {
    return this.#entries instanceof Map ? this.#entries.has(key) : indexOf(this.#entries, key) >= 0;
  }

  get(key: K): V | undefined {
    if (this.#entries instanceof Map) return this.#entries.get(key);
    const at = indexOf(this.#entries, key);
    return at < 0 ? undefined : (this.#entries[at + 1] as V);
  }

  set(key: K, value: V): void {
    if (this.#entries instanceof Map) {
      this.#entries.set(key, value);
      return;
    }
    const at = indexOf(this.#entries, key);
    if (at >= 0) this.#entries[at + 1] = value;
    else if (this.#entries === NOTHING) this.#entries = [key, value];
    else if (this.#entries.length < 2 * MAX_FEW) this.#entries.push(key, value);
    else this.#entries = new Map(pairs<K, V>(this.#entries)).set(key, value);
  }

  /** True when it was there. */
  delete(key: K): boolean {
    if (this.#entries instanceof Map) return this.#entries.delete(key);
    const at = indexOf(this.#entries, key);
    if (at >= 0) this.#entries.splice(at, 2);
    return at >= 0;
  }

  clear(): void {
    this.#entries = NOTHING;
  }

  keys(): Iterable<K> {
    const entries = this.#entries;
    return entries instanceof Map ? entries.keys() : entries.filter((_, at): _ is K => at % 2 === 0);
  }

  values(): Iterable<V> {
    const entries = this.#entries;
    return entries instanceof Map ? entries.values() : entries.filter((_, at): _ is V => at % 2 === 1);
  }

  [Symbol.iterator](): Iterator<[K, V]> {
    return (this.#entries instanceof Map ? this.#entries : pairs<K, V>(this.#entries))[Symbol.iterator]();
  }
}

/**
 * A set that nearly always has a few values: 8 bytes for each, where the runtime's own takes 220 for the first one and 600 for the
 * tenth. What is walked over may be taken out meanwhile.
 */
export class SmallSet<T> {
  /** Oldest first. */
  #values: T[] | Set<T> = NOTHING;

  constructor(values: Iterable<T> = []) {
    for (const value of values) this.add(value);
  }

  get size(): number {
    return this.#values instanceof Set ? this.#values.size : this.#values.length;
  }

  has(value: T): boolean {
    return this.#values instanceof Set ? this.#values.has(value) : this.#values.includes(value);
  }

  add(value: T): void {
    if (this.#values instanceof Set) this.#values.add(value);
    else if (this.#values.includes(value)) return;
    else if (this.#values === NOTHING) this.#values = [value];
    else if (this.#values.length < MAX_FEW) this.#values.push(value);
    else this.#values = new Set(this.#values).add(value);
  }

  /** True when it was there. */
  delete(value: T): boolean {
    if (this.#values instanceof Set) return this.#values.delete(value);
    const at = this.#values.indexOf(value);
    if (at >= 0) this.#values.splice(at, 1);
    return at >= 0;
  }

  clear(): void {
    this.#values = NOTHING;
  }

  [Symbol.iterator](): Iterator<T> {
    return (this.#values instanceof Set ? this.#values : [...this.#values])[Symbol.iterator]();
  }
}

/** Where a key stands; values are never looked at. */
function indexOf(entries: readonly unknown[], key: unknown): number {
  for (let at = 0; at < entries.length; at += 2) if (entries[at] === key) return at;
  return -1;
}

function pairs<K, V>(entries: readonly (K | V)[]): [K, V][] {
  return Array.from({ length: entries.length / 2 }, (_, at): [K, V] => [
    entries[2 * at] as K,
    entries[2 * at + 1] as V,
  ]);
}
