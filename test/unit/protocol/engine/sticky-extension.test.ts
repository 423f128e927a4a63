import { describe, expect, test } from "bun:test";
import { NO_STICKY_PROGRESS } from "#src/protocol/engine/sticky-extension.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import { StickyAsking } from "#test/support/sticky-asking.ts";

describe("what is told of sticky events", () => {
  test("[STE-25] an own event that waits for its transaction id, and what follows in its room, is told when it has waited, though tokens go on", () => {
    const asked = new StickyAsking();
    asked.add(1, 11);
    asked.add(1, 12, asked.world.userId);
    asked.add(2, 13);
    asked.world.held.set(1 as RoomNid, 12);
    expect(asked.ask()).toEqual(["$11", "$13"]);
    expect(asked.since).toStartWith("sticky_13");
    asked.add(1, 14);
    expect(asked.ask()).toEqual([]);
    asked.world.held.clear();
    expect(asked.ask()).toEqual(["$12", "$14"]);
    expect(asked.ask()).toEqual([]);
  });

  test("[STE-26] what is told late comes within the limit too, in order, and none is told twice or left out", () => {
    const asked = new StickyAsking();
    asked.listed.delete(2);
    for (let pos = 11; pos <= 15; pos += 1) asked.add(2, pos);
    asked.add(1, 16);
    expect(asked.ask()).toEqual(["$16"]);
    asked.listed.add(2);
    asked.add(1, 17);
    expect(asked.ask({ limit: 2 })).toEqual(["$11", "$12"]);
    expect(asked.hasMore).toBe(true);
    expect(asked.ask({ limit: 2, isLost: true })).toEqual(["$13", "$14"]);
    expect(asked.ask({ limit: 2 })).toEqual(["$13", "$14"]);
    expect(asked.ask({ limit: 2 })).toEqual(["$15", "$17"]);
    expect(asked.hasMore).toBe(false);
    expect(asked.ask({ limit: 2 })).toEqual([]);
  });

  test("[STE-27] those that were there before the user joined come with the join, within the limit", () => {
    const asked = new StickyAsking();
    for (const pos of [11, 12, 13]) asked.add(2, pos);
    asked.world.set(2, { membership: "leave" });
    asked.add(1, 14);
    expect(asked.ask()).toEqual(["$14"]);
    asked.world.set(2, { membership: "join", joinPos: 20 });
    asked.upTo = 20;
    expect(asked.ask({ limit: 2 })).toEqual(["$11", "$12"]);
    expect(asked.since).toBe("sticky_20.12");
    expect(asked.ask({ limit: 2 })).toEqual(["$13"]);
  });

  test("[STE-28] there may be more to tell when a client comes with another token than it was given, and otherwise not", () => {
    const asked = new StickyAsking();
    expect(asked.hasMore).toBe(true);
    asked.ask();
    expect(asked.hasMore).toBe(false);
    asked.add(1, 11);
    asked.ask({ limit: 0 });
    expect(asked.hasMore).toBe(false);
    asked.ask();
    expect(asked.hasMore).toBe(false);
    asked.since = "sticky_3";
    expect(asked.hasMore).toBe(true);
  });

  test("[STE-29] what a client is told of a room that it does not know comes again when it gets to know it, and nothing else does", () => {
    const asked = new StickyAsking();
    asked.add(1, 11);
    expect(asked.ask()).toEqual(["$11"]);
    asked.known.delete(1);
    for (const pos of [12, 13, 14]) asked.add(1, pos);
    expect(asked.ask()).toEqual(["$12", "$13", "$14"]);
    expect(asked.ask()).toEqual([]);
    asked.known.add(1);
    // Within the limit, as everything.
    expect(asked.ask({ limit: 2 })).toEqual(["$12", "$13"]);
    expect(asked.ask({ limit: 2, isLost: true })).toEqual(["$14"]);
    expect(asked.ask()).toEqual(["$14"]);
    expect(asked.ask()).toEqual([]);
    expect(asked.since).toBe("sticky_14");
  });

  test("[STE-29] a room that is in no list while its client does not know it is told whole when it is", () => {
    const asked = new StickyAsking();
    asked.known.delete(1);
    asked.add(1, 11);
    expect(asked.ask()).toEqual(["$11"]);
    asked.listed.delete(1);
    asked.add(1, 12);
    asked.add(2, 13);
    expect(asked.ask()).toEqual(["$13"]);
    asked.listed.add(1);
    asked.known.add(1);
    expect(asked.ask()).toEqual(["$11", "$12"]);
    expect(asked.ask()).toEqual([]);
  });

  test("[STE-33] a token says all there is to know of its client: where memory is lost, nothing is left out or told twice", () => {
    const asked = new StickyAsking();
    asked.listed.delete(2);
    asked.add(2, 11);
    asked.add(1, 12);
    asked.add(1, 13, asked.world.userId);
    asked.world.held.set(1 as RoomNid, 13);
    expect(asked.ask()).toEqual(["$12"]);
    asked.progress = NO_STICKY_PROGRESS;
    asked.world.held.clear();
    asked.listed.add(2);
    expect(asked.ask({ limit: 1 })).toEqual(["$11"]);
    asked.progress = NO_STICKY_PROGRESS;
    expect(asked.ask()).toEqual(["$13"]);
    asked.progress = NO_STICKY_PROGRESS;
    expect(asked.ask()).toEqual([]);
    expect(asked.since).toBe("sticky_13");
  });

  test("[STE-4] a token that is ahead is replaced, also where there is nothing to tell", () => {
    const asked = new StickyAsking();
    asked.since = "sticky_99~1.1r";
    expect(asked.ask()).toEqual([]);
    expect(asked.since).toBe("sticky_0");
    asked.since = "sticky_99";
    asked.add(1, 11);
    expect(asked.ask()).toEqual(["$11"]);
    expect([asked.since, asked.hasMore]).toEqual(["sticky_11", false]);
  });
});
