import { describe, expect, test } from "bun:test";
import { ForkLog } from "#src/protocol/engine/fork-log.ts";
import { type HeldRoom, HeldRooms, LIVE, UNSENT } from "#src/protocol/engine/held-room.ts";
import { provenHeldExtensions, provenHeldRooms, rememberedSnapshot } from "#src/protocol/engine/remembered-proof.ts";
import type { StateSelection, StateTuple } from "#src/protocol/required-state.ts";
import {
  compileSimplifiedState,
  excluded,
  LAZY_MEMBERS,
  literal,
  uniteAlternatives,
} from "#src/protocol/simplified-state.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import { disjointRanges } from "#src/protocol/ranges.ts";

const nid = (value: number): RoomNid => value as RoomNid;
const held = (parts: Partial<HeldRoom> = {}): HeldRoom => ({ ...UNSENT, upTo: LIVE, ...parts });
const response = (seq: number): Parameters<ForkLog["add"]>[0] => ({
  seq,
  pos: `${seq}`,
  body: new Uint8Array(),
  rooms: 0,
  ops: 0,
});

describe("ForkLog", () => {
  test("[SSS-63] a position is gone on from, answered anew, given up or unknown", () => {
    const log = new ForkLog(4);
    expect(log.resolve(4)).toEqual({ kind: "process", replay: null });
    log.add(response(5));
    expect(log.resolve(4)).toEqual({ kind: "fork" });
    log.add(response(6));
    expect(log.resolve(5)).toEqual({ kind: "rewind" });
    expect(log.resolve(6)).toEqual({ kind: "advance" });
    for (const gone of [3, 4, 5, 7]) expect([gone, log.resolve(gone).kind]).toEqual([gone, "unknown"]);
    expect([log.nextSeq, log.ackedSeq]).toEqual([7, 6]);
  });
});

describe("HeldRooms", () => {
  test("[SSS-64] takes back all that changed since it was settled, and no more", () => {
    const rooms = new HeldRooms();
    const [a, b] = [held({ timelineLimit: 1 }), held({ timelineLimit: 2 })];
    rooms.set(nid(1), a);
    rooms.set(nid(2), b);
    expect(rooms.settle()).toBe(true);
    expect(rooms.settle()).toBe(false);
    rooms.set(nid(1), held({ upTo: 7 }));
    rooms.set(nid(1), held({ upTo: 8 }));
    rooms.delete(nid(2));
    rooms.set(nid(3), held());
    expect([...rooms.settled()].map(([room]) => room as number).sort((x, y) => x - y)).toEqual([1, 2]);
    expect([...rooms.takeBack()].map(Number).sort((x, y) => x - y)).toEqual([1, 2, 3]);
    expect([rooms.get(nid(1)), rooms.get(nid(2)), rooms.get(nid(3))]).toEqual([a, b, undefined]);
    // What was written of it proves nothing any more.
    expect(rooms.settle()).toBe(true);
    expect(rooms.settle()).toBe(false);
  });

  test("[SSS-65] a room that is merely told its news need not be written down again", () => {
    const rooms = new HeldRooms();
    const room = held();
    rooms.set(nid(1), room);
    rooms.settle();
    rooms.set(nid(1), { ...room, lazyMembers: new Set(["@a"]) });
    expect(rooms.settle()).toBe(false);
    rooms.set(nid(1), { ...room, receiptsUpTo: 3 });
    expect(rooms.settle()).toBe(true);
  });
});

describe("provenHeldRooms", () => {
  const rooms: [RoomNid, HeldRoom][] = [
    [nid(1), held({ timelineLimit: 5, requiredState: [["m.room.name", ""]], receiptsUpTo: 60 })],
    [nid(2), held({ upTo: 80 })],
  ];
  const remembered = rememberedSnapshot(rooms, { seq: 3, streamPos: 100 });
  const upTo = (claim: { seq: number; streamPos: number; generation: number }): number[] =>
    [...provenHeldRooms({ generation: 9, remembered }, claim).values()].map((room) => room.upTo);

  test("[SSS-66] a position proves rooms as far as nothing fell behind since they were written down", () => {
    expect(upTo({ seq: 3, streamPos: 120, generation: 9 })).toEqual([LIVE, 80]);
    expect(upTo({ seq: 5, streamPos: 120, generation: 10 })).toEqual([100, 80]);
    expect(upTo({ seq: 5, streamPos: 70, generation: 10 })).toEqual([70, 70]);
    expect(upTo({ seq: 2, streamPos: 90, generation: 9 })).toEqual([]);
    const [first] = provenHeldRooms({ generation: 9, remembered }, { seq: 3, streamPos: 120, generation: 9 }).values();
    expect(first).toMatchObject({
      timelineLimit: 5,
      requiredState: [["m.room.name", ""]],
      receiptsUpTo: 60,
      head: null,
    });
    expect(provenHeldRooms({ generation: 9 }, { seq: 3, streamPos: 1, generation: 9 }).size).toBe(0);
  });

  test("[SSS-94] what was pending is proven by the position of its response, and by later ones if nothing was taken back", () => {
    const pending = {
      seq: 4,
      generation: 11,
      extensions: [["receipts", 4] as [string, number]],
      rooms: [
        [nid(2), null],
        [nid(3), held({ timelineLimit: 5, requiredState: rooms[0]?.[1].requiredState ?? [] })],
        [nid(1), held({ upTo: 90 })],
      ] as [RoomNid, HeldRoom | null][],
    };
    const snapshot = {
      generation: 9,
      rooms: [],
      extensions: [],
      remembered: rememberedSnapshot(rooms, { seq: 3, streamPos: 100 }, pending),
    };
    const proven = (seq: number, generation: number): unknown[] => {
      const claim = { seq, streamPos: 120, generation };
      const held = provenHeldRooms(JSON.parse(JSON.stringify(snapshot)), claim);
      return [[...held].map(([room, { upTo: pos }]) => [room, pos]), [...provenHeldExtensions(snapshot, claim).keys()]];
    };
    const arrived = [
      [
        [1, 90],
        [3, LIVE],
      ],
      ["receipts"],
    ];
    expect(proven(4, 11)).toEqual(arrived);
    expect(proven(7, 11)).toEqual(arrived);
    expect(proven(3, 9)).toEqual([
      [
        [1, LIVE],
        [2, 80],
      ],
      [],
    ]);
    expect(proven(5, 12)).toEqual([
      [
        [1, 100],
        [2, 80],
      ],
      [],
    ]);
    expect(snapshot.remembered.configs).toHaveLength(2);
  });
});

