import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { errorResponse, type Session } from "#test/support/homeserver.ts";

const LIST = { lists: { all: { ranges: [[0, 9]], timeline_limit: 5 } } };
/** So long that only news end it. */
const LONG = 100_000;

describe("devices and tokens", () => {
  let rig: FrontRig;
  let alice: Session;
  const aliceId = "@alice:test";

  beforeEach(async () => {
    rig = await FrontRig.start();
    alice = rig.account("alice", rig.joined(aliceId, ["a"]), "PHONE");
  });

  afterEach(() => rig.stop());

  /** Another token of the device. */
  const refreshed = (accessToken: string): Session => rig.node.homeserver.addAccount("alice", accessToken, "PHONE");
  const revoke = (session: Session, softLogout = false): void => {
    rig.node.homeserver.parts.accounts.killToken(session.accessToken, softLogout);
    // The sync that is parked with it ends as well.
    rig.node.homeserver.queueSync(session, errorResponse(401, "M_UNKNOWN_TOKEN", { softLogout }));
  };
  const say = (session: Session, text: string): Promise<void> => rig.poll(session, rig.message("@bob:test", "a", text));
  const bodies = (response: { rooms: Record<string, { timeline?: Record<string, unknown>[] }> }): unknown[] =>
    (response.rooms["!a:test"]?.timeline ?? []).map((event) => (event["content"] as { body: string }).body);
  const whoamiSays = (body: unknown, status = 200): (() => void) =>
    rig.node.homeserver.onRequest((seen) =>
      seen.route === "/account/whoami" ? Response.json(body, { status }) : undefined,
    );
  const whoamis = (): number => rig.node.homeserver.counts()["GET /account/whoami"] ?? 0;

  test("[TOK-1] the homeserver is asked once whose token it is", async () => {
    const { pos } = await rig.sync(alice, LIST);
    await rig.sync(alice, {}, { pos });
    await rig.sync(alice, LIST);
    expect(whoamis()).toBe(1);
  });

  test("[TOK-2] a refreshed token goes on with the connection and its pos, while the old one lives and after it", async () => {
    const first = await rig.sync(alice, LIST);
    const newer = refreshed("newer");
    const second = await rig.sync(newer, {}, { pos: first.pos });
    expect(second.lists["all"]).toEqual({ count: 1 });
    // The poll that is under way is answered to the old token; the next one is made with the newer.
    const news = rig.message("@bob:test", "a", "by the old token's poll");
    rig.node.homeserver.queueResponse(alice, { next_batch: "next-of-old", ...news });
    await rig.node.homeserver.waitUntilPolled(newer);
    const third = await rig.sync(newer, {}, { pos: second.pos });
    expect(bodies(third)).toEqual(["by the old token's poll"]);
    revoke(alice);
    await say(newer, "by the new one's");
    const fourth = await rig.sync(newer, {}, { pos: third.pos });
    expect(bodies(fourth)).toEqual(["by the new one's"]);
    expect(rig.node.homeserver.syncs(newer)[0]?.query["since"]).toBe("next-of-old");
    expect(await rig.request(alice, { body: {}, pos: fourth.pos, timeout: 0 })).toMatchObject({
      status: 401,
      json: { errcode: "M_UNKNOWN_TOKEN" },
    });
  });

  test("[TOK-3] a token that expires while its request waits ends the request with what there is, then it is refused", async () => {
    const first = await rig.sync(alice, LIST);
    const parked = rig.request(alice, { body: {}, pos: first.pos, timeout: LONG });
    await rig.waiting(1);
    revoke(alice);
    const answer = await parked;
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ lists: { all: { count: 1 } }, rooms: {} });
    for (const pos of [String(answer.json["pos"]), undefined]) {
      const refused = await rig.request(alice, { body: {}, ...(pos === undefined ? {} : { pos }) });
      expect(refused).toMatchObject({ status: 401, json: { errcode: "M_UNKNOWN_TOKEN" } });
    }
  });

  test("[TOK-4] a soft logout is told as one, and the device goes on where it was once it has a token again", async () => {
    const first = await rig.sync(alice, LIST);
    await say(alice, "before");
    const second = await rig.sync(alice, {}, { pos: first.pos });
    const parked = rig.request(alice, { body: {}, pos: second.pos, timeout: LONG });
    await rig.waiting(1);
    revoke(alice, true);
    const last = await parked;
    const pos = String(last.json["pos"]);
    expect(await rig.request(alice, { body: {}, pos, timeout: 0 })).toMatchObject({
      status: 401,
      json: { errcode: "M_UNKNOWN_TOKEN", soft_logout: true },
    });
    const newer = refreshed("newer");
    const third = await rig.sync(newer, {}, { pos });
    expect(third.lists["all"]).toEqual({ count: 1 });
    await rig.node.homeserver.waitUntilPolled(newer);
    expect(rig.node.homeserver.syncs(newer)[0]?.query["since"]).toStartWith("next-");
    await say(newer, "after");
    expect(bodies(await rig.sync(newer, {}, { pos: third.pos }))).toEqual(["after"]);
  });

  test("[TOK-5] what whoami answers decides: 401 is the token's end, anything else the homeserver's trouble", async () => {
    const cases: [body: unknown, upstream: number, status: number][] = [
      [{ errcode: "M_UNKNOWN_TOKEN" }, 401, 401],
      [{ errcode: "M_FORBIDDEN" }, 403, 502],
      [{ errcode: "M_UNKNOWN" }, 500, 502],
      [{ device_id: "D" }, 200, 502],
      [["garbage"], 200, 502],
      [{ user_id: 7, device_id: "D" }, 200, 502],
    ];
    for (const [index, [body, upstream, status]] of cases.entries()) {
      const unhook = whoamiSays(body, upstream);
      const answer = await rig.request(alice, { body: {}, token: `unknown-${index}` });
      unhook();
      expect([index, answer.status]).toEqual([index, status]);
      if (status !== 401) continue;
      expect(answer.json).toEqual({ errcode: "M_UNKNOWN_TOKEN", error: "HTTP 401 : /whoami returned HTTP 401" });
    }
    expect((await rig.request(alice, { body: {}, timeout: 0 })).status).toBe(200);
  });

  test("[DEV-1] devices of one user are polled each, and their connections know nothing of each other", async () => {
    const laptop = rig.account("alice", {}, "LAPTOP");
    const [phone1, laptop1] = [await rig.sync(alice, LIST), await rig.sync(laptop, LIST)];
    await say(laptop, "hello");
    expect(bodies(await rig.sync(alice, {}, { pos: phone1.pos }))).toEqual(["hello"]);
    expect(bodies(await rig.sync(laptop, {}, { pos: laptop1.pos }))).toEqual(["hello"]);
    expect(await rig.request(laptop, { body: {}, pos: phone1.pos })).toMatchObject({ status: 400 });
    revoke(laptop);
    await say(alice, "again");
    expect((await rig.request(alice, { body: {}, timeout: 0 })).status).toBe(200);
  });

  test("[DEV-2] connections of one device have positions, lists and subscriptions of their own", async () => {
    const a = await rig.sync(alice, { conn_id: "a", ...LIST });
    const b = await rig.sync(alice, { conn_id: "b", room_subscriptions: { "!a:test": { timeline_limit: 1 } } });
    expect(Object.keys(b.lists)).toEqual([]);
    await say(alice, "hello");
    const [a2, b2] = [
      await rig.sync(alice, { conn_id: "a" }, { pos: a.pos }),
      await rig.sync(alice, { conn_id: "b" }, { pos: b.pos }),
    ];
    expect([bodies(a2), bodies(b2)]).toEqual([["hello"], ["hello"]]);
    expect(await rig.request(alice, { body: { conn_id: "b" }, pos: a2.pos })).toMatchObject({ status: 400 });
    expect(await rig.request(alice, { body: {}, pos: a2.pos })).toMatchObject({ status: 400 });
    expect((await rig.sync(alice, { conn_id: "a" }, { pos: a2.pos })).lists["all"]).toEqual({ count: 1 });
  });

  test("[DEV-3] of two clients on one connection the one that started last has it", async () => {
    const one = await rig.sync(alice, LIST);
    const parked = rig.request(alice, { body: {}, pos: one.pos, timeout: LONG });
    await rig.waiting(1);
    const two = await rig.sync(alice, LIST);
    expect((await parked).status).toBe(200);
    expect(await rig.request(alice, { body: {}, pos: one.pos })).toMatchObject({
      status: 400,
      json: { errcode: "M_UNKNOWN_POS" },
    });
    expect((await rig.sync(alice, {}, { pos: two.pos })).lists["all"]).toEqual({ count: 1 });
  });

  test("[DEV-4] a token without a device is served, with a place of its own", async () => {
    const unhook = whoamiSays({ user_id: aliceId });
    const bridge = rig.node.homeserver.addAccount("alice", "bridge", "ANY");
    rig.node.homeserver.queueResponse(bridge, { next_batch: "b1", ...rig.joined(aliceId, ["b"]) });
    const first = await rig.sync(bridge, LIST);
    expect(first.lists["all"]?.count).toBeGreaterThan(0);
    expect((await rig.sync(bridge, {}, { pos: first.pos })).lists["all"]?.count).toBe(first.lists["all"]?.count);
    unhook();
    expect(await rig.request(alice, { body: {}, pos: first.pos })).toMatchObject({ status: 400 });
  });

  test("[DEV-5] a guest is a user like any other", async () => {
    const unhook = whoamiSays({ user_id: aliceId, device_id: "PHONE", is_guest: true });
    expect((await rig.sync(alice, LIST)).lists["all"]).toMatchObject({ count: 1 });
    unhook();
  });
});
