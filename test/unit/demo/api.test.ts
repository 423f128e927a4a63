import { describe, expect, test } from "bun:test";
import type { Json } from "#src/demo/homeserver/wire.ts";
import { errorResponse, TestHomeserver } from "#test/support/homeserver.ts";
import { Caller, types } from "./caller.ts";
import { ManualTime } from "./manual-time.ts";

const request = (path: string, init: RequestInit = {}): Request => new Request(`http://localhost${path}`, init);

describe("accounts", () => {
  test("[DEMO-50] register, log in with the password, log out", async () => {
    const { hs } = new Caller();
    const post = async (path: string, body: Json, token?: string): Promise<{ status: number; body: Json }> => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const response = await hs.handle(request(path, { method: "POST", body: JSON.stringify(body), headers }));
      return { status: response.status, body: (await response.json()) as Json };
    };
    const base = "/_matrix/client/r0";
    const wanted = { username: "dora", password: "s3cret", device_id: "D1" };
    expect((await post(`${base}/register`, wanted)).status).toBe(401);
    const registered = await post(`${base}/register`, { ...wanted, auth: { type: "m.login.dummy" } });
    expect(registered.body).toMatchObject({ user_id: "@dora:test", device_id: "D1" });
    expect((await post(`${base}/register`, { ...wanted, auth: {} })).body["errcode"]).toBe("M_USER_IN_USE");
    const login = { type: "m.login.password", identifier: { type: "m.id.user", user: "dora" } };
    expect((await post(`${base}/login`, { ...login, password: "wrong" })).body["errcode"]).toBe("M_FORBIDDEN");
    const { body } = await post("/_matrix/client/v3/login", { ...login, password: "s3cret" });
    const token = String(body["access_token"]);
    expect((await post(`${base}/logout`, {}, token)).status).toBe(200);
    expect((await post(`${base}/logout`, {}, token)).body).toMatchObject({ errcode: "M_UNKNOWN_TOKEN" });
    expect((await post(`${base}/logout`, {})).body).toMatchObject({ errcode: "M_MISSING_TOKEN" });
  });

  test("[DEMO-51] an old homeserver speaks of r0 only and answers nowhere else", async () => {
    const modern = new Caller();
    const old = new Caller({ specAge: "r0" });
    const versions = async ({ hs }: Caller): Promise<string[]> => {
      const response = await hs.handle(request("/_matrix/client/versions"));
      return ((await response.json()) as { versions: string[] }).versions;
    };
    expect(await versions(modern)).toContain("v1.11");
    expect((await versions(old)).every((version) => version.startsWith("r0"))).toBe(true);
    const alice = old.hs.user("alice");
    expect((await old.call(alice, "GET", "/sync")).body["errcode"]).toBe("M_UNRECOGNIZED");
    const headers = { authorization: `Bearer ${alice.accessToken}` };
    expect((await old.hs.handle(request("/_matrix/client/r0/sync", { headers }))).status).toBe(200);
  });
});

