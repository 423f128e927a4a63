import { describe, expect, test } from "bun:test";
import type { RoomNid } from "#src/protocol/ids.ts";
import { lifeOf, newLife, provenExtensions, provenRooms } from "#src/protocol/engine/proof.ts";

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
  test("[CON-50] rooms sent whole no later than its response, of the same generation", () => {
    expect([...provenRooms(snapshot, { seq: 4, streamPos: 10, generation: 7 }).keys()]).toEqual([1 as RoomNid]);
    expect(provenRooms(snapshot, { seq: 5, streamPos: 10, generation: 7 }).size).toBe(2);
    expect(provenRooms(snapshot, { seq: 5, streamPos: 10, generation: 8 }).size).toBe(0);
    expect(provenRooms(snapshot, { seq: 5, streamPos: 10, generation: 6 }).size).toBe(0);
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
