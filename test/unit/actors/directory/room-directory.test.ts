import { describe, expect, test } from "bun:test";
import type { UpdateBatch } from "#src/protocol/update.ts";
import { RoomDirectory } from "#actors/directory/room-directory.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";

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
      directory.apply(commit(from, to), 0);
    expect(directory.head).toBe(12);
  });

  test("[DIR-2] crashes when a commit never arrived, also when that is told by an empty one", () => {
    expect(() => primedAt(10).apply(commit(11, 12), 0)).toThrow("every commit reaches the directory");
    expect(() => primedAt(10).apply(commit(11, 11), 0)).toThrow("every commit reaches the directory");
  });

  test("[DIR-3] takes any commit before it knows where the stream stands, and none with a gap after it", () => {
    const directory = new RoomDirectory(makeFakeStores().rooms, CACHE_BYTES);
    directory.apply(commit(11, 12), 0);
    directory.prime(11);
    directory.apply(commit(12, 13), 0);
    expect(directory.head).toBe(13);
    expect(() => directory.apply(commit(14, 15), 0)).toThrow("every commit reaches the directory");
  });
});
