import { describe, expect, test } from "bun:test";
import type { StoredEvent } from "#src/protocol/events.ts";
import { deltaTimeline, firstAfter, initialTimeline, MAX_DELTA_EVENTS } from "#src/protocol/engine/timeline.ts";
import type { TimelineTail } from "#src/protocol/engine/room-data.ts";
import { FakeWorld } from "#test/support/fake-world.ts";
import { storedEvent } from "#test/support/stored-samples.ts";

const FOREVER = Number.MAX_SAFE_INTEGER;
const NEW = { since: null, upTo: FOREVER, isAsked: false };
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
    const cut = (limit: number, upTo: number) =>
      initialTimeline(world, nid, tailOf(run(1, 9)), limit, { ...NEW, upTo });
    expect(posOf(cut(2, FOREVER).events)).toEqual([8, 9]);
    expect(posOf(cut(2, 6).events)).toEqual([5, 6]);
    expect(posOf(cut(50, FOREVER).events)).toEqual([3, 4, 5, 6, 7, 8, 9]);
    expect(posOf(cut(0, FOREVER).events)).toEqual([]);
    expect(cut(2, FOREVER).isLimited).toBe(true);
  });

  test("[TL-2] nothing from before a gap is shown, and its token pages back", () => {
    const events = [...run(3, 5), storedEvent(1, 6, { gapBefore: true, prevBatch: "p6" }), storedEvent(1, 7)];
    const cut = initialTimeline(world, nid, tailOf(events), 10, NEW);
    expect(posOf(cut.events)).toEqual([6, 7]);
    expect(cut).toMatchObject({ isLimited: true, prevBatch: "p6" });
  });

  test("[TL-3] a timeline from the room's creation on is not limited", () => {
    const create = storedEvent(1, 3, { type: "m.room.create", stateKey: "" });
    const tail = tailOf([create, ...run(4, 5)], { isComplete: true });
    expect(initialTimeline(world, nid, tail, 10, NEW).isLimited).toBe(false);
    expect(initialTimeline(world, nid, tail, 2, NEW).isLimited).toBe(true);
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
    expect(posOf(initialTimeline(shy, room, tailOf(events), 3, NEW).events)).toEqual([2, 4]);
  });
});

describe("initialTimeline with live events", () => {
  const world = new FakeWorld();
  const nid = world.set(1);
  const cut = (since: number, limit: number, tail = tailOf(run(1, 9)), upTo = FOREVER, isAsked = false) =>
    posOf(initialTimeline(world, nid, tail, limit, { since, upTo, isAsked }).events);

  test("[TL-9] every live event is told, and the limit counts back from the first of them", () => {
    expect(cut(6, 2)).toEqual([6, 7, 8, 9]);
    expect(cut(6, 1)).toEqual([7, 8, 9]);
    expect(cut(6, 2, undefined, 8)).toEqual([6, 7, 8]);
    expect(cut(9, 2)).toEqual([8, 9]);
    expect(cut(6, 0)).toEqual([7, 8, 9]);
    expect(cut(9, 0)).toEqual([]);
  });

  test("[TL-15] where the client asked, the limit counts from before them", () => {
    expect(cut(6, 2, undefined, undefined, true)).toEqual([5, 6, 7, 8, 9]);
    expect(cut(6, 0, undefined, undefined, true)).toEqual([7, 8, 9]);
    expect(cut(9, 2, undefined, undefined, true)).toEqual([8, 9]);
  });

  test("[TL-10] too many live events, or not all of them there, are cut by the limit alone", () => {
    expect(cut(6, 2, tailOf(run(8, 9)))).toEqual([8, 9]);
    expect(cut(1, 2, tailOf(run(1, MAX_DELTA_EVENTS + 2)))).toEqual([MAX_DELTA_EVENTS + 1, MAX_DELTA_EVENTS + 2]);
    expect(cut(1, 2, tailOf(run(1, MAX_DELTA_EVENTS + 1)))).toHaveLength(MAX_DELTA_EVENTS + 1);
    // Behind a gap nothing is known of what went before.
    const gap = [storedEvent(1, 5, { gapBefore: true }), ...run(6, 9)];
    expect(cut(2, 2, tailOf(gap, { isComplete: true }))).toEqual([8, 9]);
  });

  test("[TL-11] what went before the own join is history, however new it is here", () => {
    const joined = new FakeWorld();
    const room = joined.set(1, { joinPos: 7 }, { sharedSince: 2 });
    const timeline = (limit: number) =>
      posOf(
        initialTimeline(joined, room, tailOf(run(1, 9)), limit, { since: 1, upTo: FOREVER, isAsked: false }).events,
      );
    expect(timeline(1)).toEqual([7, 8, 9]);
    expect(timeline(4)).toEqual([4, 5, 6, 7, 8, 9]);
    expect(timeline(50)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("[TL-34] of a room that was joined since, everything from the own join on is live, whatever is known from before", () => {
    const joined = new FakeWorld();
    const room = joined.set(1, { joinPos: 7 });
    const timeline = (first: number) =>
      posOf(
        initialTimeline(joined, room, tailOf(run(first, 9)), 1, { since: 1, upTo: FOREVER, isAsked: false }).events,
      );
    expect(timeline(5)).toEqual([7, 8, 9]);
    expect(timeline(7)).toEqual([7, 8, 9]);
    expect(timeline(8)).toEqual([9]);
  });
});

describe("prev_batch", () => {
  const world = new FakeWorld();
  const nid = world.set(1, { joinPos: 3 });
  const token = (events: StoredEvent[], limit: number, upTo = FOREVER) =>
    initialTimeline(world, nid, tailOf(events), limit, { ...NEW, upTo }).prevBatch;

  test("[TL-12] is the token nearest to the oldest event shown, never one from before it", () => {
    const events = run(1, 9).map(({ pos }) => storedEvent(1, pos, { prevBatch: pos % 3 === 0 ? `p${pos}` : null }));
    expect(token(events, 7)).toBe("p3");
    expect(token(events, 6)).toBe("p6");
    expect(token(events, 1)).toBe("p9");
    // One that came behind the position serves as well.
    expect(token(events, 1, 8)).toBe("p9");
    expect(token(run(1, 9), 3)).toBeNull();
  });

  test("[TL-13] is that of a hidden event when that is nearest, even when nothing is left to show", () => {
    const shy = new FakeWorld();
    const room = shy.set(1);
    shy.ignored.add("@rude:hs");
    const rude = storedEvent(1, 2, { sender: "@rude:hs", prevBatch: "p2" });
    const cut = (events: StoredEvent[], limit: number) => initialTimeline(shy, room, tailOf(events), limit, NEW);
    expect(cut([...run(1, 1), rude, ...run(3, 3)], 2)).toMatchObject({ prevBatch: "p2", isLimited: true });
    expect(cut([...run(1, 1), rude], 1)).toEqual({ events: [], prevBatch: "p2", isLimited: true });
  });

  test("[TL-14] the creator's own join is the beginning", () => {
    const create = storedEvent(1, 2, { type: "m.room.create", stateKey: "", prevBatch: "p2" });
    const cut = (limit: number) =>
      initialTimeline(world, nid, tailOf([create, ...run(3, 5)], { isComplete: true }), limit, NEW);
    expect(posOf(cut(10).events)).toEqual([3, 4, 5]);
    expect(cut(10)).toMatchObject({ isLimited: false, prevBatch: null });
    expect(cut(2).isLimited).toBe(true);
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
