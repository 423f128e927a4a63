import { describe, expect, test } from "bun:test";
import type { OlderEvents } from "#src/protocol/engine/older-events.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import { HistoryShelf } from "#actors/directory/history-shelf.ts";
import { storedEvent } from "#test/support/stored-samples.ts";
import { settlePromises } from "#test/support/virtual-time.ts";

const ROOM = 1 as RoomNid;
const OTHER = 2 as RoomNid;
const older = (bytes: number): OlderEvents => ({
  events: [{ ...storedEvent(1, 1), json: new Uint8Array(bytes) }],
  prevBatch: "p",
  hasMore: true,
});
const now = (): number => 0;

describe("HistoryShelf", () => {
  test("[HIS-19] histories are kept within a budget of bytes, those used last, and for some minutes", async () => {
    const shelf = new HistoryShelf(10_000);
    for (const key of ["a", "b"]) shelf.begin(key, ROOM, Promise.resolve(older(3000)), now);
    await settlePromises();
    expect(shelf.get("a", 1)).not.toBeNull();
    shelf.begin("c", OTHER, Promise.resolve(older(3000)), now);
    await settlePromises();
    expect(["a", "b", "c"].map((key) => shelf.get(key, 1) !== null)).toEqual([true, false, true]);
    expect(shelf.bytes).toBeLessThanOrEqual(10_000);
    expect(shelf.get("a", 299_999)).not.toBeNull();
    expect(shelf.get("a", 300_000)).toBeNull();
    shelf.begin("huge", OTHER, Promise.resolve(older(20_000)), now);
    await settlePromises();
    expect([shelf.get("huge", 1), shelf.bytes]).toEqual([null, 0]);
  });

  test("[HIS-20] what changes a room's events makes its histories go, those being read as well", async () => {
    const shelf = new HistoryShelf(10_000);
    shelf.begin("kept", OTHER, Promise.resolve(older(1)), now);
    shelf.begin("old", ROOM, Promise.resolve(older(1)), now);
    await settlePromises();
    const { promise, resolve } = Promise.withResolvers<OlderEvents | null>();
    shelf.begin("under way", ROOM, promise, now);
    expect(shelf.reading("under way")).toBe(promise);
    shelf.drop(ROOM);
    expect(shelf.reading("under way")).toBeNull();
    resolve(older(1));
    await settlePromises();
    expect(["kept", "old", "under way"].map((key) => shelf.get(key, 1) !== null)).toEqual([true, false, false]);
  });

  test("[HIS-21] what brought nothing is not kept", async () => {
    const shelf = new HistoryShelf(10_000);
    shelf.begin("a", ROOM, Promise.resolve(null), now);
    await settlePromises();
    expect([shelf.get("a", 1), shelf.reading("a"), shelf.bytes]).toEqual([null, null, 0]);
  });
});
