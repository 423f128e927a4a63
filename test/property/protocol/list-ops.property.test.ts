import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  canFollow,
  type ListOp,
  type ListOps,
  opsForMove,
  opsForNewList,
  opsForRangeChange,
  opsForRebuild,
} from "#src/protocol/list-ops.ts";
import { containsIndex, diffRanges, type Range, rangesProblem } from "#src/protocol/ranges.ts";
import { NaiveList } from "#test/support/naive-client.ts";

const MAX_INDEX = 24;

/** Disjoint windows in any order, touching ones and one-index ones included. */
const windows = fc.array(fc.tuple(fc.nat(MAX_INDEX), fc.nat(6)), { maxLength: 5 }).map((picks) => {
  const ranges: Range[] = [];
  for (const [start, extent] of picks) {
    const range: Range = [start, start + extent];
    if (rangesProblem([...ranges, range]) === null) ranges.push(range);
  }
  return ranges;
});

/** True when one window begins where another ends. */
const touches = (ranges: readonly Range[]): boolean => ranges.some(([, end]) => containsIndex(ranges, end + 1));

type Step =
  | { kind: "add"; at: number }
  | { kind: "remove"; at: number }
  | { kind: "move"; from: number; to: number }
  | { kind: "ranges"; ranges: Range[] }
  | { kind: "rebuild"; ranges: Range[]; order: number[] };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("add" as const), at: fc.nat(MAX_INDEX) }),
  fc.record({ kind: fc.constant("remove" as const), at: fc.nat(MAX_INDEX) }),
  fc.record({ kind: fc.constant("move" as const), from: fc.nat(MAX_INDEX), to: fc.nat(MAX_INDEX) }),
  fc.record({ kind: fc.constant("ranges" as const), ranges: windows }),
  fc.record({
    kind: fc.constant("rebuild" as const),
    ranges: windows,
    order: fc.uniqueArray(fc.nat(60), { maxLength: 30, size: "large" }),
  }),
);

/** The server's list and what it says of each step. */
class Server {
  list: number[] = [];
  ranges: Range[] = [];
  #nextRoom = 100;

  get visible(): Set<number> {
    return new Set(this.list.filter((_, index) => containsIndex(this.ranges, index)));
  }

  window(): number[] {
    return this.ranges.flatMap(([start, end]) => this.list.slice(start, end + 1));
  }