describe("rooms", () => {
  test("[DEMO-60] strangers and the banned are kept out, the weak keep the name", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const closed = caller.hs.createRoom(alice);
    const open = caller.hs.createRoom(alice, { preset: "public_chat" });
    const errcode = async (method: string, path: string, body?: Json): Promise<unknown> =>
      (await caller.call(bob, method, path, body)).body["errcode"];
    expect(await errcode("POST", `/join/${closed}`, {})).toBe("M_FORBIDDEN");
    expect(await errcode("PUT", `/rooms/${closed}/send/m.room.message/1`, {})).toBe("M_FORBIDDEN");
    expect(await errcode("GET", `/rooms/${closed}/messages?dir=b`)).toBe("M_FORBIDDEN");
    expect(await errcode("GET", `/rooms/${closed}/state`)).toBe("M_FORBIDDEN");
    expect(await errcode("POST", "/join/!nowhere:test", {})).toBe("M_NOT_FOUND");
    expect(await errcode("POST", `/join/${open}`, {})).toBeUndefined();
    expect(await errcode("PUT", `/rooms/${open}/state/m.room.name`, { name: "mine" })).toBe("M_FORBIDDEN");
    expect(await errcode("POST", `/rooms/${open}/kick`, { user_id: "@alice:test" })).toBe("M_FORBIDDEN");
    caller.hs.ban(alice, open, bob);
    expect(await errcode("POST", `/join/${open}`, {})).toBe("M_FORBIDDEN");
    await caller.call(alice, "POST", `/rooms/${open}/unban`, { user_id: "@bob:test" });
    expect(await errcode("POST", `/join/${open}`, {})).toBeUndefined();
  });

  test("[DEMO-61] a room is made as asked: space, encrypted, direct, with an alias", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const { body } = await caller.call(alice, "POST", "/createRoom", {
      name: "Garden",
      preset: "trusted_private_chat",
      is_direct: true,
      invite: ["@bob:test"],
      room_alias_name: "garden",
      creation_content: { type: "m.space" },
      initial_state: [{ type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    const roomId = String(body["room_id"]);
    const state = async (type: string, key = ""): Promise<Json> =>
      (await caller.call(alice, "GET", `/rooms/${roomId}/state/${type}/${key}`)).body;
    expect(await state("m.room.create")).toEqual({ type: "m.space", room_version: "11" });
    expect(await state("m.room.encryption")).toEqual({ algorithm: "m.megolm.v1.aes-sha2" });
    expect(await state("m.room.name")).toEqual({ name: "Garden" });
    expect(await state("m.room.member", "@bob:test")).toMatchObject({ membership: "invite", is_direct: true });
    expect((await state("m.room.power_levels"))["users"]).toEqual({ "@alice:test": 100, "@bob:test": 100 });
    await caller.call(bob, "POST", `/join/${encodeURIComponent("#garden:test")}`, {});
    const { body: joined } = await caller.call(bob, "GET", "/joined_rooms");
    expect(joined["joined_rooms"]).toEqual([roomId]);
  });

  test("[DEMO-62] a changed profile shows in every room", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const roomId = caller.hs.createRoom(alice);
    const { next_batch: since } = await caller.sync(alice);
    await caller.call(alice, "PUT", "/profile/@alice:test/displayname", { displayname: "Al" });
    const events = (await caller.sync(alice, since)).rooms?.join?.[roomId]?.timeline.events;
    expect(types(events)).toEqual(["m.room.member"]);
    expect(events?.[0]?.["content"]).toEqual({ membership: "join", displayname: "Al" });
  });

  test("[DEMO-63] the context of an event is what surrounds it", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const roomId = caller.hs.createRoom(alice);
    const [, , middle = ""] = ["a", "b", "c", "d", "e"].map((text) => caller.hs.send(alice, roomId, text));
    const { body } = await caller.call(alice, "GET", `/rooms/${roomId}/context/${encodeURIComponent(middle)}?limit=4`);
    const texts = (key: string): unknown[] => (body[key] as Json[]).map((event) => (event["content"] as Json)["body"]);
    expect(texts("events_before")).toEqual(["b", "a"]);
    expect(texts("events_after")).toEqual(["d", "e"]);
    const more = await caller.call(alice, "GET", `/rooms/${roomId}/messages?dir=f&from=${String(body["end"])}`);
    expect(more.body["chunk"]).toEqual([]);
  });
});

