import { describe, expect, test } from "bun:test";
import type { RoomNid } from "#src/protocol/ids.ts";
import { lifeOf, newLife, provenExtensions, provenRooms, roomsSnapshot } from "#src/protocol/engine/proof.ts";
import { type Asked, askedAfter, covers } from "#src/protocol/engine/asked.ts";

const snapshot = {
  generation: 7,
  rooms: [
    [1 as RoomNid, 2],
    [2 as RoomNid, 5],
  ] satisfies [RoomNid, number][],
  extensions: [
    ["e2ee", 1],
    ["typing", 6],
  ] satisfies [string, number][],
};

describe("what a pos proves", () => {
  test("[CON-50] rooms sent whole no later than its response, where nothing was given up before it that is written down", () => {
    expect([...provenRooms(snapshot, { seq: 4, streamPos: 10, generation: 7 }).keys()]).toEqual([1 as RoomNid]);
    expect(provenRooms(snapshot, { seq: 5, streamPos: 10, generation: 7 }).size).toBe(2);
    expect(provenRooms(snapshot, { seq: 5, streamPos: 10, generation: 8 }).size).toBe(0);
    // Written down later: what was given up meanwhile is not in it.
    expect(provenRooms(snapshot, { seq: 5, streamPos: 10, generation: 6 }).size).toBe(2);
    expect([...provenRooms(snapshot, { seq: 4, streamPos: 10, generation: 6 }).keys()]).toEqual([1 as RoomNid]);
  });

  test("[CON-113] of another life, only from the very position it was taken up from", () => {
    const next = { ...snapshot, generation: newLife(0.5), takenUpFrom: [5, 8] satisfies [number, number] };
    const proven = (seq: number, generation: number): RoomNid[] => [
      ...provenRooms(next, { seq, streamPos: 10, generation }).keys(),
    ];
    expect(proven(5, 8)).toEqual([1 as RoomNid, 2 as RoomNid]);
    expect(proven(5, 7)).toEqual([]);
    expect(proven(4, 8)).toEqual([]);
    expect(proven(5, newLife(0.5))).toEqual([1 as RoomNid, 2 as RoomNid]);
    expect(proven(5, newLife(0.75))).toEqual([]);
  });

  test("[CON-110] what was asked for of a room is proven with it, once for all that were asked for alike", () => {
    const asked = (timelineLimit: number, ...requiredState: [string, string][]) => ({ timelineLimit, requiredState });
    const rooms = roomsSnapshot([
      [1 as RoomNid, { sinceSeq: 2, asked: asked(3, ["a", ""]) }],
      [2 as RoomNid, { sinceSeq: 2, asked: asked(3, ["a", ""]) }],
      [3 as RoomNid, { sinceSeq: 2, asked: asked(1, ["a", ""]) }],
    ]);
    expect(rooms.asked).toHaveLength(2);
    const proven = provenRooms({ ...snapshot, ...rooms }, { seq: 4, streamPos: 10, generation: 7 });
    expect([...proven.values()].map((room) => room.asked.timelineLimit)).toEqual([3, 3, 1]);
    expect(provenRooms(snapshot, { seq: 4, streamPos: 10, generation: 7 }).get(1 as RoomNid)?.asked).toEqual(asked(0));
  });

  test("[CON-110] it grows with what is sent, and shrinks to what is still wanted", () => {
    const wide: Asked = { timelineLimit: 5, requiredState: [["*", "*"]] };
    const narrow: Asked = { timelineLimit: 9, requiredState: [["a", ""]] };
    const sent = (kind: "initial" | "delta", of = narrow) => ({
      kind,
      config: { ...of, includeHeroes: false, includeOldRooms: null },
      withTimeline: true,
      withState: true,
    });
    const both = { timelineLimit: 9, requiredState: wide.requiredState };
    expect(askedAfter(wide, sent("initial"), both)).toEqual(both);
    expect(covers(both, wide) && covers(both, narrow)).toBe(true);
    expect(covers(wide, narrow) || covers(narrow, wide)).toBe(false);
    expect(askedAfter(both, sent("delta"), narrow)).toEqual(narrow);
    expect(askedAfter(wide, sent("delta"), both)).toEqual(wide);
  });

  test("[CON-51] extensions that had spoken by then", () => {
    expect([...provenExtensions(snapshot, { seq: 5, streamPos: 10, generation: 9 }).keys()]).toEqual(["e2ee"]);
  });

  test("[CON-52] generations of two lives never meet, and fit a number", () => {
    const last = newLife(1 - Number.EPSILON / 2);
    expect(Number.isSafeInteger(last + 1000)).toBe(true);
    expect(lifeOf(last)).not.toBe(lifeOf(newLife(0.5)));
    expect(lifeOf(newLife(0.25) + 1000)).toBe(lifeOf(newLife(0.25)));
  });
});
