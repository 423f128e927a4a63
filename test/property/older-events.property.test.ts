import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { withOlder } from "#src/protocol/engine/older-events.ts";
import { newestTimeline } from "#src/protocol/engine/simplified-timeline.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import { FakeWorld } from "#test/support/fake-world.ts";
import { storedEvent } from "#test/support/stored-samples.ts";

const FOREVER = Number.MAX_SAFE_INTEGER;

/** A room's events from its creation on, of which all from `from` on are stored, and the homeserver's page before it. */
const room = fc.record({
  length: fc.integer({ min: 2, max: 30 }),
  stored: fc.integer({ min: 1, max: 30 }),
  limit: fc.integer({ min: 1, max: 40 }),
  /** The homeserver tells so many more than lie before its token, from behind it. */
  overlap: fc.integer({ min: 0, max: 3 }),
  ignored: fc.array(fc.nat(29), { maxLength: 8 }),
});

describe("older events", () => {
  test("[HIS-32] whatever is stored, a timeline is the end of the room without a hole, and its token is of its start", () => {
    fc.assert(
      fc.property(room, ({ length, stored, limit, overlap, ignored }) => {
        const world = new FakeWorld();
        const nid = world.set(1);
        world.ignored.add("@rude:hs");
        const all: StoredEvent[] = Array.from({ length }, (_, index) =>
          storedEvent(1, index + 1, {
            ...(index === 0 ? { type: "m.room.create", stateKey: "" } : {}),
            ...(index > 0 && ignored.includes(index) ? { sender: "@rude:hs" } : {}),
          }),
        );
        const first = Math.max(0, length - stored);
        const [oldest, ...rest] = all.slice(first);
        const events = oldest === undefined ? [] : [{ ...oldest, prevBatch: `p${first}` }, ...rest];
        const tail = { events, coversFrom: first, isComplete: true };
        const cut = newestTimeline(world, nid, tail, limit, null, FOREVER);
        const { wanted } = cut;
        const wantsMore = first > 0 && limit > length - first;
        expect(wanted).toEqual(wantsMore ? { from: `p${first}`, limit: limit - (length - first), oldest: null } : null);
        if (wanted === null) return;
        const start = Math.max(0, first - wanted.limit);
        const page = all.slice(start, Math.min(length, first + overlap));
        const older = { events: page, prevBatch: `p${start}`, hasMore: start > 0 };
        const whole = withOlder(world, nid, cut, older);
        const isShown = ({ sender, stateKey }: StoredEvent): boolean => stateKey !== null || sender !== "@rude:hs";
        expect(whole.events.map(({ id }) => id)).toEqual(
          all
            .slice(start)
            .filter(isShown)
            .map(({ id }) => id),
        );
        expect(whole.isLimited).toBe(start > 0);
        const hasNew = all.slice(start, first).some(isShown);
        if (hasNew) expect(whole.prevBatch).toBe(`p${start}`);
        else expect([`p${first}`, `p${start}`]).toContain(whole.prevBatch ?? "");
      }),
      { numRuns: 500 },
    );
  });

  test("[HIS-40] wherever tokens are, a timeline is the end of the room and its token not of before its start; with the homeserver's word it has its limit", () => {
    const pieces = fc.record({
      length: fc.integer({ min: 2, max: 60 }),
      tokens: fc.uniqueArray(fc.nat(59), { maxLength: 6 }),
      end: fc.option(fc.nat(59), { nil: null }),
      limit: fc.integer({ min: 1, max: 50 }),
    });
    fc.assert(
      fc.property(pieces, ({ length, tokens, end, limit }) => {
        const events = Array.from({ length }, (_, index) =>
          storedEvent(1, index + 1, { prevBatch: tokens.includes(index) ? `${index}` : null }),
        );
        const world = new FakeWorld();
        const endOf = end === null ? undefined : events[end];
        const nid = world.set(1, {}, endOf === undefined ? {} : { endToken: [endOf.id, `${(end ?? 0) + 1}`] });
        const tail = { events, coversFrom: 0, isComplete: true };
        const cut = newestTimeline(world, nid, tail, limit, null, FOREVER);
        const first = length - cut.events.length;
        const asked = Math.max(0, length - limit);
        const isEnd = (other: typeof cut): boolean =>
          other.events.every((event, i) => event === events[i + length - other.events.length]);
        expect([isEnd(cut), first <= asked]).toEqual([true, true]);
        const token = cut.prevBatch === null ? null : Number(cut.prevBatch);
        if (token !== null) expect(token).toBeGreaterThanOrEqual(first);
        // Longer only where it begins with a token of its own, and would have repeated many events, or had none.
        const near = [
          ...tokens.filter((index) => index < length),
          ...(endOf === undefined ? [] : [(end ?? 0) + 1]),
        ].filter((index) => index >= asked && index <= length);
        if (first < asked) expect([token, near.every((index) => index > asked + 8)]).toEqual([first, true]);
        else if (near.length > 0) expect(token).toBe(Math.min(...near));
        const { wanted } = cut;
        if (wanted?.oldest == null) return;
        const from = Number(wanted.from);
        const page = events.slice(from - wanted.limit, from);
        const older = { events: page, prevBatch: `${from - wanted.limit}`, hasMore: true };
        const exact = withOlder(world, nid, cut, older);
        expect([isEnd(exact), exact.events.length, exact.prevBatch]).toEqual([true, limit, `${asked}`]);
        // An answer about anything else changes nothing.
        expect(withOlder(world, nid, cut, { ...older, events: page.slice(1) })).toEqual(cut);
        expect(withOlder(world, nid, cut, { ...older, prevBatch: null })).toEqual(cut);
      }),
      { numRuns: 500 },
    );
  });

  test("[HIS-33] nothing is wanted for news, for who is not inside, and from a place without a token", () => {
    const world = new FakeWorld();
    const nid = world.set(1);
    const tail = (prevBatch: string | null) => ({
      events: [storedEvent(1, 5, { prevBatch }), storedEvent(1, 6)],
      coversFrom: 4,
      isComplete: true,
    });
    expect(newestTimeline(world, nid, tail("p"), 9, null, FOREVER).wanted).toEqual({
      from: "p",
      limit: 7,
      oldest: null,
    });
    expect(newestTimeline(world, nid, tail("p"), 9, 4, FOREVER).wanted).toBeNull();
    expect(newestTimeline(world, nid, tail("p"), 2, null, FOREVER).wanted).toBeNull();
    expect(newestTimeline(world, nid, tail(null), 9, null, FOREVER).wanted).toBeNull();
    const left = world.set(2, { membership: "leave", leftPos: 6 });
    expect(newestTimeline(world, left, tail("p"), 9, null, FOREVER).wanted).toBeNull();
  });
});
