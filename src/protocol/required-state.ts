import { SmallMap, SmallSet } from "../small-collections.ts";

/** One entry of `required_state`. */
export type StateTuple = readonly [type: string, stateKey: string];

const ANY = "*";
const ME = "$ME";
const LAZY = "$LAZY";
const MEMBER = "m.room.member";

/** What a `required_state` asks for, ready to be matched. */
export interface StateSelection {
  /** To query by: `$ME` resolved, `$LAZY` removed, without duplicates; may find more than `matches` lets through. */
  entries: [type: string, stateKey: string][];
  /** Members are wanted for whoever appears in the timeline. */
  lazyMembers: boolean;
  matches: (type: string, stateKey: string) => boolean;
}

/** Reads a `required_state` for the user who asks. */
export function compileRequiredState(entries: readonly StateTuple[], me: string): StateSelection {
  const keysByType = new SmallMap<string, SmallSet<string>>();
  const keysOfAnyType = new SmallSet<string>();
  let hasEverything = false;
  let lazyMembers = false;
  for (const [type, rawKey] of entries) {
    const key = rawKey === ME ? me : rawKey;
    if (type === ANY) {
      if (key === ANY) hasEverything = true;
      else keysOfAnyType.add(key);
      continue;
    }
    // A type that is named counts as named even when no key of it is: `$LAZY` beside `*`,`*` means no other members.
    const keys = keysByType.get(type) ?? new SmallSet();
    keysByType.set(type, keys);
    if (type === MEMBER && key === LAZY) lazyMembers = true;
    else keys.add(key);
  }
  return {
    entries: hasEverything ? [[ANY, ANY]] : tuples(keysByType, keysOfAnyType),
    lazyMembers,
    matches: (type, stateKey) => {
      if (keysOfAnyType.has(stateKey)) return true;
      const keys = keysByType.get(type);
      return keys === undefined ? hasEverything : keys.has(stateKey) || keys.has(ANY);
    },
  };
}

function tuples(keysByType: SmallMap<string, SmallSet<string>>, keysOfAnyType: SmallSet<string>): [string, string][] {
  const found: [string, string][] = [];
  for (const [type, keys] of keysByType) for (const key of keys) found.push([type, key]);
  for (const key of keysOfAnyType) found.push([ANY, key]);
  return found;
}

/** One `required_state` that selects what either of two selects, and no more: in order, without duplicates. */
export function uniteSelections(a: readonly StateTuple[], b: readonly StateTuple[]): [string, string][] {
  return unionRequiredState(withoutCovered(a, b), withoutCovered(b, a));
}

/** A type that one side names narrows what that side says of everything, and not what the other one says. */
function withoutCovered(entries: readonly StateTuple[], other: readonly StateTuple[]): readonly StateTuple[] {
  if (!other.some(([type, key]) => type === ANY && key === ANY)) return entries;
  const named = new Set(other.map(([type]) => type));
  return entries.filter(([type]) => type === ANY || named.has(type));
}

/** True when the first selects everything that the second does. */
export function selectsAll(a: readonly StateTuple[], b: readonly StateTuple[]): boolean {
  return sameRequiredState(a, b) || sameRequiredState(unionRequiredState(a, []), uniteSelections(a, b));
}

/** All entries of both: in order, without duplicates. */
export function unionRequiredState(a: readonly StateTuple[], b: readonly StateTuple[]): [string, string][] {
  const keysByType = new Map<string, Set<string>>();
  const union: [string, string][] = [];
  for (const [type, stateKey] of [...a, ...b]) {
    const keys = keysByType.get(type) ?? new Set();
    keysByType.set(type, keys);
    if (keys.has(stateKey)) continue;
    keys.add(stateKey);
    union.push([type, stateKey]);
  }
  return union;
}

/** True when both list the same entries in the same order. */
export function sameRequiredState(a: readonly StateTuple[], b: readonly StateTuple[]): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every(([type, key], index) => type === b[index]?.[0] && key === b[index][1]);
}
