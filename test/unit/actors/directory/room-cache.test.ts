import { describe, expect, test } from "bun:test";
import type { StoredEvent } from "#src/protocol/events.ts";
import { compileRequiredState } from "#src/protocol/required-state.ts";
import type { EventId } from "#src/protocol/ids.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { RoomUpdate } from "#src/protocol/update.ts";
import { RoomCache } from "#actors/directory/room-cache.ts";
import { roomMeta, storedEvent } from "#test/support/stored-samples.ts";

const META = roomMeta(1);
const keep = (event: StoredEvent): StoredEvent => event;
const update = (parts: Partial<RoomUpdate>): RoomUpdate => ({
  nid: META.nid,
  roomId: META.roomId,
  meta: META,
  timeline: [],
  state: [],
  redacted: [],
  isReset: false,
  retoldFrom: null,
  receipts: [],
  typing: null,
  ...parts,
});
const name = (pos: number): StoredEvent => storedEvent(1, pos, { type: "m.room.name", stateKey: "" });
const NAMES = compileRequiredState([["m.room.name", ""]], "@me:hs");
const receipt = (pos: number) => ({
  nid: META.nid,
  userId: "@a:hs",
  eventId: `$${pos}`,
  threadId: "",
  isPrivate: false,
  ts: pos,
  pos,
});
const chunk = (events: StoredEvent[], hasMore = true) => ({ nid: META.nid, events, hasMore });
const positions = (room: RoomCache): number[] => room.tail.events.map(({ pos }) => pos);
const names = (room: RoomCache): number[] => room.state(NAMES).map(({ pos }) => pos);

describe("RoomCache", () => {
  test("[DIR-10] a timeline read while events arrive has all of them, once", () => {
    const room = new RoomCache(META, 10);
    const read = room.beginRead(10);
    room.apply(update({ timeline: [storedEvent(1, 11), storedEvent(1, 12)] }), keep);
    // Storage was read in between: it had the first of them.
    room.setTimeline(read, chunk([storedEvent(1, 4), storedEvent(1, 9), storedEvent(1, 11)]));
    room.endRead();
    expect(positions(room)).toEqual([4, 9, 11, 12]);
    expect(room.covers(4)).toBe(true);
    expect(room.covers(2)).toBe(false);
  });

  test("[DIR-11] events that are read before their commit arrives still change the state", () => {
    const room = new RoomCache(META, 10);
    const stateRead = room.beginRead(10);
    room.setState(stateRead, NAMES.entries, [name(5)]);
    room.endRead();
    const read = room.beginRead(10);
    room.setTimeline(read, chunk([name(5), name(11)]));
    room.endRead();
    room.apply(update({ timeline: [name(11)] }), keep);
    expect(positions(room)).toEqual([5, 11]);
    expect(names(room)).toEqual([11]);
  });

  test("[DIR-12] a read that a drop, a trim or a gap overtook is void", () => {
    const dropped = new RoomCache(META, 10);
    const first = dropped.beginRead(10);
    dropped.apply(update({ timeline: [storedEvent(1, 11)] }), keep);
    dropped.drop(11);
    dropped.setTimeline(first, chunk([storedEvent(1, 9)]));
    dropped.setState(first, NAMES.entries, [name(5)]);
    dropped.setReceipts(first, [receipt(5)]);
    dropped.endRead();
    expect([positions(dropped), names(dropped), dropped.hasReceipts]).toEqual([[], [], false]);
    expect(dropped.hasState(NAMES)).toBe(false);

    const trimmed = new RoomCache(META, 10);
    const second = trimmed.beginRead(10);
    for (let pos = 11; pos <= 170; pos += 1) trimmed.apply(update({ timeline: [storedEvent(1, pos)] }), keep);
    trimmed.setTimeline(second, chunk([storedEvent(1, 9)]));
    trimmed.endRead();
    expect(positions(trimmed)).not.toContain(9);

    const gappy = new RoomCache(META, 10);
    const third = gappy.beginRead(10);
    gappy.apply(update({ timeline: [storedEvent(1, 11, { gapBefore: true })] }), keep);
    gappy.setTimeline(third, chunk([storedEvent(1, 9)]));
    gappy.endRead();
    expect(positions(gappy)).toEqual([11]);
  });

  test("[DIR-13] receipts that arrive while they are read are kept, the newest of each", () => {
    const room = new RoomCache(META, 10);
    const read = room.beginRead(10);
    room.apply(update({ receipts: [receipt(11)] }), keep);
    room.setReceipts(read, [receipt(5), { ...receipt(6), userId: "@b:hs" }]);
    room.endRead();
    expect(room.receipts(() => true).map(({ pos }) => pos)).toEqual([11, 6]);
  });

  test("[DIR-14] after a reset no state is believed, for a timeline may have been overruled", () => {
    const room = new RoomCache(META, 10);
    const read = room.beginRead(10);
    room.setState(read, NAMES.entries, [name(5)]);
    room.endRead();
    const late = room.beginRead(10);
    room.apply(update({ timeline: [name(11)], isReset: true }), keep);
    room.setState(late, NAMES.entries, [name(5)]);
    room.endRead();
    expect(room.hasState(NAMES)).toBe(false);
  });

  test("[DIR-31] the end of a timeline that is told anew takes the place of what was told, read meanwhile or not", () => {
    const room = new RoomCache(META, 10);
    room.apply(update({ timeline: [storedEvent(1, 11), storedEvent(1, 12), storedEvent(1, 13)] }), keep);
    const read = room.beginRead(13);
    room.apply(update({ timeline: [storedEvent(1, 20), storedEvent(1, 21)], retoldFrom: 12, isReset: true }), keep);
    expect(positions(room)).toEqual([11, 20, 21]);
    room.setTimeline(read, chunk([storedEvent(1, 9), storedEvent(1, 11), storedEvent(1, 12), storedEvent(1, 13)]));
    room.endRead();
    expect(positions(room)).toEqual([9, 11, 20, 21]);
    // All of what comes anew is there, whatever was there of it before.
    const late = new RoomCache(META, 13);
    late.apply(update({ timeline: [storedEvent(1, 20)], retoldFrom: 12, isReset: true }), keep);
    expect([late.covers(11), late.covers(10)]).toEqual([true, false]);
  });

  test("[DIR-15] a timeline is there when enough of it is from before the position", () => {
    const room = new RoomCache(META, 10);
    room.apply(update({ timeline: [storedEvent(1, 11), storedEvent(1, 12)] }), keep);
    expect([room.hasTimeline(2, 12), room.hasTimeline(2, 11), room.hasTimeline(1, 11)]).toEqual([true, false, true]);
    expect(room.countAfter(11)).toBe(1);
  });
});

