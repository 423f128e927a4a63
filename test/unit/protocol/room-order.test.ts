import { describe, expect, test } from "bun:test";
import { compareSortKeys, RoomOrder, type SortKey } from "#src/protocol/room-order.ts";

const filled = (...keys: number[]): RoomOrder<number> => {
  const order = new RoomOrder<number>();
  order.rebuild(keys.map((key, id) => ({ id, key: [key] })));
  return order;
};

describe("RoomOrder", () => {
  test("[ORD-1] is sorted after a rebuild, equal keys by id", () => {
    const order = filled(30, 10, 20, 10);
    expect(order.slice(0, 9)).toEqual([1, 3, 2, 0]);
    expect(order.length).toBe(4);
    expect([order.at(0), order.at(3), order.at(4)]).toEqual([1, 0, undefined]);
    expect([order.indexOf(0), order.indexOf(2), order.indexOf(7)]).toEqual([3, 2, null]);
    order.rebuild([{ id: 9, key: [1] }]);
    expect([order.has(9), order.has(0), order.length]).toEqual([true, false, 1]);
  });

  test("[ORD-2] inserts, removes and moves say where", () => {
    const order = filled(10, 20, 30);
    expect(order.insert(5, [25])).toBe(2);
    expect(order.slice(0, 9)).toEqual([0, 1, 5, 2]);
    expect(order.move(5, [5])).toEqual({ from: 2, to: 0 });
    expect(order.move(0, [99])).toEqual({ from: 1, to: 3 });
    expect(order.slice(0, 9)).toEqual([5, 1, 2, 0]);
    expect(order.remove(1)).toBe(1);
    expect(order.remove(1)).toBeNull();
    expect(order.slice(0, 9)).toEqual([5, 2, 0]);
  });

  test("[ORD-2] a move that changes nothing keeps the new key", () => {
    const order = filled(10, 20, 30);
    expect(order.move(1, [29])).toEqual({ from: 1, to: 1 });
    expect(order.insert(7, [25])).toBe(1);
    expect(order.slice(0, 9)).toEqual([0, 7, 1, 2]);
  });

  test("[ORD-3] refuses what would break it", () => {
    const order = filled(10, 20);
    expect(() => order.insert(0, [1])).toThrow("invariant broken");
    expect(() => order.move(9, [1])).toThrow("invariant broken");
    expect(() =>
      order.rebuild([
        { id: 1, key: [1] },
        { id: 1, key: [2] },
      ]),
    ).toThrow("invariant broken");
  });

  test("[ORD-4] slices stay inside the list", () => {
    const order = filled(1, 2, 3);
    expect(order.slice(1, 2)).toEqual([1]);
    expect(order.slice(2, Number.MAX_SAFE_INTEGER)).toEqual([2]);
    expect(order.slice(5, 9)).toEqual([]);
    expect(order.slice(0, 0)).toEqual([]);
  });
});

test("[ORD-9] one room among ten thousand is placed by looking at a few", () => {
  let looks = 0;
  const counting = (value: number): SortKey =>
    new Proxy([value], {
      get: (target, name) => {
        if (name === "0") looks += 1;
        return Reflect.get(target, name) as unknown;
      },
    });
  const order = new RoomOrder<number>();
  order.rebuild(Array.from({ length: 10_000 }, (_, id) => ({ id, key: counting(id) })));
  const looksOf = (change: () => unknown): number => {
    looks = 0;
    change();
    return looks;
  };
  const fork = order.fork();
  for (const twin of [order, fork]) {
    expect(looksOf(() => twin.move(9000, counting(3.5)))).toBeLessThan(200);
    expect(looksOf(() => twin.insert(20_000, counting(5000.5)))).toBeLessThan(100);
    expect(looksOf(() => twin.remove(4))).toBeLessThan(100);
    expect(looksOf(() => twin.indexOf(5000))).toBeLessThan(100);
    expect(looksOf(() => twin.slice(5000, 5020))).toBe(0);
  }
});

test("[ORD-5] sort keys compare element by element, shorter ones first", () => {
  expect(compareSortKeys([1, "b"], [1, "a"])).toBeGreaterThan(0);
  expect(compareSortKeys([1, "b"], [2, "a"])).toBeLessThan(0);
  expect(compareSortKeys([1, "b"], [1, "b"])).toBe(0);
  expect(compareSortKeys([1], [1, "a"])).toBeLessThan(0);
  expect(compareSortKeys([-0], [0])).toBe(0);
});
