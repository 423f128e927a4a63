import type { StickyParams } from "../sticky.ts";
import { EXTENSION_NAMES, type ExtensionName } from "./draft.ts";

/** Which extensions of a connection have said what they begin with, and in which response. */
export class ExtensionStarts {
  /** No map: of five entries, which every connection has, one takes ten times the memory. */
  readonly #since: Partial<Record<ExtensionName, number | undefined>> = {};

  /** Those of before of which a client provably has the beginning. */
  restore(proven: ReadonlyMap<string, number>, { extensions }: StickyParams): void {
    for (const name of EXTENSION_NAMES) {
      const seq = proven.get(name);
      if (seq !== undefined && extensions[name].enabled) this.#since[name] = seq;
    }
  }

  /** They spoke in response `seq`. */
  started(names: Iterable<ExtensionName>, seq: number): void {
    for (const name of names) this.#since[name] = seq;
  }

  /** One that is switched off, or made to speak of other rooms, begins anew: what it left out is not known. */
  follow(before: StickyParams, after: StickyParams): void {
    for (const name of EXTENSION_NAMES) {
      const [old, now] = [before.extensions[name], after.extensions[name]];
      if (old === now) continue;
      const isSameScope = isSameNames(old.lists, now.lists) && isSameNames(old.rooms, now.rooms);
      if (!now.enabled || !(isSameScope || isOfDevice(name))) this.#since[name] = undefined;
    }
  }

  /** Those that are switched on and have yet to speak. */
  toStart({ extensions }: StickyParams): ExtensionName[] {
    return EXTENSION_NAMES.filter((name) => extensions[name].enabled && this.#since[name] === undefined);
  }

  /** null when the client has nothing of it. */
  since(name: ExtensionName): number | null {
    return this.#since[name] ?? null;
  }

  entries(): [ExtensionName, number][] {
    return EXTENSION_NAMES.flatMap((name) => {
      const seq = this.#since[name];
      return seq === undefined ? [] : [[name, seq]];
    });
  }
}

const isSameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a === b || (a.length === b.length && a.every((name, index) => name === b[index]));

/** Extensions that speak of no rooms. */
const isOfDevice = (name: ExtensionName): boolean => name === "to_device" || name === "e2ee";
