import { type StateSelection, type StateTuple, unionRequiredState } from "./required-state.ts";

const ANY = "*";
const MEMBER = "m.room.member";
/** Before a key that is meant as it is written, whatever it looks like. */
const LITERAL = "\0=";
/** A type or key that no event has: one that is really called `*` cannot be told from any. */
const NONE = "\0none";
/** Before the type of an entry that takes away. */
const EXCLUDED = "\0-";
/** As key of members: only of those who appear, even where everything is asked for. */
const LAZY_ALWAYS = "\0lazy";
/** Between what one config asks for and what another one does: what one takes away the other one may want. */
const OR: readonly [string, string] = ["\0|", ""];

/** No event has such a type or key: it would mean something here that its sender cannot mean. */
export const isMadeUp = (text: string): boolean => text.includes("\0");

/** A type or key that means itself. */
export function literal(text: string): string {
  if (text === ANY || isMadeUp(text)) return NONE;
  return text.startsWith("$") ? LITERAL + text : text;
}
/** An entry that takes away what others ask for. */
export const excluded = ([type, key]: StateTuple): [string, string] => [EXCLUDED + type, key];
/** Members of whoever appears, beside whatever else is asked for. */
export const LAZY_MEMBERS: [string, string] = [MEMBER, LAZY_ALWAYS];

/** Entries of state: types with their keys, `*` = any. */
class StatePattern {
  readonly #keysByType = new Map<string, Set<string>>();

  add(type: string, key: string): void {
    const keys = this.#keysByType.get(type) ?? new Set();
    this.#keysByType.set(type, keys.add(key));
  }

  get isEmpty(): boolean {
    return this.#keysByType.size === 0;
  }

  has(type: string, key: string): boolean {
    return this.#keysByType.get(type)?.has(key) === true;
  }

  matches(type: string, key: string): boolean {
    return this.#matchesKey(type, key) || this.#matchesKey(ANY, key);
  }

  entries(): [string, string][] {
    return [...this.#keysByType].flatMap(([type, keys]) => [...keys].map((key): [string, string] => [type, key]));
  }

  #matchesKey(type: string, key: string): boolean {
    const keys = this.#keysByType.get(type);
    return keys !== undefined && (keys.has(key) || keys.has(ANY));
  }
}

const isExclusion = ([type]: StateTuple): boolean => type.startsWith(EXCLUDED);
const isLazyEntry = ([type, key]: StateTuple): boolean => type === MEMBER && key === LAZY_ALWAYS;

/** What each of the configs asks for that one `required_state` was made of. */
export function alternatives(entries: readonly StateTuple[]): (readonly StateTuple[])[] {
  const found: StateTuple[][] = [[]];
  for (const entry of entries) {
    if (entry[0] === OR[0]) found.push([]);
    else found.at(-1)?.push(entry);
  }
  return found;
}

/** One `required_state` that selects what either of two selects; those that take away the same are put together. */
export function uniteAlternatives(a: readonly StateTuple[], b: readonly StateTuple[]): [string, string][] {
  const alike = new Map<string, [string, string][]>();
  for (const one of [...alternatives(a), ...alternatives(b)]) {
    const kind = JSON.stringify([one.some(isLazyEntry), ...one.filter(isExclusion).map(String).toSorted()]);
    alike.set(kind, unionRequiredState(alike.get(kind) ?? [], one));
  }
  const union: [string, string][] = [];
  for (const one of alike.values()) {
    if (one.length === 0) continue;
    if (union.length > 0) union.push([...OR]);
    union.push(...one);
  }
  return union;
}

/** Reads a `required_state` of simplified sliding sync for the user who asks: everything that any entry matches. */
export function compileSimplifiedState(entries: readonly StateTuple[], me: string): StateSelection {
  const parts = alternatives(entries).map((one) => compileOne(one, me));
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const queried = uniteTuples(parts.map((part) => part.entries));
  return {
    entries: queried.some(([type, key]) => type === ANY && key === ANY) ? [[ANY, ANY]] : queried,
    lazyMembers:
      parts.some(({ lazyMembers }) => lazyMembers) &&
      parts.every(({ lazyMembers, matches }) => lazyMembers || !matches(MEMBER, ANY)),
    matches: (type, key) => parts.some((part) => part.matches(type, key)),
  };
}

const uniteTuples = (all: readonly (readonly StateTuple[])[]): [string, string][] =>
  all.reduce<[string, string][]>((union, entries) => unionRequiredState(union, entries), []);

function compileOne(entries: readonly StateTuple[], me: string): StateSelection {
  const wanted = new StatePattern();
  const unwanted = new StatePattern();
  let isLazy = false;
  let isLazyAlways = false;
  for (const [type, key] of entries) {
    if (type.endsWith(NONE) || key === NONE) continue;
    if (type === MEMBER && key === LAZY_ALWAYS) isLazyAlways = true;
    else if (type === MEMBER && key === "$LAZY") isLazy = true;
    else if (type.startsWith(EXCLUDED)) unwanted.add(plain(type.slice(EXCLUDED.length)), plain(key));
    else wanted.add(plain(type), key === "$ME" ? me : plain(key));
  }
  const lazyMembers = isLazyAlways || (isLazy && !wanted.matches(MEMBER, ANY));
  const isMatch = (type: string, key: string): boolean =>
    wanted.matches(type, key) && (unwanted.isEmpty || !unwanted.matches(type, key));
  // What is named is read without being matched again.
  const isRead = ([type, key]: StateTuple): boolean => type === ANY || key === ANY || isMatch(type, key);
  if (!isLazyAlways) {
    const queried = wanted.has(ANY, ANY) ? [[ANY, ANY] as [string, string]] : wanted.entries().filter(isRead);
    return { entries: queried, lazyMembers, matches: isMatch };
  }
  // Of members only those named one by one.
  const isNamed = (key: string): boolean => wanted.has(MEMBER, key) || wanted.has(ANY, key);
  return {
    entries: wanted.entries().filter((entry) => isRead(entry) && (entry[0] !== MEMBER || entry[1] !== ANY)),
    lazyMembers: true,
    matches: (type, key) => isMatch(type, key) && (type !== MEMBER || isNamed(key)),
  };
}

const plain = (text: string): string => (text.startsWith(LITERAL) ? text.slice(LITERAL.length) : text);
