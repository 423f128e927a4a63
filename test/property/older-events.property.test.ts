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
        const { missing } = cut;
        const wantsMore = first > 0 && limit > length - first;
        expect(missing).toEqual(wantsMore ? { from: `p${first}`, limit: limit - (length - first) } : null);
        if (missing === null) return;
        const start = Math.max(0, first - missing.limit);
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

  test("[HIS-33] nothing is wanted for news, for who is not inside, and from a place without a token", () => {
    const world = new FakeWorld();
    const nid = world.set(1);
    const tail = (prevBatch: string | null) => ({
      events: [storedEvent(1, 5, { prevBatch }), storedEvent(1, 6)],
      coversFrom: 4,
      isComplete: true,
    });
    expect(newestTimeline(world, nid, tail("p"), 9, null, FOREVER).missing).toEqual({ from: "p", limit: 7 });
    expect(newestTimeline(world, nid, tail("p"), 9, 4, FOREVER).missing).toBeNull();
    expect(newestTimeline(world, nid, tail("p"), 2, null, FOREVER).missing).toBeNull();
    expect(newestTimeline(world, nid, tail(null), 9, null, FOREVER).missing).toBeNull();
    const left = world.set(2, { membership: "leave", leftPos: 6 });
    expect(newestTimeline(world, left, tail("p"), 9, null, FOREVER).missing).toBeNull();
  });
});
