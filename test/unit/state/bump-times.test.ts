import { describe, expect, test } from "bun:test";
import type { StoredEvent } from "#src/protocol/events.ts";
import { reduceBumpTs } from "#src/state/room-meta-reducer.ts";

const NOW_MS = 1_000_000_000_000;
const HOUR_MS = 60 * 60_000;
const event = (ts: number, type = "m.room.message"): StoredEvent => ({ type, ts }) as StoredEvent;
const live = (bumpTs: number | undefined, ...events: StoredEvent[]): number | undefined =>
  reduceBumpTs({ ...(bumpTs === undefined ? {} : { bumpTs }), latestByType: {} }, events, {
    isHistory: false,
    nowMs: NOW_MS,
  });

describe("reduceBumpTs", () => {
  test("[SSS-99] each bump is later than the one before, and by its own time where that can be", () => {
    const before = NOW_MS - 10 * HOUR_MS;
    expect(live(before, event(NOW_MS - HOUR_MS))).toBe(NOW_MS - HOUR_MS);
    expect(live(before, event(before - HOUR_MS))).toBe(before + 1);
    expect(live(before, event(before), event(before), event(before))).toBe(before + 3);
    expect(live(before, event(5))).toBe(NOW_MS);
    expect(live(before, event(NOW_MS + 1000 * HOUR_MS))).toBe(NOW_MS);
    expect(live(NOW_MS, event(NOW_MS - 1))).toBe(NOW_MS + 1);
    expect(live(undefined, event(NOW_MS - HOUR_MS))).toBe(NOW_MS - HOUR_MS);
  });

  test("[SSS-99] what does not bump changes nothing, and a room stored before it was kept goes on from its events", () => {
    expect(live(7, event(NOW_MS, "m.reaction"))).toBe(7);
    expect(live(undefined, event(NOW_MS, "m.room.member"))).toBeUndefined();
    const latestByType: Record<string, [number, number]> = { "m.sticker": [4, NOW_MS - 5], "m.reaction": [9, NOW_MS] };
    const arrival = { isHistory: false, nowMs: NOW_MS };
    expect(reduceBumpTs({ latestByType }, [event(NOW_MS - 8)], arrival)).toBe(NOW_MS - 4);
  });

  test("[SSS-99] of a first sync the newest time counts, however old, and none that is yet to come", () => {
    const arrival = { isHistory: true, nowMs: NOW_MS };
    expect(reduceBumpTs({ latestByType: {} }, [event(9), event(5)], arrival)).toBe(9);
    expect(reduceBumpTs({ latestByType: {} }, [event(NOW_MS * 2)], arrival)).toBe(NOW_MS);
    expect(reduceBumpTs({ bumpTs: 50, latestByType: {} }, [event(9)], arrival)).toBe(50);
  });
});