describe("redactions", () => {
  const redacted = (event: StoredEvent): StoredEvent => ({ ...event, json: new TextEncoder().encode("{}") });
  const shown = (cache: RoomCache): string[] =>
    cache.tail.events.map(({ json }) => (json.length === 2 ? "redacted" : "whole"));

  test("[DIR-20] an event in memory is replaced in the timeline and in the state, and nothing else is", () => {
    const cache = new RoomCache(META, 0);
    const read = cache.beginRead(0);
    cache.setState(read, [["m.room.name", ""]], [name(2)]);
    cache.endRead();
    cache.apply(update({ timeline: [storedEvent(1, 5), storedEvent(1, 6)] }), keep);
    cache.apply(
      update({ redacted: [redacted(storedEvent(1, 5)), redacted(name(2)), redacted(storedEvent(1, 4))] }),
      keep,
    );
    expect(shown(cache)).toEqual(["redacted", "whole"]);
    expect(cache.state(NAMES).map(({ json }) => json.length)).toEqual([2]);
    // The successor of a redacted state event is another event.
    cache.apply(update({ state: [name(7)] }), keep);
    cache.apply(update({ redacted: [redacted(name(2))] }), keep);
    expect(cache.state(NAMES)[0]?.json.length).toBeGreaterThan(2);
  });

  test("[DIR-21] what was read before a redaction and arrives behind it is redacted too", () => {
    const cache = new RoomCache(META, 4);
    const read = cache.beginRead(4);
    cache.apply(update({ redacted: [redacted(storedEvent(1, 3)), redacted(name(2))] }), keep);
    cache.setTimeline(read, { nid: META.nid, events: [storedEvent(1, 3), storedEvent(1, 4)], hasMore: false });
    cache.setState(read, [["m.room.name", ""]], [name(2)]);
    cache.endRead();
    expect(shown(cache)).toEqual(["redacted", "whole"]);
    expect(cache.state(NAMES).map(({ json }) => json.length)).toEqual([2]);
  });

  test("[STE-30] sticky events that arrive while they are read are there once, expired and redacted ones are not, and a room without any needs no reading", () => {
    const until = (stickyUntilMs: number): Partial<RoomUpdate> => ({ meta: roomMeta(1, { stickyUntilMs }) });
    const sticky = (pos: number, expiresMs: number, id = pos, json = new Uint8Array(9)): StickyEvent => ({
      nid: META.nid,
      id: `$${id}` as EventId,
      sender: "@a:hs",
      pos,
      expiresMs,
      json,
    });
    const room = new RoomCache(META, 10);
    const idsAt = (nowMs: number): string[] => room.sticky(nowMs).map(({ id }) => id);
    expect(room.hasSticky(0)).toBe(true);
    // Of a room that nobody asked about nothing is kept.
    room.apply(update({ ...until(50), sticky: [sticky(11, 50)] }), keep);
    expect([room.hasSticky(49), room.hasSticky(50)]).toEqual([false, true]);
    expect(idsAt(0)).toEqual([]);
    const read = room.beginRead(11);
    room.apply(update({ ...until(60), sticky: [sticky(12, 60), sticky(13, 50, 11, new Uint8Array(0))] }), keep);
    room.setSticky(read, [sticky(9, 40), sticky(11, 50), sticky(12, 60)]);
    room.endRead();
    expect(room.hasSticky(0)).toBe(true);
    expect(idsAt(0)).toEqual(["$9", "$12"]);
    expect([room.stickyUntil("$9"), room.stickyUntil("$11"), room.stickyUntil("$x")]).toEqual([40, null, null]);
    expect(idsAt(40)).toEqual(["$12"]);
    expect(idsAt(60)).toEqual([]);
    const { bytes } = room;
    room.apply(update({ ...until(90), sticky: [sticky(14, 90)] }), keep);
    expect(room.bytes).toBeGreaterThan(bytes);
    expect(idsAt(60)).toEqual(["$14"]);
    room.drop(14);
    expect([idsAt(60), room.hasSticky(60)]).toEqual([[], false]);
  });
});
