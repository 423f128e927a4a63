import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { errorResponse, type Session } from "#test/support/homeserver.ts";

const ALICE = "@alice:test";
const LIST = { ranges: [[0, 9]], timeline_limit: 5 };
const request = { lists: { all: LIST } };

const unknownToken = (reason: string) => ({
  status: 401,
  json: { errcode: "M_UNKNOWN_TOKEN", error: `HTTP 401 : ${reason}` },
});
const REFUSED = unknownToken("/whoami returned HTTP 401");
const DIED = unknownToken("EnsurePolling failed: access token invalid or invalidated");

describe("tokens over HTTP", () => {
  let rig: FrontRig;

  beforeEach(async () => {
    rig = await FrontRig.start();
  });

  afterEach(() => rig.stop());

  const account = (deviceId = "DEV"): Session => rig.account("alice", rig.joined(ALICE, ["b", "a"]), deviceId);
  const syncsOf = (session: Session) => rig.node.homeserver.syncs(session).length;
  const whoami = () => rig.node.homeserver.counts()["GET /account/whoami"] ?? 0;

  test("[GW-40] a token that dies before the first sync ends the wait, and is refused from then on", async () => {
    const alice = rig.node.homeserver.addAccount("alice", "token");
    rig.node.homeserver.queueSync(alice, errorResponse(401, "M_UNKNOWN_TOKEN"));
    expect(await rig.request(alice, { body: request })).toMatchObject(DIED);
    rig.node.homeserver.invalidateToken(alice.accessToken);
    expect(await rig.request(alice, { body: request })).toMatchObject(REFUSED);
  });

  test("[GW-41] a new token of the device goes on with the connection, before and after the old one has died", async () => {
    const old = account();
    const first = await rig.sync(old, request);
    const anew = rig.node.homeserver.rotateToken(old, { keepOld: true });
    const second = await rig.sync(anew, {}, { pos: first.pos });
    expect(second.lists).toEqual({ all: { count: 2 } });
    expect((await rig.sync(old, {}, { pos: second.pos })).lists).toEqual({ all: { count: 2 } });
    const { pos } = await rig.sync(anew, { conn_id: "" }, { pos: second.pos });
    rig.node.homeserver.queueResponse(anew, { next_batch: "anew", ...rig.message(ALICE, "b", "with the new token") });
    rig.node.homeserver.invalidateToken(old.accessToken);
    rig.node.homeserver.queueSync(old, errorResponse(401, "M_UNKNOWN_TOKEN"));
    await rig.node.homeserver.waitUntilPolled(anew);
    expect(rig.node.homeserver.syncs(anew)[0]?.query["since"]).toBe("alice-1");
    expect((await rig.sync(anew, {}, { pos })).rooms["!b:test"]).toMatchObject({ num_live: 1 });
  });

  test("[GW-42] while the homeserver is away a connection is served from what is stored, and a new one too", async () => {
    const alice = account();
    const { pos } = await rig.sync(alice, request);
    const remove = rig.node.homeserver.onRequest(() => Response.json({ errcode: "M_UNKNOWN" }, { status: 503 }));
    expect((await rig.sync(alice, {}, { pos })).lists).toEqual({ all: { count: 2 } });
    expect((await rig.sync(alice, request)).rooms["!a:test"]).toMatchObject({ initial: true, name: "a" });
    remove();
  });

  test("[GW-43] who gives up during the first sync finds it done the next time, by the one poller there is", async () => {
    const alice = rig.node.homeserver.addAccount("alice", "token");
    const controller = new AbortController();
    const givenUp = rig.request(alice, { body: request, signal: controller.signal }).catch(() => "gone");
    await rig.node.homeserver.waitUntilPolled(alice);
    controller.abort();
    expect(await givenUp).toBe("gone");
    const again = rig.sync(alice, request);
    await rig.waiting(1);
    rig.node.homeserver.queueResponse(alice, { next_batch: "1", ...rig.joined(ALICE, ["a"]) });
    expect((await again).lists["all"]?.count).toBe(1);
    expect(syncsOf(alice)).toBeLessThanOrEqual(2);
    expect(whoami()).toBe(1);
  });

  test("[GW-44] first requests of several connections at once share one first sync, and all have everything", async () => {
    const alice = rig.node.homeserver.addAccount("alice", "token");
    const all = Promise.all(["a", "b", "c"].map((connId) => rig.sync(alice, { conn_id: connId, ...request })));
    await rig.waiting(3);
    rig.node.homeserver.queueResponse(alice, { next_batch: "1", ...rig.joined(ALICE, ["b", "a"]) });
    for (const { lists } of await all) expect(lists["all"]?.count).toBe(2);
    expect(whoami()).toBe(1);
    await rig.node.homeserver.waitUntilPolled(alice);
    expect(rig.node.homeserver.syncs(alice).filter(({ query }) => query["since"] === undefined)).toHaveLength(1);
  });
});
