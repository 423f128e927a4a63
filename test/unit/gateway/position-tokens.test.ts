import { describe, expect, test } from "bun:test";
import type { EventId, RoomId, RoomNid } from "#src/protocol/ids.ts";
import { encodePos } from "#src/protocol/pos.ts";
import { StoredPositionTokens } from "#actors/gateway/position-tokens.ts";
import { FakeHomeserverPort, transientFailure } from "#test/support/fake-homeserver-port.ts";
import { storedEvent } from "#test/support/stored-samples.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const ROOM = "!room1:example.org" as RoomId;
const ID = (pos: number): EventId => storedEvent(1, pos).id;

/** A room of which events 1 to 9 are stored, a device that was polled up to `since`, and what the homeserver has behind that. */
class Behind {
  readonly homeserver = new FakeHomeserverPort();
  readonly #events = Array.from({ length: 9 }, (_, index) => storedEvent(1, index + 1));
  since: string | null = "own";
  /** What the poll of the newest event ended with. */
  endToken: [EventId, string] | undefined;

  has(from: string, limit: number, ids: EventId[], end: string | null): void {
    this.homeserver.ahead.set(`${from} ${limit}`, { ids, end });
  }

  token(side: "later" | "earlier", streamPos = 9): Promise<string | null> {
    const tokens = new StoredPositionTokens({
      identifier: { recognise: async () => ({ userId: "@a:hs", deviceId: "D", tokenHash: "h" }) as never },
      rooms: {
        loadRooms: async () => [{ nid: 1 as RoomNid, endToken: this.endToken }] as never,
        loadTimelines: async () => [{ events: this.#events }] as never,
      },
      devices: { loadDevice: async () => ({ since: this.since }) as never },
      homeserver: this.homeserver,
      timers: new VirtualTime(),
    });
    const claims = { incarnation: "a", seq: 1, streamPos, generation: 0, behind: [] };
    return tokens.tokenAt(
      "token",
      ROOM,
      encodePos(claims, () => "0123456789abcdef"),
      side,
    );
  }
}

describe("the token behind everything that is known of a room", () => {
  test("[FWD-97] is the device's own place where the homeserver has nothing behind that, or nothing that is known", async () => {
    const world = new Behind();
    expect(await world.token("later")).toBe("own");
    world.has("own", 20, ["$unknown" as EventId, ID(9)], "end");
    expect([await world.token("later"), await world.token("earlier")]).toEqual(["own", "own"]);
  });

  test("[FWD-97] is behind what others' polls brought, and before what nobody has brought", async () => {
    const world = new Behind();
    world.has("own", 20, [ID(8), ID(9), "$unknown" as EventId], "beyond");
    world.has("own", 2, [ID(8), ID(9)], "exact");
    expect(await world.token("later")).toBe("exact");
    // The homeserver leaves out what the user may not see.
    world.has("own", 2, [ID(8)], "half");
    world.has("half", 1, [ID(9)], "exact");
    expect(await world.token("earlier")).toBe("exact");
  });

  test("[FWD-97] is looked for page by page, and not without end", async () => {
    const world = new Behind();
    world.has("own", 20, [ID(7)], "second");
    world.has("second", 20, [], null);
    expect(await world.token("later")).toBe("second");
    world.has("second", 20, [ID(8)], "third");
    world.has("third", 20, [ID(9)], "fourth");
    expect([await world.token("later"), await world.token("earlier")]).toEqual(["", "own"]);
  });

  test("[FWD-98] is none that may leave something out where the homeserver does not tell, or nothing was polled", async () => {
    const world = new Behind();
    world.homeserver.failures = [transientFailure(), transientFailure()];
    expect([await world.token("later"), await world.token("earlier")]).toEqual(["", "own"]);
    world.has("own", 20, [ID(9)], null);
    expect(await world.token("later")).toBe("");
    world.since = null;
    expect([await world.token("later"), await world.token("earlier")]).toEqual(["", null]);
  });

  test("[FWD-97] is the one that the room keeps for its newest event, of which the homeserver is not asked", async () => {
    const world = new Behind();
    world.endToken = [ID(9), "end"];
    expect([await world.token("later"), await world.token("earlier"), await world.token("later", 8)]).toEqual([
      "end",
      "end",
      "end",
    ]);
    expect(world.homeserver.asked).toEqual([]);
    world.endToken = [ID(8), "end of another"];
    expect(await world.token("later")).toBe("own");
  });

  test("[FWD-97] stands for a place within the last piece that a poll brought, on the side of what is later", async () => {
    const world = new Behind();
    expect(await world.token("later", 8)).toBe("own");
    expect(await world.token("earlier", 8)).toBeNull();
  });
});
