import { describe, expect, test } from "bun:test";
import type { StoredEvent } from "#src/protocol/events.ts";
import { deltaTimeline, firstAfter, initialTimeline, MAX_DELTA_EVENTS } from "#src/protocol/engine/timeline.ts";
import type { TimelineTail } from "#src/protocol/engine/room-data.ts";
import { FakeWorld } from "#test/support/fake-world.ts";
import { storedEvent } from "#test/support/stored-samples.ts";

const FOREVER = Number.MAX_SAFE_INTEGER;
const tailOf = (events: StoredEvent[], parts: Partial<TimelineTail> = {}): TimelineTail => ({
  events,
  coversFrom: (events[0]?.pos ?? 1) - 1,
  isComplete: false,
  ...parts,
});
const run = (from: number, to: number): StoredEvent[] =>
  Array.from({ length: to - from + 1 }, (_, index) => storedEvent(1, from + index));
const posOf = (events: readonly StoredEvent[] | null): number[] | undefined => events?.map(({ pos }) => pos);

describe("initialTimeline", () => {
  const world = new FakeWorld();
  const nid = world.set(1, { joinPos: 3 });

  test("[TL-1] takes the newest events up to the limit and the position, none from before the join", () => {
    const cut = (limit: number, upTo: number) => initialTimeline(world, nid, tailOf(run(1, 9)), limit, upTo);
    expect(posOf(cut(2, FOREVER).events)).toEqual([8, 9]);
    expect(posOf(cut(2, 6).events)).toEqual([5, 6]);
    expect(posOf(cut(50, FOREVER).events)).toEqual([3, 4, 5, 6, 7, 8, 9]);
    expect(posOf(cut(0, FOREVER).events)).toEqual([]);
    expect(cut(2, FOREVER).isLimited).toBe(true);
  });

  test("[TL-2] nothing from before a gap is shown, and its token pages back", () => {
    const events = [...run(3, 5), storedEvent(1, 6, { gapBefore: true, prevBatch: "p6" }), storedEvent(1, 7)];
    const cut = initialTimeline(world, nid, tailOf(events), 10, FOREVER);
    expect(posOf(cut.events)).toEqual([6, 7]);
    expect(cut).toMatchObject({ isLimited: true, prevBatch: "p6" });
  });

  test("[TL-3] a timeline from the room's creation on is not limited", () => {
    const create = storedEvent(1, 3, { type: "m.room.create", stateKey: "" });
    const tail = tailOf([create, ...run(4, 5)], { isComplete: true });
    expect(initialTimeline(world, nid, tail, 10, FOREVER).isLimited).toBe(false);
    expect(initialTimeline(world, nid, tail, 2, FOREVER).isLimited).toBe(true);
  });

  test("[TL-4] messages of ignored senders count and are not shown; their state is", () => {
    const shy = new FakeWorld();
    const room = shy.set(1);
    shy.ignored.add("@rude:hs");
    const events = [
      ...run(1, 2),
      storedEvent(1, 3, { sender: "@rude:hs" }),
      storedEvent(1, 4, { sender: "@rude:hs", type: "m.room.topic", stateKey: "" }),
    ];
    expect(posOf(initialTimeline(shy, room, tailOf(events), 3, FOREVER).events)).toEqual([2, 4]);
  });
});

describe("deltaTimeline", () => {
  test("[TL-5] takes everything between the positions", () => {
    const world = new FakeWorld();
    const nid = world.set(1);
    expect(posOf(deltaTimeline(world, nid, tailOf(run(1, 9)), 4, 7))).toEqual([5, 6, 7]);
    expect(posOf(deltaTimeline(world, nid, tailOf(run(1, 9)), 9, 9))).toEqual([]);
  });

  test("[TL-6] too much, or not all of it there, has to be sent anew", () => {
    const world = new FakeWorld();
    const nid = world.set(1);
    expect(deltaTimeline(world, nid, tailOf(run(5, 9)), 3, 9)).toBeNull();
    expect(deltaTimeline(world, nid, tailOf(run(1, MAX_DELTA_EVENTS + 1)), 0, FOREVER)).toBeNull();
    expect(deltaTimeline(world, nid, tailOf(run(1, MAX_DELTA_EVENTS)), 0, FOREVER)).toHaveLength(MAX_DELTA_EVENTS);
  });

  test("[TL-7] who has left gets what is there of the end, however much happened since", () => {
    const world = new FakeWorld();
    const nid = world.set(1, { membership: "leave", leftPos: 6 });
    expect(posOf(deltaTimeline(world, nid, tailOf(run(5, 400)), 3, FOREVER))).toEqual([5, 6]);
    world.set(1, { membership: "leave", joinPos: 0, leftPos: null });
    expect(deltaTimeline(world, nid, tailOf(run(5, 400)), 3, FOREVER)).toEqual([]);
  });
});

test("[TL-8] the first event after a position is found at both ends and in between", () => {
  const events = [storedEvent(1, 2), storedEvent(1, 4), storedEvent(1, 6)];
  expect([0, 1, 2, 3, 4, 5, 6, 7].map((pos) => firstAfter(events, pos))).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
});
