import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig, SYNC_PATH } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import type { RigResponse } from "#test/support/sync-rig.ts";
import { until } from "#test/support/until.ts";

const V3 = "/_matrix/client/v3";
/** So long that only news end it. */
const LONG = 100_000;
let rig: FrontRig;

beforeEach(async () => {
  rig = await FrontRig.start({ isForwarding: true });
});
afterEach(() => rig.stop());

/** A request of a client's that is the homeserver's matter. */
const call = async (session: Session, method: string, path: string, body?: unknown): Promise<Response> =>
  fetch(`${rig.url}${V3}${path}`, {
    method,
    headers: { authorization: `Bearer ${session.accessToken}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

const counts = (response: RigResponse): unknown => response.extensions["e2ee"]?.["device_one_time_keys_count"];

describe("one origin for both", () => {
  test("[FWD-60] key counts are right at once after an upload", async () => {
    const alice = rig.node.homeserver.user("alice", { accessToken: "token" });
    const request = { conn_id: "encryption", extensions: { e2ee: { enabled: true } } };
    const first = await rig.sync(alice, request);
    await rig.node.homeserver.waitUntilPolled(alice);
    const waiting = rig.sync(alice, request, { pos: first.pos, timeout: LONG });
    const keys = Object.fromEntries(
      Array.from({ length: 7 }, (_, index) => [`signed_curve25519:AA${index}`, { key: "k" }]),
    );
    const before = rig.node.homeserver.syncs(alice).length;
    expect((await call(alice, "POST", "/keys/upload", { one_time_keys: keys })).status).toBe(200);
    expect(counts(await waiting)).toEqual({ signed_curve25519: 7 });
    const since = rig.node.homeserver.syncs(alice).slice(before);
    // The early poll goes on where the one that it cut short began.
    expect(since[0]?.query["timeout"]).toBe("0");
    expect(since[0]?.query["since"]).toBe(rig.node.homeserver.syncs(alice)[before - 1]?.query["since"] as string);
  });

  test("[FWD-61] who logs out through us waits no longer, is told so by the next answer, and polled no more", async () => {
    const alice = rig.node.homeserver.user("alice", { accessToken: "token" });
    const first = await rig.sync(alice, {});
    await rig.node.homeserver.waitUntilPolled(alice);
    const waiting = rig.request(alice, { body: {}, pos: first.pos, timeout: LONG });
    await rig.waiting(1);
    expect((await call(alice, "POST", "/logout", {})).status).toBe(200);
    const { json } = await waiting;
    expect(json["rooms"]).toEqual({});
    const next = await rig.request(alice, { body: {}, pos: String(json["pos"]) });
    expect(next).toMatchObject({ status: 401, json: { errcode: "M_UNKNOWN_TOKEN" } });
    await rig.node.until(() => rig.node.metrics.gauges.get("sliding_sync_poller_num_pollers")?.() === 0);
  });

  test("[FWD-62] a room that is forgotten through us is forgotten here, and comes anew with the next invite", async () => {
    const ALICE = "@alice:test";
    const alice = rig.account("alice", rig.joined(ALICE, ["a", "b"]));
    rig.revealRooms();
    const list = { lists: { all: { ranges: [[0, 9]], timeline_limit: 1 } } };
    const first = await rig.sync(alice, list);
    expect(first.lists["all"]?.count).toBe(2);
    const kick = rig.event("m.room.member", "@mod:test", { membership: "leave" }, ALICE);
    await rig.poll(alice, { rooms: { leave: { "!a:test": { timeline: { events: [kick] } } } } });
    const second = await rig.sync(alice, {}, { pos: first.pos });
    expect(second.lists["all"]?.count).toBe(1);
    const remove = rig.node.homeserver.onRequest(({ pathname }) =>
      pathname.endsWith("/forget") ? Response.json({}) : undefined,
    );
    expect((await call(alice, "POST", "/rooms/!a%3Atest/forget", {})).status).toBe(200);
    remove();
    const standing = async (): Promise<object | undefined> =>
      (await rig.node.stores.rooms.loadUser(alice.account.userId as never, () => false)).rooms.find(
        ({ meta }) => meta?.roomId === "!a:test",
      )?.standing;
    await until("the room to be forgotten", async () => (await standing())?.["memberSender" as never] === ALICE);
    expect(await standing()).toMatchObject({ membership: "leave", memberSender: ALICE, joinPos: 0, leftPos: null });
    // Nothing of it can be had any more, not by asking for it either.
    const asked = await rig.sync(
      alice,
      { room_subscriptions: { "!a:test": { timeline_limit: 9 } } },
      { pos: second.pos },
    );
    expect(asked.rooms["!a:test"]?.timeline ?? []).toEqual([]);
    const invite = rig.event("m.room.member", "@mod:test", { membership: "invite" }, ALICE);
    await rig.poll(alice, { rooms: { invite: { "!a:test": { invite_state: { events: [invite] } } } } });
    expect((await rig.sync(alice, {}, { pos: asked.pos })).lists["all"]?.count).toBe(2);
  });

  test("[FWD-65] a room that was left and forgotten, and of which no sync ever says so, leaves the list", async () => {
    const ALICE = "@alice:test";
    const alice = rig.account("alice", rig.joined(ALICE, ["a", "b"]));
    rig.revealRooms();
    rig.node.homeserver.onRequest(({ pathname }) => {
      if (pathname.endsWith("/forget")) return Response.json({});
      if (pathname.endsWith("/joined_rooms")) return Response.json({ joined_rooms: ["!b:test"] });
      if (pathname.endsWith("/state")) return Response.json({ errcode: "M_FORBIDDEN" }, { status: 403 });
      return undefined;
    });
    const first = await rig.sync(alice, { lists: { all: { ranges: [[0, 9]], timeline_limit: 1 } } });
    expect(first.lists["all"]?.count).toBe(2);
    await call(alice, "POST", "/rooms/!a%3Atest/forget", {});
    let last = first;
    // The comparison has a pace of its own, however fast polls are.
    await until("the room to leave the list", async () => {
      await rig.poll(alice, {});
      last = await rig.sync(alice, {}, { pos: last.pos });
      return last.lists["all"]?.count === 1;
    });
  });

  test("[FWD-63] classic sync and sliding sync live at one address; versions tell of both", async () => {
    const alice = rig.node.homeserver.user("alice", { accessToken: "token" });
    const classic = await call(alice, "GET", "/sync?timeout=0");
    expect(await classic.json()).toHaveProperty("next_batch");
    expect((await rig.request(alice, { body: {}, path: `${V3}/sync`, timeout: 0 })).json).toHaveProperty("pos");
    const versions = await fetch(`${rig.url}/_matrix/client/versions`);
    expect(await versions.json()).toMatchObject({ unstable_features: { "org.matrix.msc3575": true } });
    for (const path of [SYNC_PATH, `${V3}/sync`]) {
      const preflight = await fetch(`${rig.url}${path}`, { method: "OPTIONS" });
      expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
    }
    expect((await fetch(`${rig.url}${SYNC_PATH}`)).status).toBe(405);
  });

  test("[FWD-64] limits and errors of sync are the same behind the front", async () => {
    const alice = rig.node.homeserver.user("alice", { accessToken: "token" });
    const codeOf = async (body: string): Promise<unknown[]> => {
      const { status, json } = await rig.request(alice, { body, timeout: 0 });
      return [status, json["errcode"]];
    };
    expect(await codeOf("not json")).toEqual([400, "M_NOT_JSON"]);
    expect(await codeOf(JSON.stringify({ x: "x".repeat(1024 * 1024) }))).toEqual([413, "M_TOO_LARGE"]);
    expect((await rig.request(alice, { token: null })).json["errcode"]).toBe("M_MISSING_TOKEN");
    const chunks = new Blob(["{", "}"]).stream();
    const chunked = await fetch(`${rig.url}${SYNC_PATH}?timeout=0`, {
      method: "POST",
      headers: { authorization: "Bearer token" },
      body: chunks,
    });
    expect(chunked.status).toBe(200);
  });
});
