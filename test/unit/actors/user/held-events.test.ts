import { describe, expect, test } from "bun:test";
import type { RoomNid } from "#src/protocol/ids.ts";
import { HeldEvents } from "#actors/user/held-events.ts";

const nid = (number: number): RoomNid => number as RoomNid;

describe("HeldEvents", () => {
  test("[TXN-15] a room is shown up to its first event that waits; what is released behind it changes nothing", () => {
    const held = new HeldEvents();
    held.hold(nid(1), { eventId: "$a", pos: 5, untilMs: 1000 });
    held.hold(nid(1), { eventId: "$b", pos: 7, untilMs: 1200 });
    held.hold(nid(2), { eventId: "$c", pos: 9, untilMs: 1100 });
    expect([held.from(nid(1)), held.from(nid(2)), held.from(nid(3))]).toEqual([5, 9, null]);
    expect(held.release(new Set(["$b", "$unknown"]))).toEqual([]);
    expect(held.release(new Set())).toEqual([]);
    expect(held.release(new Set(["$a"]))).toEqual([nid(1)]);
    expect(held.from(nid(1))).toBeNull();
    held.releaseRoom(nid(2));
    expect(held.nextMs).toBeNull();
  });

  test("[TXN-16] time lets go what has waited long enough, and says when to look again", () => {
    const held = new HeldEvents();
    expect(held.nextMs).toBeNull();
    held.hold(nid(1), { eventId: "$a", pos: 5, untilMs: 1000 });
    held.hold(nid(1), { eventId: "$b", pos: 7, untilMs: 1200 });
    held.hold(nid(2), { eventId: "$c", pos: 9, untilMs: 1100 });
    expect(held.nextMs).toBe(1000);
    expect(held.releaseDue(999)).toEqual([]);
    expect(held.releaseDue(1000)).toEqual([nid(1)]);
    expect([held.from(nid(1)), held.nextMs]).toEqual([7, 1100]);
    expect(held.releaseDue(5000)).toEqual([nid(1), nid(2)]);
  });

  test("[TXN-17] a program that sends to many rooms, or very much to one, is not waited for", () => {
    const held = new HeldEvents();
    for (let room = 1; room <= 17; room += 1) held.hold(nid(room), { eventId: `$${room}`, pos: room, untilMs: 1000 });
    expect([held.from(nid(16)), held.from(nid(17))]).toEqual([16, null]);
    for (let pos = 20; pos < 200; pos += 1) held.hold(nid(1), { eventId: `$x${pos}`, pos, untilMs: 1000 });
    const first = Array.from({ length: 99 }, (_, index) => `$x${20 + index}`);
    held.release(new Set(["$1", ...first]));
    expect(held.from(nid(1))).toBeNull();
  });
});
