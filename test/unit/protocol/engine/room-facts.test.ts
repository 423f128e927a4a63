import { describe, expect, test } from "bun:test";
import { roomHead } from "#src/protocol/engine/room-facts.ts";
import type { RoomNid, UserId } from "#src/protocol/ids.ts";
import type { Hero, RoomMeta } from "#src/protocol/room-meta.ts";
import { FakeWorld } from "#test/support/fake-world.ts";
import { roomMeta } from "#test/support/stored-samples.ts";

const NID = 1 as RoomNid;
const ANN: Hero = { userId: "@ann:hs", displayName: "Ann", avatarUrl: null, membership: "join" };

class Viewer extends FakeWorld {
  override readonly userId: UserId;
  readonly #seen: RoomMeta;

  constructor(userId: string, seen: RoomMeta) {
    super();
    this.userId = userId as UserId;
    this.#seen = seen;
    this.set(NID);
  }

  override meta(): RoomMeta {
    return this.#seen;
  }
}

describe("roomHead", () => {
  test("[NAM-5] a name that is made from members is each viewer's own, whoever looked first", () => {
    const names = (viewers: string[]): Record<string, string | undefined> => {
      const meta = roomMeta(NID, { name: null, alias: null, heroes: [ANN], joinedCount: 2, invitedCount: 0 });
      return Object.fromEntries(viewers.map((me) => [me, roomHead(new Viewer(me, meta), NID)?.name]));
    };
    const [ann, bob] = ["@ann:hs", "@bob:hs"];
    expect(names([bob, ann])).toEqual({ [ann]: "1 others", [bob]: "Ann" });
    expect(names([ann, bob])).toEqual({ [ann]: "1 others", [bob]: "Ann" });
  });

  test("[NAM-5] the name that a room says itself is the same for all viewers, and kept once", () => {
    const meta = roomMeta(NID, { name: "Given", heroes: [ANN], joinedCount: 2 });
    const [first, second] = ["@ann:hs", "@bob:hs"].map((me) => roomHead(new Viewer(me, meta), NID));
    expect(first).toMatchObject({ name: "Given", heroes: null, joinedCount: 2 });
    expect(second === first).toBe(true);
  });
});