  readonly #at = (index: number): number => {
    const room = this.list[index];
    if (room === undefined) throw new Error(`asked for index ${index} of ${this.list.length}`);
    return room;
  };

  apply(step: Step): ListOps<number> {
    const { length } = this.list;
    switch (step.kind) {
      case "add": {
        const to = step.at % (length + 1);
        this.list.splice(to, 0, this.#nextRoom++);
        return this.#moved(null, to);
      }
      case "remove": {
        if (length === 0) return { ops: [], shown: [] };
        const from = step.at % length;
        this.list.splice(from, 1);
        return this.#moved(from, null);
      }
      case "move": {
        if (length === 0) return { ops: [], shown: [] };
        const from = step.from % length;
        const to = step.to % length;
        this.list.splice(to, 0, ...this.list.splice(from, 1));
        return this.#moved(from, to);
      }
      case "ranges": {
        const before = this.ranges;
        this.ranges = step.ranges;
        return opsForRangeChange(before, this.ranges, length, this.#at);
      }
      case "rebuild": {
        const before = this.ranges;
        this.ranges = step.ranges;
        this.list = [...step.order];
        return opsForRebuild(before, length, this.ranges, this.list.length, this.#at);
      }
    }
  }

  #moved(from: number | null, to: number | null): ListOps<number> {
    return opsForMove({ ranges: this.ranges, from, to, length: this.list.length, at: this.#at });
  }
}

/** How matrix-js-sdk 37 applies the operations of one response, with its index arithmetic as it is. */
class SdkList {
  readonly rooms = new Map<number, number>();

  apply(ops: readonly ListOp<number>[], ranges: readonly Range[]): void {
    let gap = -1;
    const copy = (to: number, from: number): void => {
      if (!containsIndex(ranges, to)) return;
      const room = this.rooms.get(from);
      if (room === undefined) this.rooms.delete(to);
      else this.rooms.set(to, room);
    };
    const close = (index: number): void => {
      const last = Math.max(-1, ...this.rooms.keys());
      if (last < 0 || index > last) return;
      for (let at = index; at < last; at += 1) copy(at, at + 1);
      this.rooms.delete(last);
    };
    for (const op of ops) {
      switch (op.op) {
        case "SYNC":
          for (const [offset, room] of op.rooms.entries()) this.rooms.set(op.range[0] + offset, room);
          break;
        case "INVALIDATE":
          for (let index = op.range[0]; index <= op.range[1]; index += 1) this.rooms.delete(index);
          break;
        case "DELETE":
          this.rooms.delete(op.index);
          if (gap !== -1) close(gap);
          gap = op.index;
          break;
        case "INSERT":
          if (this.rooms.has(op.index)) {
            for (let at = gap; at > op.index; at -= 1) copy(at, at - 1);
            for (let at = gap; at < op.index; at += 1) copy(at, at + 1);
          }
          gap = -1;
          this.rooms.set(op.index, op.room);
          break;
      }
    }
    if (gap !== -1) close(gap);
  }

  window(ranges: readonly Range[], count: number): (number | undefined)[] {
    return ranges.flatMap(([start, end]) =>
      Array.from({ length: Math.max(0, Math.min(end, count - 1) - start + 1) }, (_, offset) =>
        this.rooms.get(start + offset),
      ),
    );
  }
}

const runs = fc.tuple(windows, fc.array(step, { minLength: 1, maxLength: 60, size: "large" }));

describe("list operations", () => {
  test("[OPS-8] replayed on a naive client equal the server's window, and name every room new to it", () => {
    fc.assert(
      fc.property(runs, ([ranges, steps]) => {
        const server = new Server();
        server.ranges = ranges;
        const client = new NaiveList<number>();
        for (const step of steps) {
          const before = server.visible;
          const { ops, shown } = server.apply(step);
          client.apply(ops);
          expect(client.window(server.ranges, server.list.length)).toEqual(server.window());
          // Nothing is left behind where the server shows nothing.
          expect(client.rooms.size).toBe(server.visible.size);
          const told = new Set(shown);
          for (const room of server.visible) if (!before.has(room)) expect(told.has(room)).toBe(true);
          expect(told.size).toBe(shown.length);
          expect(shown.every((room) => server.visible.has(room))).toBe(true);
          // What the client has is sent again only when it crosses from one window into another that touches it.
          if (step.kind !== "rebuild" && !touches(server.ranges)) {
            expect(shown.some((room) => before.has(room))).toBe(false);
          }
        }
      }),
      { numRuns: 1500 },
    );
  });

  test("[OPS-9] of one change each are understood by matrix-js-sdk", () => {
    fc.assert(
      fc.property(runs, ([ranges, steps]) => {
        const server = new Server();
        server.ranges = ranges;
        const client = new SdkList();
        for (const step of steps) {
          client.apply(server.apply(step).ops, server.ranges);
          expect(client.window(server.ranges, server.list.length)).toEqual(server.window());
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("[OPS-11] of several changes are understood by matrix-js-sdk as long as each can follow the one before", () => {
    fc.assert(
      fc.property(runs, ([ranges, steps]) => {
        const server = new Server();
        server.ranges = ranges;
        const client = new SdkList();
        let ops: ListOp<number>[] = [];
        for (const step of steps) {
          if (step.kind !== "add" && step.kind !== "move" && step.kind !== "remove") continue;
          const next = server.apply(step).ops;
          if (!canFollow(ops.at(-1), next[0])) {
            client.apply(ops, server.ranges);
            ops = [];
          }
          ops.push(...next);
        }
        client.apply(ops, server.ranges);
        expect(client.window(server.ranges, server.list.length)).toEqual(server.window());
      }),
      { numRuns: 1000 },
    );
  });

  test("[OPS-10] never insert what lies where it is inserted, never touch what lies outside all windows", () => {
    fc.assert(
      fc.property(runs, ([ranges, steps]) => {
        const server = new Server();
        server.ranges = ranges;
        for (const step of steps) {
          const before = [...server.list];
          const { ops } = server.apply(step);
          if (step.kind === "ranges" || step.kind === "rebuild") continue;
          for (const [position, op] of ops.entries()) {
            if (op.op !== "DELETE" && op.op !== "INSERT") throw new Error(`unexpected ${op.op}`);
            expect(containsIndex(server.ranges, op.index)).toBe(true);
            if (op.op !== "INSERT") continue;
            expect(before[op.index]).not.toBe(op.room);
            expect(ops[position - 1]?.op).toBe("DELETE");
          }
          const bare = ops.findIndex((op, position) => op.op === "DELETE" && ops[position + 1]?.op !== "INSERT");
          expect(bare === -1 || bare === ops.length - 1).toBe(true);
        }
      }),
    );
  });
});

test("[OPS-5] a new list shows exactly its windows", () => {
  fc.assert(
    fc.property(windows, fc.nat(40), (ranges, length) => {
      const { ops, shown } = opsForNewList(ranges, length, (index) => index);
      const client = new NaiveList<number>();
      client.apply(ops);
      const expected = ranges.flatMap(([start, end]) =>
        Array.from({ length: end - start + 1 }, (_, offset) => start + offset).filter((index) => index < length),
      );
      expect(shown).toEqual(expected);
      expect(client.window(ranges, length)).toEqual(expected);
    }),
  );
});

test("[WIN-2] diffRanges is the exact set difference in ascending, unempty, unjoined pieces", () => {
  const indices = (ranges: readonly Range[]): number[] =>
    ranges.flatMap(([start, end]) => Array.from({ length: end - start + 1 }, (_, offset) => start + offset));
  fc.assert(
    fc.property(windows, windows, (before, after) => {
      const { added, removed } = diffRanges(before, after);
      const had = new Set(indices(before));
      const has = new Set(indices(after));
      const ascending = (values: Set<number>): number[] => [...values].sort((a, b) => a - b);
      expect(indices(added)).toEqual(ascending(has).filter((index) => !had.has(index)));
      expect(indices(removed)).toEqual(ascending(had).filter((index) => !has.has(index)));
      for (const [start, end] of [...added, ...removed]) expect(start).toBeLessThanOrEqual(end);
    }),
  );
});

test("[WIN-3] containsIndex agrees with enumerating every window", () => {
  fc.assert(
    fc.property(windows, fc.nat(40), (ranges, index) => {
      const listed = ranges.some(([start, end]) =>
        Array.from({ length: end - start + 1 }, (_, offset) => start + offset).includes(index),
      );
      expect(containsIndex(ranges, index)).toBe(listed);
    }),
  );
});
