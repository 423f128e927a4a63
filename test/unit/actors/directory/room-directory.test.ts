import { describe, expect, test } from "bun:test";
import type { UpdateBatch } from "#src/protocol/update.ts";
import type { Membership } from "#src/protocol/events.ts";
import type { RoomNid, UserId } from "#src/protocol/ids.ts";
import type { RoomUpdate, UserUpdate } from "#src/protocol/update.ts";
import { Barrier } from "#actors/directory/barrier.ts";
import { type DirectoryUser, RoomDirectory } from "#actors/directory/room-directory.ts";
import { roomMeta, storedEvent, userRoom } from "#test/support/stored-samples.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";

/** Nobody waits. */
const open = (): Barrier => new Barrier(() => undefined);

const CACHE_BYTES = 1024;

const commit = (fromPos: number, toPos: number): UpdateBatch => ({
  fromPos,
  toPos,
  rooms: [],
  users: [],
  traceparent: null,
});

describe("RoomDirectory", () => {
  const primedAt = (head: number): RoomDirectory => {
    const directory = new RoomDirectory(makeFakeStores().rooms, CACHE_BYTES);
    directory.prime(head);
    return directory;
  };

  test("[DIR-1] takes commits in a row, and those it has already", () => {
    const directory = primedAt(10);
    for (const [from, to] of [
      [8, 10],
      [10, 12],
      [10, 12],
      [12, 12],
    ] as const)
      directory.apply(commit(from, to), 0, open());
    expect(directory.head).toBe(12);
  });

  test("[DIR-2] crashes when a commit never arrived, also when that is told by an empty one", () => {
    expect(() => primedAt(10).apply(commit(11, 12), 0, open())).toThrow("every commit reaches the directory");
    expect(() => primedAt(10).apply(commit(11, 11), 0, open())).toThrow("every commit reaches the directory");
  });

  test("[DIR-3] takes any commit before it knows where the stream stands, and none with a gap after it", () => {
    const directory = new RoomDirectory(makeFakeStores().rooms, CACHE_BYTES);
    directory.apply(commit(11, 12), 0, open());
    directory.prime(11);
    directory.apply(commit(12, 13), 0, open());
    expect(directory.head).toBe(13);
    expect(() => directory.apply(commit(14, 15), 0, open())).toThrow("every commit reaches the directory");
  });

  describe("users and rooms", () => {
    const ROOM = roomMeta(1);
    const room = (pos: number): RoomUpdate => ({
      nid: ROOM.nid,
      roomId: ROOM.roomId,
      meta: ROOM,
      timeline: [storedEvent(1, pos)],
      state: [],
      redacted: [],
      isReset: false,
      retoldFrom: null,
      receipts: [],
      typing: null,
    });
    const standing = (userId: string, membership: Membership, pos: number): UserUpdate => ({
      userId: userId as UserId,
      rooms: [userRoom(userId, 1, { membership, pos })],
      accountData: [],
      toDevice: [],
      deviceChanges: [],
      txns: [],
      awaited: [],
      cleared: [],
      firstSyncDone: [],
    });
    const commitOf = (pos: number, users: UserUpdate[], rooms = [room(pos)]): UpdateBatch => ({
      ...commit(pos - 1, pos),
      rooms,
      users,
    });
    const activeUser = (userId: string): DirectoryUser & { heard: number[] } => {
      const heard: number[] = [];
      return {
        userId: userId as UserId,
        heard,
        feed: (_toPos, rooms) => void heard.push(...rooms.flatMap(({ timeline }) => timeline.map(({ pos }) => pos))),
      };
    };

    test("[DIR-4] who left and came back before its turn goes on hearing the room", () => {
      const directory = primedAt(10);
      const alice = activeUser("@alice:hs");
      directory.addUser(alice, 10, [{ nid: ROOM.nid, isJoined: true, meta: ROOM }]);
      directory.apply(commitOf(11, [standing("@alice:hs", "leave", 11)]), 0, open());
      directory.apply(commitOf(12, []), 0, open());
      directory.apply(commitOf(13, [standing("@alice:hs", "join", 13)]), 0, open());
      directory.apply(commitOf(14, []), 0, open());
      expect(alice.heard).toEqual([11, 13, 14]);
    });

    test("[DIR-5] a room stays in memory as long as anybody has a standing in it, joined or not", () => {
      const directory = primedAt(10);
      const alice = activeUser("@alice:hs");
      const bob = activeUser("@bob:hs");
      directory.addUser(alice, 10, [{ nid: ROOM.nid, isJoined: false, meta: ROOM }]);
      directory.addUser(bob, 10, [{ nid: ROOM.nid, isJoined: true, meta: ROOM }]);
      directory.removeUser(bob);
      expect(directory.room(ROOM.nid)).toBeDefined();
      directory.removeUser(alice);
      expect(directory.roomCount).toBe(0);
    });

    test("[DIR-30] a room outlives its last user while others are being read, who may count on it", () => {
      const directory = primedAt(10);
      const alice = activeUser("@alice:hs");
      const bob = activeUser("@bob:hs");
      directory.addUser(alice, 10, [{ nid: ROOM.nid, isJoined: true, meta: ROOM }]);
      const [first, second] = [directory.beginLoad(), directory.beginLoad()];
      directory.removeUser(alice);
      const later = directory.beginLoad();
      directory.endLoad(first);
      expect(directory.roomCount).toBe(1);
      directory.apply(commitOf(11, []), 0, open());
      directory.addUser(bob, 11, [{ nid: ROOM.nid, isJoined: true, meta: null }]);
      directory.endLoad(second);
      directory.apply(commitOf(12, []), 0, open());
      expect(bob.heard).toEqual([12]);
      expect(directory.room(ROOM.nid)?.tail.events.map(({ pos }) => pos)).toEqual([11, 12]);
      directory.removeUser(bob);
      expect(directory.roomCount).toBe(1);
      directory.endLoad(later);
      expect(directory.roomCount).toBe(0);
    });

    test("[DIR-6] commits are remembered for reads under way, and for no longer", () => {
      const directory = primedAt(10);
      const first = directory.beginLoad();
      directory.apply(commitOf(11, [standing("@alice:hs", "join", 11)]), 0, open());
      const second = directory.beginLoad();
      directory.apply(commitOf(12, []), 0, open());
      directory.endLoad(first);
      const alice = activeUser("@alice:hs");
      expect(directory.addUser(alice, 11, []).map(({ toPos }) => toPos)).toEqual([12]);
      directory.endLoad(second);
      expect(directory.addUser(activeUser("@bob:hs"), 11, [])).toEqual([]);
    });

    test("[DIR-9] what storage says at the start does not run ahead of commits under way", async () => {
      const directory = new RoomDirectory(makeFakeStores().rooms, CACHE_BYTES);
      let isPrimed = false;
      void directory.primed.then(() => (isPrimed = true));
      await Promise.resolve();
      expect(isPrimed).toBe(false);
      directory.apply(commitOf(12, []), 0, open());
      await Promise.resolve();
      expect(isPrimed).toBe(true);
      directory.prime(20);
      expect(directory.head).toBe(12);
    });

    test("[DIR-7] a user made anew takes the place of the one that crashed", () => {
      const directory = primedAt(10);
      const [before, after] = [activeUser("@alice:hs"), activeUser("@alice:hs")];
      const rooms = [{ nid: ROOM.nid, isJoined: true, meta: ROOM }];
      directory.addUser(before, 10, rooms);
      directory.addUser(after, 10, rooms);
      directory.removeUser(before);
      directory.apply(commitOf(11, []), 0, open());
      expect([before.heard, after.heard]).toEqual([[], [11]]);
    });

    test("[DIR-8] what is kept of rooms stays within the budget, also when nobody reads", () => {
      const directory = primedAt(10);
      const nids = Array.from({ length: 50 }, (_, index) => index + 1);
      const rooms = nids.map((nid) => ({ nid: nid as RoomNid, isJoined: true, meta: roomMeta(nid) }));
      directory.addUser(activeUser("@alice:hs"), 10, rooms);
      for (const nid of nids) {
        const timeline = [storedEvent(nid, 10 + nid)];
        const news = { ...room(0), nid: nid as RoomNid, roomId: roomMeta(nid).roomId, meta: roomMeta(nid), timeline };
        directory.apply(commitOf(10 + nid, [], [news]), 0, open());
      }
      const kept = nids.filter((nid) => (directory.room(nid as RoomNid)?.tail.events.length ?? 0) > 0);
      // Of about 500 bytes each, the newest two fit.
      expect(kept).toEqual([49, 50]);
    });
  });
});
