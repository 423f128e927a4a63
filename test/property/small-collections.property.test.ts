import { expect, test } from "bun:test";
import fc from "fast-check";
import { SmallMap, SmallSet } from "#src/small-collections.ts";

/** Few enough to meet again, more than stay in a small one. */
const key = fc.nat(40);
const changes = fc.array(fc.tuple(fc.constantFrom("set", "set", "set", "delete", "clear"), key), {
  maxLength: 120,
  size: "max",
});

test("[ORD-11] a small map is a map, however much is in it", () => {
  fc.assert(
    fc.property(changes, fc.array(key, { maxLength: 20 }), (steps, first) => {
      const entries = first.map((k) => [k, String(k)] as const);
      const [map, model] = [new SmallMap<number, string>(entries), new Map<number, string>(entries)];
      for (const [at, [change, k]] of steps.entries()) {
        if (change === "set") {
          map.set(k, `${at}`);
          model.set(k, `${at}`);
        } else if (change === "delete") expect(map.delete(k)).toBe(model.delete(k));
        else if (at % 7 === 0) {
          map.clear();
          model.clear();
        }
        expect([map.get(k), map.has(k), map.size]).toEqual([model.get(k), model.has(k), model.size]);
        expect([...map]).toEqual([...model]);
        expect([...map.keys()]).toEqual([...model.keys()]);
        expect([...map.values()]).toEqual([...model.values()]);
      }
    }),
  );
});

test("[ORD-12] a small set is a set, however much is in it", () => {
  fc.assert(
    fc.property(changes, fc.array(key, { maxLength: 20 }), (steps, first) => {
      const [set, model] = [new SmallSet<number>(first), new Set<number>(first)];
      for (const [at, [change, k]] of steps.entries()) {
        if (change === "set") {
          set.add(k);
          model.add(k);
        } else if (change === "delete") expect(set.delete(k)).toBe(model.delete(k));
        else if (at % 7 === 0) {
          set.clear();
          model.clear();
        }
        expect([set.has(k), set.size]).toEqual([model.has(k), model.size]);
        expect([...set]).toEqual([...model]);
      }
    }),
  );
});

test("[ORD-13] what a walk has come to may be taken out, and the walk goes on to the rest", () => {
  for (const size of [1, 5, 16, 17, 40]) {
    const numbers = Array.from({ length: size }, (_, index) => index);
    const [map, set] = [new SmallMap(numbers.map((n) => [n, n])), new SmallSet(numbers)];
    const seen: number[] = [];
    for (const n of map.keys()) {
      seen.push(n);
      map.delete(n);
    }
    for (const n of set) {
      seen.push(n);
      set.delete(n);
    }
    expect(seen).toEqual([...numbers, ...numbers]);
    expect([map.size, set.size]).toEqual([0, 0]);
  }
});
