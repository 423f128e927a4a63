import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import { DIRTY } from "#src/protocol/engine/world.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import { containsIndex, type Range, rangesProblem } from "#src/protocol/ranges.ts";
import type { FiltersRequest, ListRequest } from "#src/protocol/request.ts";
import { FakeWorld } from "#test/support/fake-world.ts";
import { NaiveList } from "#test/support/naive-client.ts";

const ROOMS = 14;
const KEYS = ["one", "two"] as const;
const NAMES = ["ant", "bee", "cat", "dog"] as const;

/** Windows that may touch, be one index wide, lie beyond the list, and come in any order. */
const windows = fc.array(fc.tuple(fc.nat(ROOMS), fc.nat(3)), { maxLength: 4 }).map((picks) => {
  const ranges: [number, number][] = [];
  for (const [start, extent] of picks) {
    const range: [number, number] = [start, start + extent];
    if (rangesProblem([...ranges, range]) === null) ranges.push(range);
  }
  return ranges;
});
const sorts = fc.constantFrom<string[]>(["by_recency"], ["by_name"], ["by_notification_level", "by_name"]);
const filters = fc.constantFrom<FiltersRequest>(
  {},
  { is_encrypted: true },
  { is_encrypted: false, room_name_like: "e" },
  { not_room_types: ["m.space"] },
);

type Step =
  | { kind: "bump"; room: number; ts: number }
  | { kind: "rename"; room: number; name: number }
  | { kind: "encrypt"; room: number; isEncrypted: boolean }
  | { kind: "count"; room: number; count: number }
  /** `isTold`: the connection learns of it at once, or only later. */
  | { kind: "leave"; room: number; isTold: boolean }
  | { kind: "join"; room: number }
  | { kind: "ask"; list: number; request: ListRequest }
  | { kind: "respond" };

const room = fc.integer({ min: 1, max: ROOMS });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("bump" as const), room, ts: fc.nat(60) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rename" as const), room, name: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("encrypt" as const), room, isEncrypted: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("count" as const), room, count: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("leave" as const), room, isTold: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("join" as const), room }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("ask" as const),
      list: fc.nat(KEYS.length - 1),
      request: fc.record({ ranges: windows, sort: sorts, filters }, { requiredKeys: [] }),
    }),
  },
  { weight: 5, arbitrary: fc.constant({ kind: "respond" as const }) },
);

/** A client that knows of its lists what operations said, and of rooms what came whole. */
class Client {
  readonly lists = new Map(KEYS.map((key) => [key as string, new NaiveList<RoomNid>()]));
  readonly rooms = new Set<RoomNid>();
}

class Play {
  readonly world = new FakeWorld();
  readonly engine = new ConnectionEngine(10, 1);
  readonly client = new Client();
  readonly ranges = new Map<string, readonly Range[]>();
  #pos = 10;
  #seq = 0;
  readonly #untold = new Set<RoomNid>();

  constructor(first: readonly ListRequest[]) {
    for (let nid = 1; nid <= ROOMS; nid += 1) this.world.set(nid, {}, { name: NAMES[nid % 4] ?? "" });
    for (const [index, request] of first.entries()) this.ask(index, request);
    this.respond();
  }

  ask(index: number, request: ListRequest): void {
    const key = KEYS[index] ?? "one";
    if (request.ranges !== undefined) this.ranges.set(key, request.ranges);
    this.engine.applyRequest(this.world, { lists: { [key]: request } });
    // Requests are answered one by one.
    this.respond();
  }

  respond(): void {
    this.#pos += 1;
    const draft = this.engine.collect(this.world, this.#pos);
    this.#seq += 1;
    this.engine.noteSent(draft, this.#seq, new Map());
    for (const { nid, kind } of draft.rooms.values()) if (kind === "initial") this.client.rooms.add(nid);
    for (const { key, ops, count } of draft.lists) {
      const list = this.client.lists.get(key);
      list?.apply(ops);
      for (const op of ops) {
        if (op.op === "INSERT") expect(this.client.rooms.has(op.room)).toBe(true);
        if (op.op === "SYNC") for (const nid of op.rooms) expect(this.client.rooms.has(nid)).toBe(true);
      }
      const ranges = this.ranges.get(key) ?? [];
      // Nothing is left behind where the server shows nothing.
      const inWindows = Array.from({ length: count }, (_, index) => index).filter((index) =>
        containsIndex(ranges, index),
      );
      expect([...(list?.rooms.keys() ?? [])].sort((a, b) => a - b)).toEqual(inWindows);
    }
  }

  take(item: Step): void {
    switch (item.kind) {
      case "bump":
        this.world.set(item.room, {}, { latestTs: item.ts * 500 });
        return this.#dirty(item.room, DIRTY.event);
      case "rename":
        this.world.set(item.room, {}, { name: NAMES[item.name] ?? "" });
        return this.#dirty(item.room, DIRTY.event);
      case "encrypt":
        this.world.set(item.room, {}, { isEncrypted: item.isEncrypted });
        return this.#dirty(item.room, DIRTY.place);
      case "count":
        this.world.set(item.room, { notificationCount: item.count });
        return this.#dirty(item.room, DIRTY.counts);
      case "leave":
        this.world.set(item.room, { membership: "leave", leftPos: this.#pos + 1, memberPos: this.#pos + 1 });
        if (item.isTold) return this.#dirty(item.room, DIRTY.standing | DIRTY.event);
        this.#untold.add(item.room as RoomNid);
        return;
      case "join":
        if (this.world.standing(item.room as RoomNid)?.membership === "join") return;
        this.world.set(item.room, {
          membership: "join",
          joinPos: this.#pos + 1,
          memberPos: this.#pos + 1,
          leftPos: null,
        });
        return this.#dirty(item.room, DIRTY.standing | DIRTY.event);
      case "ask":
        return this.ask(item.list, item.request);
      case "respond":
        return this.respond();
    }
  }

  /** What was not told is; afterwards client and a connection that is new agree. */
  end(): void {
    for (const nid of this.#untold) this.#dirty(nid, DIRTY.standing | DIRTY.event);
    this.respond();
    const anew = new ConnectionEngine(this.#pos, 2);
    anew.applyRequest(this.world, { lists: Object.fromEntries(this.#params()) });
    for (const { key, count, ops } of anew.collect(this.world, this.#pos).lists) {
      const fresh = new NaiveList<RoomNid>();
      fresh.apply(ops);
      const ranges = this.ranges.get(key) ?? [];
      expect(this.client.lists.get(key)?.window(ranges, count)).toEqual(fresh.window(ranges, count));
    }
  }

  #params(): [string, ListRequest][] {
    return Object.entries(this.engine.params.lists).map(([key, { ranges, sort, filters: wanted }]) => [
      key,
      { ranges: ranges.map(([start, end]): [number, number] => [start, end]), sort, filters: wanted },
    ]);
  }

  #dirty(nid: number, bits: number): void {
    this.#pos += 1;
    this.#untold.delete(nid as RoomNid);
    this.engine.markDirty(nid as RoomNid, bits);
  }
}

describe("the lists of a connection", () => {
  test("[OPS-24] replayed on a naive client are the server's after every response, and every room they name came with its data", () => {
    const first = fc.tuple(
      fc.record({ ranges: windows, sort: sorts, filters }),
      fc.record({ ranges: windows, sort: sorts, filters }),
    );
    fc.assert(
      fc.property(first, fc.array(step, { maxLength: 50, size: "large" }), (requests, steps) => {
        const play = new Play(requests);
        for (const item of steps) play.take(item);
        play.end();
      }),
      { numRuns: 800 },
    );
  });
});
