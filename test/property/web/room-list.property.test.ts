import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type ListOp as ServerOp, opsForMove, opsForNewList, opsForRangeChange } from "#src/protocol/list-ops.ts";
import { type Range, rangesProblem } from "#src/protocol/ranges.ts";
import { NaiveList } from "#test/support/naive-client.ts";
import { OperatedList, StampedList } from "#web/model/room-list.ts";
import type { ListOp, RoomUpdate } from "#web/model/wire.ts";

const MAX_INDEX = 24;

const windows = fc.array(fc.tuple(fc.nat(MAX_INDEX), fc.nat(8)), { minLength: 1, maxLength: 3 }).map((picks) => {
  const ranges: Range[] = [];
  for (const [start, extent] of picks) {
    const range: Range = [start, start + extent];
    if (rangesProblem([...ranges, range]) === null) ranges.push(range);
  }
  return ranges;
});

type Step = { kind: "add" | "remove" | "bump"; at: number } | { kind: "scroll"; ranges: Range[] };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom("add" as const, "remove" as const, "bump" as const), at: fc.nat(MAX_INDEX) }),
  fc.record({ kind: fc.constant("scroll" as const), ranges: windows }),
);

const onWire = (ops: readonly ServerOp<string>[]): ListOp[] =>
  ops.map((op) => {
    if (op.op === "SYNC") return { op: "SYNC", range: op.range, room_ids: op.rooms };
    return op.op === "INSERT" ? { op: "INSERT", index: op.index, room_id: op.room } : op;
  });

/** What a server that does everything the long way would say of each step. */
class Server {
  list: string[];
  ranges: Range[];
  #next = 0;

  constructor(length: number, ranges: Range[]) {
    this.ranges = ranges;
    this.list = Array.from({ length }, () => this.#newRoom());
  }

  #newRoom(): string {
    this.#next += 1;
    return `!${this.#next}`;
  }

  first(): ServerOp<string>[] {
    return opsForNewList(this.ranges, this.list.length, (index) => this.list[index] ?? "").ops;
  }

  apply(step: Step): ServerOp<string>[] {
    if (step.kind === "scroll") {
      const before = this.ranges;
      this.ranges = step.ranges;
      return opsForRangeChange(before, step.ranges, this.list.length, (index) => this.list[index] ?? "").ops;
    }
    const from = step.kind === "add" || this.list.length === 0 ? null : step.at % this.list.length;
    const room = from === null ? this.#newRoom() : (this.list.splice(from, 1)[0] ?? "");
    const to =
      step.kind === "remove" && from !== null ? null : step.kind === "bump" ? 0 : step.at % (this.list.length + 1);
    if (to !== null) this.list.splice(to, 0, room);
    const { length } = this.list;
    return opsForMove({ ranges: this.ranges, from, to, length, at: (index) => this.list[index] ?? "" }).ops;
  }

  shown(): (string | undefined)[] {
    return this.ranges.flatMap(([start, end]) => this.list.slice(start, end + 1));
  }
}

const shownBy = (list: OperatedList, ranges: readonly Range[]): (string | undefined)[] =>
  ranges.flatMap(([start, end]) =>
    Array.from({ length: Math.max(0, Math.min(end, list.count - 1) - start + 1) }, (_, offset) =>
      list.at(start + offset),
    ),
  );

describe("OperatedList", () => {
  test("[CNS-20] after every operation the windows hold what the server's hold, and what a naive client has", () => {
    fc.assert(
      fc.property(fc.nat(30), windows, fc.array(step, { maxLength: 25 }), (length, ranges, steps) => {
        const server = new Server(length, ranges);
        const [list, naive] = [new OperatedList(), new NaiveList<string>()];
        const take = (ops: ServerOp<string>[]): void => {
          list.apply(server.list.length, onWire(ops));
          naive.apply(ops);
          expect(shownBy(list, server.ranges)).toEqual(server.shown());
          expect(shownBy(list, server.ranges)).toEqual(naive.window(server.ranges, server.list.length));
        };
        take(server.first());
        for (const one of steps) take(server.apply(one));
      }),
    );
  });

  test("[CNS-21] whole windows, as the simplified dialect sends them, leave no room in two places", () => {
    const order = fc.shuffledSubarray(
      Array.from({ length: 30 }, (_, index) => `!${index}`),
      { minLength: 1 },
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(order, windows), { minLength: 1, maxLength: 10 }), (responses) => {
        const list = new OperatedList();
        for (const [rooms, ranges] of responses) {
          const ops = ranges
            .filter(([start]) => start < rooms.length)
            .map(([start, end]): ListOp => {
              const last = Math.min(end, rooms.length - 1);
              return { op: "SYNC", range: [start, last], room_ids: rooms.slice(start, last + 1) };
            });
          list.apply(rooms.length, ops);
          expect(shownBy(list, ranges)).toEqual(ranges.flatMap(([start, end]) => rooms.slice(start, end + 1)));
          const all = Array.from({ length: list.count }, (_, index) => list.at(index)).filter((id) => id !== undefined);
          expect(new Set(all).size).toBe(all.length);
        }
      }),
    );
  });
});

describe("StampedList", () => {
  test("[CNS-22] rooms of v4 stand where their stamps put them, however they came in", () => {
    const room = fc.record({
      id: fc.nat(15).map((id) => `!${id}`),
      stamp: fc.option(fc.nat(50), { nil: undefined }),
      is: fc.constantFrom("listed", "quiet", "unlisted", "left"),
    });
    fc.assert(
      fc.property(fc.array(fc.array(room, { maxLength: 5 }), { maxLength: 15 }), (responses) => {
        const list = new StampedList("rooms");
        const known = new Map<string, number>();
        for (const response of responses) {
          const rooms: Record<string, RoomUpdate> = {};
          for (const { id, stamp, is } of response) {
            if (rooms[id] !== undefined) continue;
            rooms[id] = {
              ...(stamp === undefined ? {} : { bump_stamp: stamp }),
              ...(is === "listed" ? { lists: ["rooms", "others"] } : is === "unlisted" ? { lists: ["others"] } : {}),
              membership: is === "left" ? "leave" : "join",
            };
            if (is === "unlisted" || is === "left") known.delete(id);
            else if (is === "listed" || known.has(id)) known.set(id, stamp ?? known.get(id) ?? 0);
          }
          list.apply(known.size, rooms);
          const expected = [...known].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([id]) => id);
          expect(Array.from({ length: list.count }, (_, index) => list.at(index))).toEqual(expected);
        }
      }),
    );
  });
});
