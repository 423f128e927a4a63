import { expect, test } from "bun:test";
import fc from "fast-check";
import { ForkedMap } from "#src/protocol/forked-map.ts";
import { compareSortKeys, RoomOrder, type SortKey } from "#src/protocol/room-order.ts";
import { sortKey, type SortView } from "#src/protocol/sorting.ts";

const SORTS = ["by_recency", "by_name", "by_notification_level", "by_highlight_count", "by_notification_count"];
const sorts = fc.uniqueArray(fc.constantFrom(...SORTS), { maxLength: 5 });
const view: fc.Arbitrary<SortView> = fc.record({
  roomId: fc.stringMatching(/^![a-c]{1,3}$/),
  recencyTs: fc.nat(3),
  name: fc.oneof(fc.string({ unit: "binary", maxLength: 3 }), fc.constantFrom("#a", "A", " a", "!b!", "é")),
  highlightCount: fc.nat(2),
  notificationCount: fc.nat(2),
  isEncrypted: fc.boolean(),
});

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The sorts as the specification words them, one after another. */
function compareNaively(order: readonly string[], a: SortView, b: SortView): number {
  const bare = (name: string): string =>
    name
      .replace(/^[#!():_@]+/, "")
      .replace(/[#!():_@]+$/, "")
      .toLowerCase();
  const level = (room: SortView): number => {
    if (room.highlightCount > 0) return 3;
    if (room.notificationCount > 0) return room.isEncrypted ? 2 : 1;
    return 0;
  };
  for (const sort of order) {
    let difference = 0;
    if (sort === "by_recency") difference = b.recencyTs - a.recencyTs;
    if (sort === "by_name") difference = Buffer.compare(utf8(bare(a.name)), utf8(bare(b.name)));
    if (sort === "by_notification_level") difference = level(b) - level(a);
    if (sort === "by_highlight_count") difference = b.highlightCount - a.highlightCount;
    if (sort === "by_notification_count") difference = b.notificationCount - a.notificationCount;
    if (difference !== 0) return difference;
  }
  return Buffer.compare(utf8(a.roomId), utf8(b.roomId));
}

test("[SRT-7] sort keys order rooms as the sorts say, totally and with room ids for ties", () => {
  fc.assert(
    fc.property(sorts, view, view, view, (order, a, b, c) => {
      const [left, right, third] = [sortKey(order, a), sortKey(order, b), sortKey(order, c)];
      const result = Math.sign(compareSortKeys(left, right));
      expect(result).toBe(Math.sign(compareNaively(order, a, b)));
      expect(Math.sign(compareSortKeys(right, left))).toBe(-result || 0);
      if (result <= 0 && compareSortKeys(right, third) <= 0)
        expect(compareSortKeys(left, third)).toBeLessThanOrEqual(0);
      if (a.roomId !== b.roomId) expect(result).not.toBe(0);
    }),
    { numRuns: 2000 },
  );
});

type Change =
  | { kind: "place"; id: number; key: SortKey }
  | { kind: "remove"; id: number }
  | { kind: "rebuild"; keys: SortKey[] };

const key: fc.Arbitrary<SortKey> = fc.tuple(fc.nat(4), fc.constantFrom("a", "b", "c"));
const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("place" as const), id: fc.nat(20), key }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("remove" as const), id: fc.nat(20) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("rebuild" as const), keys: fc.array(key, { maxLength: 20 }) }),
  },
);

test("[ORD-6] any changes leave it as sorting everything anew would", () => {
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 80, size: "large" }),
      fc.integer({ min: 2, max: 9 }),
      (changes, chunk) => {
        const order = new RoomOrder<number>(chunk);
        let model = new Map<number, SortKey>();
        const sorted = (): number[] =>
          [...model].sort(([a, x], [b, y]) => compareSortKeys(x, y) || a - b).map(([id]) => id);
        for (const step of changes) {
          const before = sorted();
          switch (step.kind) {
            case "rebuild":
              model = new Map(step.keys.map((item, id) => [id, item]));
              order.rebuild(step.keys.map((item, id) => ({ id, key: item })));
              break;
            case "remove":
              model.delete(step.id);
              expect(order.remove(step.id)).toBe(before.includes(step.id) ? before.indexOf(step.id) : null);
              break;
            case "place": {
              const isNew = !model.has(step.id);
              model.set(step.id, step.key);
              const to = sorted().indexOf(step.id);
              if (isNew) expect(order.insert(step.id, step.key)).toBe(to);
              else expect(order.move(step.id, step.key)).toEqual({ from: before.indexOf(step.id), to });
              break;
            }
          }
          const expected = sorted();
          expect(order.slice(0, order.length)).toEqual(expected);
          for (const [index, id] of expected.entries()) {
            expect(order.indexOf(id)).toBe(index);
            expect(order.at(index)).toBe(id);
          }
          expect(order.length).toBe(model.size);
        }
      },
    ),
  );
});

test("[ORD-7] forks share nothing that a change of one could show the other", () => {
  fc.assert(
    fc.property(
      fc.array(key, { minLength: 1, maxLength: 12 }),
      fc.array(fc.tuple(fc.nat(3), fc.nat(15), key), { maxLength: 30, size: "large" }),
      fc.integer({ min: 2, max: 9 }),
      (keys, changes, chunk) => {
        const first = new RoomOrder<number>(chunk);
        first.rebuild(keys.map((item, id) => ({ id, key: item })));
        const orders = [{ order: first, model: new Map(keys.map((item, id) => [id, item])) }];
        for (const [which, id, item] of changes) {
          const picked = orders[which % orders.length];
          if (picked === undefined) continue;
          if (which === 3 && orders.length < 4) {
            orders.push({ order: picked.order.fork(), model: new Map(picked.model) });
            continue;
          }
          if (!picked.model.has(id)) picked.order.insert(id, item);
          else if (which === 2) picked.order.remove(id);
          else picked.order.move(id, item);
          if (which === 2 && picked.model.has(id)) picked.model.delete(id);
          else picked.model.set(id, item);
          for (const { order, model } of orders) {
            const sorted = [...model].sort(([a, x], [b, y]) => compareSortKeys(x, y) || a - b).map(([known]) => known);
            expect(order.slice(0, order.length)).toEqual(sorted);
            expect(sorted.map((known) => order.indexOf(known))).toEqual(sorted.map((_, index) => index));
          }
        }
        first.rebuild([]);
        for (const { order, model } of orders.slice(1)) expect(order.length).toBe(model.size);
      },
    ),
    { numRuns: 300 },
  );
});

test("[ORD-8] a forked map is a map, whatever its twins do", () => {
  const runs = fc.array(fc.tuple(fc.nat(3), fc.nat(200), fc.boolean()), { maxLength: 400, size: "max" });
  fc.assert(
    fc.property(runs, (changes) => {
      const twins = [{ map: new ForkedMap<number, number>(), model: new Map<number, number>() }];
      for (const [at, [which, key, isKept]] of changes.entries()) {
        const twin = twins[which % twins.length];
        if (twin === undefined) continue;
        if (which === 3 && twins.length < 4) twins.push({ map: twin.map.fork(), model: new Map(twin.model) });
        else if (isKept) {
          twin.map.set(key, at);
          twin.model.set(key, at);
        } else {
          twin.map.delete(key);
          twin.model.delete(key);
        }
      }
      for (const { map, model } of twins) {
        expect(map.size).toBe(model.size);
        for (let key = 0; key <= 200; key += 1) expect(map.get(key)).toBe(model.get(key));
      }
    }),
    { numRuns: 200 },
  );
});
