import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { SimplifiedClient } from "#test/support/simplified-client.ts";

describe("simplified sliding sync at the homeserver's own address", () => {
  let rig: FrontRig;

  beforeAll(async () => {
    rig = await FrontRig.start({ isForwarding: true });
  });
  afterAll(() => rig.stop());

  test("[SSS-54] a room that was forgotten is in no list and not to be had, and comes back whole when it is joined again", async () => {
    const id = "@alice:test";
    const me = rig.account("alice", rig.joined(id, ["a", "b"]));
    const remove = rig.node.homeserver.onRequest(({ pathname }) =>
      pathname.endsWith("/forget") ? Response.json({}) : undefined,
    );
    const forms = [
      { client: new SimplifiedClient(rig, me), required_state: [["*", "*"]] },
      { client: new SimplifiedClient(rig, me, "v4"), required_state: { include: [{}] } },
    ].map(({ client, required_state }) => {
      const config = { required_state, timeline_limit: 3 };
      const body = { lists: { all: { ranges: [[0, 9]], ...config } }, room_subscriptions: { "!a:test": config } };
      return (isFirst = false) => client.sync(body, isFirst ? { pos: null } : {});
    });
    for (const ask of forms) await ask();
    const kick = rig.event("m.room.member", "@mod:test", { membership: "leave" }, id);
    await rig.poll(me, { rooms: { leave: { "!a:test": { timeline: { events: [kick] } } } } });
    for (const ask of forms) expect((await ask()).lists?.["all"]?.count).toBe(2);
    const forgotten = await fetch(`${rig.url}/_matrix/client/v3/rooms/!a%3Atest/forget`, {
      method: "POST",
      headers: { authorization: `Bearer ${me.accessToken}` },
      body: "{}",
    });
    expect(forgotten.status).toBe(200);
    remove();
    for (const ask of forms) {
      let last = await ask();
      for (let polls = 0; polls < 100 && last.lists?.["all"]?.count !== 1; polls += 1) {
        await rig.poll(me, {});
        last = await ask();
      }
      expect(last.lists?.["all"]?.count).toBe(1);
      expect(Object.keys((await ask(true)).rooms)).toEqual(["!b:test"]);
    }
    const join = rig.event("m.room.member", id, { membership: "join" }, id);
    await rig.poll(me, { rooms: { join: { "!a:test": { timeline: { events: [join] } } } } });
    for (const ask of forms) expect((await ask()).rooms["!a:test"]).toMatchObject({ initial: true });
  });
});
