import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { UserId } from "#src/protocol/ids.ts";
import { SyncRig } from "#test/support/sync-rig.ts";

describe("state in the news", () => {
  let rig: SyncRig;
  let alice: UserId;
  let bob: UserId;

  beforeEach(async () => {
    rig = await SyncRig.start();
    alice = await rig.addUser("alice");
    bob = await rig.addUser("bob");
    const state = rig.roomState(bob, [bob, alice], "a");
    const timeline = [rig.event("m.room.message", bob, { body: "first" })];
    for (const user of [alice, bob]) await rig.poll(user, [rig.join("!a", { state, timeline })]);
  });

  afterEach(() => rig.stop());

  const follow = async (requiredState: string[][], news: ReturnType<SyncRig["event"]>[]) => {
    const lists = { all: { ranges: [[0, 5]], timeline_limit: 5, required_state: requiredState } };
    const first = await rig.sync(alice, { lists });
    const live = rig.sync(alice, {}, { pos: first.pos, timeoutMs: 600_000 });
    await rig.nodes.settled();
    await rig.poll(bob, [rig.join("!a", { timeline: news })]);
    return ((await live).rooms["!a"]?.required_state ?? []).map(({ type, content }) => [type, content]);
  };

  test("[STATE-20] state that changes and was asked for comes in `required_state` too, the last of each key", async () => {
    const encryption = { algorithm: "m.megolm.v1.aes-sha2" };
    const news = [
      rig.event("m.room.encryption", bob, encryption, { stateKey: "" }),
      rig.event("m.room.name", bob, { name: "one" }, { stateKey: "" }),
      rig.event("m.room.name", bob, { name: "two" }, { stateKey: "" }),
      rig.event("m.room.topic", bob, { topic: "not asked for" }, { stateKey: "" }),
      rig.event("m.room.message", bob, { body: "no state" }),
    ];
    const wanted = [
      ["m.room.encryption", ""],
      ["m.room.name", "*"],
    ];
    expect(await follow(wanted, news)).toEqual([
      ["m.room.encryption", encryption],
      ["m.room.name", { name: "two" }],
    ]);
  });

  test("[STATE-21] of lazily loaded members those who spoke and those the client knows", async () => {
    const news = [
      rig.event("m.room.member", bob, { membership: "join", displayname: "Bobby" }, { stateKey: bob }),
      rig.event("m.room.member", "@carol:hs", { membership: "join" }, { stateKey: "@carol:hs" }),
      rig.event("m.room.member", bob, { membership: "invite" }, { stateKey: "@dave:hs" }),
    ];
    expect(await follow([["m.room.member", "$LAZY"]], news)).toEqual([
      ["m.room.member", { membership: "join", displayname: "Bobby" }],
      ["m.room.member", { membership: "join" }],
    ]);
  });

  test("[STATE-36] who speaks in a room that comes whole for another list is told to the one that loads lazily", async () => {
    const state = rig.roomState(bob, [bob, alice], "b");
    const timeline = [rig.event("m.room.message", alice, { body: "the newest, by alice" })];
    await rig.poll(alice, [rig.join("!b", { state, timeline })]);
    const lists = {
      lazy: { ranges: [[0, 5]], sort: ["by_name"], timeline_limit: 1, required_state: [["m.room.member", "$LAZY"]] },
      top: { ranges: [[0, 0]], timeline_limit: 0 },
    };
    const news = (body: string) =>
      rig.poll(alice, [rig.join("!a", { timeline: [rig.event("m.room.message", "@carol:hs", { body })] })]);
    await rig.poll(alice, [
      rig.join("!a", {
        timeline: [
          rig.event("m.room.member", "@carol:hs", { membership: "join" }, { stateKey: "@carol:hs" }),
          rig.event("m.room.message", alice, { body: "last before" }),
        ],
      }),
    ]);
    await rig.poll(alice, [rig.join("!b", { timeline: [rig.event("m.room.message", alice, { body: "bump" })] })]);
    const first = await rig.sync(alice, { lists });
    await news("one");
    const whole = await rig.sync(alice, {}, { pos: first.pos, timeoutMs: 600_000 });
    expect(whole.rooms["!a"]).toMatchObject({ initial: true, num_live: 1 });
    expect(whole.rooms["!a"]?.required_state?.map(({ state_key: key }) => key)).toEqual(["@carol:hs"]);
    await news("two");
    const again = await rig.sync(alice, {}, { pos: whole.pos, timeoutMs: 600_000 });
    expect(again.rooms["!a"]?.required_state).toBeUndefined();
  });
});
