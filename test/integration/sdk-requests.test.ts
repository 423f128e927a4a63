import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import { SdkClient } from "#test/support/sdk-client.ts";

const ALL = {
  ranges: [[0, 1]],
  sort: ["by_recency"],
  timeline_limit: 1,
  required_state: [
    ["m.room.create", ""],
    ["m.room.member", "$ME"],
  ],
  filters: {},
};

describe("matrix-js-sdk 37.2.0", () => {
  let rig: FrontRig;
  let session: Session;
  let sdk: SdkClient;
  let rooms: string[];

  beforeEach(async () => {
    // In real time: the SDK cuts its own polls short.
    rig = await FrontRig.start({ haste: 1 });
    const { homeserver } = rig.node;
    session = homeserver.user("alice", { deviceId: "DEV" });
    rooms = ["e", "d", "c", "b", "a"].map((name) => homeserver.createRoom(session, { name }));
    const user = { url: homeserver.url, accessToken: session.accessToken, userId: "@alice:test", deviceId: "DEV" };
    sdk = new SdkClient(user, rig.url, new Map([["all", structuredClone(ALL)]]));
    await sdk.start();
  });

  afterEach(async () => {
    sdk.stop();
    await rig.stop();
  });

  test("[CON-105] every change it makes is echoed, however it cuts its own requests short, and no request is refused", async () => {
    const { sync } = sdk;
    const [, , third, fourth] = rooms;
    expect(await sync.modifyRoomSubscriptions(new Set([fourth ?? ""]))).toStartWith("m");
    expect(await sync.setListRanges("all", [[0, 4]])).toStartWith("m");
    await sdk.until("five rooms", () => sdk.order.length === 5);
    expect(await sync.setList("all", { ...ALL, ranges: [[0, 4]], sort: ["by_name"] })).toStartWith("m");
    await sdk.until("sorted by name", () => sdk.order.join() === rooms.toReversed().join());
    // Changes in one go: what the last of them asks for holds, and the others are settled one way or the other.
    const changes = [
      sync.modifyRoomSubscriptions(new Set([third ?? ""])),
      sync.setListRanges("all", [[0, 2]]),
      sync.setListRanges("all", [[0, 3]]),
      sync.modifyRoomSubscriptions(new Set()),
    ];
    const settled = await Promise.allSettled(changes);
    expect(settled.at(-1)?.status).toBe("fulfilled");
    rig.node.homeserver.send(session, fourth ?? "", "hello");
    await sdk.until("the message", () => sdk.messages(fourth ?? "", "@alice:test").includes("hello"));
    expect(sdk.exchanges.filter(({ status }) => status !== 200)).toEqual([]);
    expect(sdk.order.slice(0, 4)).toEqual(rooms.toReversed().slice(0, 4));
  }, 120_000);
});