describe("compileSimplifiedState", () => {
  const compile = (...entries: [string, string][]): ReturnType<typeof compileSimplifiedState> =>
    compileSimplifiedState(entries, "@me:hs");

  test("[SSS-67] matches types and keys, any of them, and oneself", () => {
    const state = compile(["m.room.name", ""], ["m.space.child", "*"], ["*", "key"], ["m.room.member", "$ME"]);
    for (const [type, key] of [
      ["m.room.name", ""],
      ["m.space.child", "!x"],
      ["m.other", "key"],
      ["m.room.member", "@me:hs"],
    ] as const) {
      expect([type, key, state.matches(type, key)]).toEqual([type, key, true]);
    }
    for (const [type, key] of [
      ["m.room.name", "x"],
      ["m.other", ""],
      ["m.room.member", "@you:hs"],
    ] as const) {
      expect([type, key, state.matches(type, key)]).toEqual([type, key, false]);
    }
    expect(state.lazyMembers).toBe(false);
    expect(compile(["m.room.member", "$LAZY"]).lazyMembers).toBe(true);
    expect(compile(["*", "*"], ["m.room.member", "$LAZY"])).toMatchObject({
      lazyMembers: false,
      entries: [["*", "*"]],
    });
  });

  test("[V4-20] exclusions take away, and lazy members stay lazy beside everything", () => {
    const state = compile(["*", "*"], excluded(["m.room.topic", "*"]), LAZY_MEMBERS, ["m.room.member", "@you:hs"]);
    expect(state.lazyMembers).toBe(true);
    expect(state.matches("m.room.topic", "")).toBe(false);
    expect(state.matches("m.room.name", "")).toBe(true);
    expect(state.matches("m.room.member", "@you:hs")).toBe(true);
    expect(state.matches("m.room.member", "@else:hs")).toBe(false);
    expect(compile([literal("*"), ""]).matches("m.room.name", "")).toBe(false);
    expect(compile(["m.room.member", literal("$ME")]).matches("m.room.member", "@me:hs")).toBe(false);
  });

  test("[V4-30] what one config excludes the other one may want, and members are lazy where none wants all of them", () => {
    const both = (a: StateTuple[], b: StateTuple[]): StateSelection => compile(...uniteAlternatives(a, b));
    const withoutName: StateTuple[] = [["*", "*"], excluded(["m.room.name", "*"])];
    const state = both(withoutName, [["m.room.name", ""]]);
    expect([state.matches("m.room.name", ""), state.matches("m.room.name", "x")]).toEqual([true, false]);
    expect(state.matches("m.room.topic", "")).toBe(true);
    expect(both([["*", "*"]], [["m.room.name", ""], LAZY_MEMBERS])).toMatchObject({ lazyMembers: false });
    const lazy = both([["m.room.topic", ""], LAZY_MEMBERS], [["m.room.name", ""]]);
    expect(lazy).toMatchObject({ lazyMembers: true });
    expect([lazy.matches("m.room.topic", ""), lazy.matches("m.room.name", "")]).toEqual([true, true]);
    expect(lazy.matches("m.room.member", "@you:hs")).toBe(false);
  });

  test("[V4-31] configs that take away the same are one, however often they are put together", () => {
    const a: StateTuple[] = [["m.room.name", ""], excluded(["*", "x"]), LAZY_MEMBERS];
    const b: StateTuple[] = [["m.room.topic", ""], LAZY_MEMBERS, excluded(["*", "x"])];
    const union = uniteAlternatives(a, b);
    expect(union).toHaveLength(4);
    for (const part of [a, b, union, []]) expect(uniteAlternatives(union, part)).toEqual(union);
    const three = uniteAlternatives(union, [["m.room.create", ""]]);
    for (const part of [a, b, three]) expect(uniteAlternatives(three, part)).toEqual(three);
  });
});

describe("disjointRanges", () => {
  test("[SSS-68] windows that touch or overlap are one, and empty ones none", () => {
    expect(
      disjointRanges([
        [5, 9],
        [0, 2],
        [3, 3],
        [8, 12],
        [7, 1],
      ]),
    ).toEqual([
      [0, 3],
      [5, 12],
    ]);
    expect(
      disjointRanges([
        [2, 4],
        [6, 7],
      ]),
    ).toEqual([
      [2, 4],
      [6, 7],
    ]);
    expect(disjointRanges([])).toEqual([]);
  });
});