describe("scripted answers", () => {
  test("[DEMO-70] a puppet is answered only with what is queued, in order, even with timeout 0", async () => {
    const caller = new Caller();
    const bob = caller.hs.addAccount("bob", "tok");
    const held = caller.call("tok", "GET", "/sync?timeout=0");
    await caller.hs.waitUntilPolled("bob");
    caller.hs.queueResponse("tok", { next_batch: "any#thing" });
    expect((await held).body).toEqual({ next_batch: "any#thing" });
    caller.hs.queueSync(bob, errorResponse(429, "M_LIMIT_EXCEEDED", { retryAfterMs: 1500 }));
    caller.hs.queueResponse("bob", { next_batch: "b" });
    const limited = await caller.hs.handle(request("/_matrix/client/r0/sync?access_token=tok&since=any%23thing"));
    expect(limited.status).toBe(429);
    expect(limited.headers.get("retry-after")).toBe("2");
    expect((await caller.call("tok", "GET", "/sync")).body).toEqual({ next_batch: "b" });
    expect(caller.hs.syncs("tok").map((seen) => seen.query["since"])).toEqual([undefined, "any#thing", undefined]);
    expect(caller.hs.counts()["GET /sync"]).toBe(3);
  });

  test("[DEMO-71] one scripted answer interrupts an honest account and nothing is lost by it", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const roomId = caller.hs.createRoom(alice);
    const { next_batch: since } = await caller.sync(alice);
    const parked = caller.call(alice, "GET", `/sync?timeout=30000&since=${since}`);
    await caller.hs.waitUntilPolled(alice);
    caller.hs.queueSync(alice, errorResponse(500));
    expect((await parked).status).toBe(500);
    caller.hs.send(alice, roomId, "still here");
    expect(types((await caller.sync(alice, since)).rooms?.join?.[roomId]?.timeline.events)).toEqual(["m.room.message"]);
  });

  test("[DEMO-72] silence lasts as long as told, events or not", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const roomId = caller.hs.createRoom(alice);
    const { next_batch: since } = await caller.sync(alice);
    caller.hs.queueSync(alice, { kind: "silence", forMs: 120_000 });
    let isAnswered = false;
    const parked = caller.sync(alice, since, { timeout: "0" }).finally(() => {
      isAnswered = true;
    });
    await caller.hs.waitUntilPolled(alice);
    caller.hs.send(alice, roomId, "hello?");
    caller.time.advance(119_999);
    await caller.hs.waitUntilPolled(alice);
    expect(isAnswered).toBe(false);
    caller.time.advance(1);
    expect(types((await parked).rooms?.join?.[roomId]?.timeline.events)).toEqual(["m.room.message"]);
  });

  test("[DEMO-73] a cut answer breaks off after its first half", async () => {
    const time = new ManualTime();
    const hs = new TestHomeserver({ clock: time, timers: time });
    hs.addAccount("bob", "tok");
    hs.queueSync("tok", { kind: "cut", body: '{"next_ba' });
    const response = await hs.handle(request("/_matrix/client/v3/sync?access_token=tok"));
    const reader = response.body?.getReader();
    const first = await reader?.read();
    expect(new TextDecoder().decode(first?.value as Uint8Array)).toBe('{"next_ba');
    const second = reader?.read().then(
      () => "went on",
      () => "broke off",
    );
    time.advance(1000);
    expect(await second).toBe("broke off");
  });

  test("[DEMO-74] a hook replaces any single answer until it is taken away", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const remove = caller.hs.onRequest((seen) =>
      seen.route === "/account/whoami" ? new Response("{", { status: 200 }) : undefined,
    );
    const whoami = (): Promise<Response> =>
      caller.hs.handle(
        request("/_matrix/client/v3/account/whoami", { headers: { authorization: `Bearer ${alice.accessToken}` } }),
      );
    expect(await (await whoami()).text()).toBe("{");
    remove();
    expect(((await (await whoami()).json()) as Json)["user_id"]).toBe("@alice:test");
  });

  test("[DEMO-75] it stops and comes back on the same port with everything it knew", async () => {
    const hs = new TestHomeserver({});
    const alice = hs.user("alice");
    const roomId = hs.createRoom(alice);
    hs.start();
    const { url } = hs;
    const joined = async (): Promise<unknown> => {
      const headers = { authorization: `Bearer ${alice.accessToken}` };
      return (await fetch(`${url}/_matrix/client/v3/joined_rooms`, { headers })).json();
    };
    expect(await joined()).toEqual({ joined_rooms: [roomId] });
    await hs.stop();
    expect(await joined().catch(() => "refused")).toBe("refused");
    hs.start();
    expect(hs.url).toBe(url);
    expect(await joined()).toEqual({ joined_rooms: [roomId] });
    await hs.stop();
  });
});
