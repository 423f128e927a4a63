import { describe, expect, test } from "bun:test";
import type { Json } from "#src/demo/homeserver/wire.ts";
import { bodies, Caller, limit, types } from "./caller.ts";

describe("joined rooms in classic sync", () => {
  test("[DEMO-1] a first sync gives the state before its timeline and no event twice", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const roomId = caller.hs.createRoom(alice, { name: "Tea" });
    caller.hs.send(alice, roomId, "one");
    const room = (await caller.sync(alice, undefined, limit(2))).rooms?.join?.[roomId];
    expect(types(room?.timeline.events)).toEqual(["m.room.name", "m.room.message"]);
    expect(room?.timeline.limited).toBe(true);
    expect(types(room?.state?.events)).toEqual([
      "m.room.create",
      "m.room.member",
      "m.room.power_levels",
      "m.room.join_rules",
      "m.room.history_visibility",
      "m.room.guest_access",
    ]);
  });

  test("[DEMO-2] state that a timeline event replaced is given as it was before the timeline", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const roomId = caller.hs.createRoom(alice, { name: "Old" });
    caller.hs.setState(alice, roomId, "m.room.name", { name: "New" });
    const room = (await caller.sync(alice, undefined, limit(1))).rooms?.join?.[roomId];
    const before = room?.state?.events.find((event) => event["type"] === "m.room.name");
    expect(before?.["content"]).toEqual({ name: "Old" });
    const [after] = room?.timeline.events ?? [];
    expect(after?.["content"]).toEqual({ name: "New" });
    const unsigned = after?.["unsigned"] as Json;
    expect(unsigned["prev_content"]).toEqual({ name: "Old" });
    expect(unsigned["replaces_state"]).toBe(before?.["event_id"]);
  });

  test("[DEMO-3] an increment holds only what is new, without a gap and without state", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const quiet = caller.hs.createRoom(alice);
    const roomId = caller.hs.createRoom(alice);
    const { next_batch: since } = await caller.sync(alice);
    caller.hs.send(alice, roomId, "one");
    caller.hs.setState(alice, roomId, "m.room.topic", { topic: "cups" });
    const { rooms } = await caller.sync(alice, since);
    expect(rooms?.join?.[quiet]).toBeUndefined();
    const room = rooms?.join?.[roomId];
    expect(types(room?.timeline.events)).toEqual(["m.room.message", "m.room.topic"]);
    expect(room?.timeline.limited).toBe(false);
    expect(room?.state?.events).toEqual([]);
  });

  test("[DEMO-4] a gap is limited, brings the state changed in it, and pages back to what was missed", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const roomId = caller.hs.createRoom(alice);
    caller.hs.send(alice, roomId, "zero");
    const { next_batch: since } = await caller.sync(alice);
    caller.hs.setState(alice, roomId, "m.room.topic", { topic: "first" });
    caller.hs.setState(alice, roomId, "m.room.topic", { topic: "second" });
    for (const text of ["one", "two", "three"]) caller.hs.send(alice, roomId, text);
    const room = (await caller.sync(alice, since, limit(2))).rooms?.join?.[roomId];
    expect(bodies(room)).toEqual(["two", "three"]);
    expect(room?.timeline.limited).toBe(true);
    expect(room?.state?.events.map((event) => event["content"])).toEqual([{ topic: "second" }]);

    const path = `/rooms/${encodeURIComponent(roomId)}/messages`;
    const from = room?.timeline.prev_batch ?? "";
    const back = await caller.call(alice, "GET", `${path}?dir=b&limit=2&from=${from}`);
    const chunk = back.body["chunk"] as Json[];
    expect(chunk.map((event) => event["content"])).toEqual([{ msgtype: "m.text", body: "one" }, { topic: "second" }]);
    const next = await caller.call(alice, "GET", `${path}?dir=b&limit=100&from=${String(back.body["end"])}`);
    const rest = next.body["chunk"] as Json[];
    expect(rest.slice(0, 2).map((event) => event["content"])).toEqual([
      { topic: "first" },
      { msgtype: "m.text", body: "zero" },
    ]);
    expect(next.body["end"]).toBeUndefined();
    const forward = await caller.call(alice, "GET", `${path}?dir=f&limit=100&from=${since}&to=${from}`);
    expect(types(forward.body["chunk"] as Json[])).toEqual(["m.room.topic", "m.room.topic", "m.room.message"]);
  });

  test("[DEMO-5] a room joined, or left and joined again, comes whole", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const roomId = caller.hs.createRoom(alice, { preset: "public_chat" });
    caller.hs.send(alice, roomId, "before");
    const first = await caller.sync(bob);
    expect(first.rooms?.join).toBeUndefined();
    caller.hs.join(bob, roomId);
    const joined = await caller.sync(bob, first.next_batch, limit(2));
    expect(types(joined.rooms?.join?.[roomId]?.timeline.events)).toEqual(["m.room.message", "m.room.member"]);
    expect(types(joined.rooms?.join?.[roomId]?.state?.events)).toContain("m.room.create");
    caller.hs.leave(bob, roomId);
    caller.hs.send(alice, roomId, "meanwhile");
    caller.hs.join(bob, roomId);
    const again = await caller.sync(bob, joined.next_batch, limit(2));
    expect(types(again.rooms?.join?.[roomId]?.state?.events)).toContain("m.room.create");
    expect(again.rooms?.leave).toBeUndefined();
  });

  test("[DEMO-6] unread numbers are messages of others since the own receipt; highlights hold the own name", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const roomId = caller.hs.createRoom(alice, { preset: "public_chat" });
    caller.hs.join(bob, roomId);
    const { next_batch: since } = await caller.sync(bob);
    const counts = async (): Promise<unknown> =>
      (await caller.sync(bob, since)).rooms?.join?.[roomId]?.unread_notifications;
    caller.hs.send(alice, roomId, "hello");
    const second = caller.hs.send(alice, roomId, "Bob, are you there?");
    caller.hs.send(alice, roomId, "hm");
    expect(await counts()).toEqual({ notification_count: 3, highlight_count: 1 });
    caller.hs.read(bob, roomId, second);
    expect(await counts()).toEqual({ notification_count: 1, highlight_count: 0 });
    caller.hs.read(bob, roomId, second, "m.read.private");
    expect(await counts()).toEqual({ notification_count: 1, highlight_count: 0 });
    caller.hs.send(bob, roomId, "yes");
    expect(await counts()).toEqual({ notification_count: 0, highlight_count: 0 });
  });

  test("[DEMO-7] with MSC4222 the state after the timeline replaces the state before it", async () => {
    const caller = new Caller({ stateAfter: "unstable" });
    const alice = caller.hs.user("alice");
    const roomId = caller.hs.createRoom(alice, { name: "Old" });
    const query = { "org.matrix.msc4222.use_state_after": "true" };
    const first = await caller.sync(alice, undefined, { ...query, ...limit(1) });
    const whole = first.rooms?.join?.[roomId];
    expect(whole?.state).toBeUndefined();
    expect(types(whole?.["org.matrix.msc4222.state_after"]?.events)).toContain("m.room.name");
    caller.hs.setState(alice, roomId, "m.room.name", { name: "New" });
    const next = await caller.sync(alice, first.next_batch, query);
    const after = next.rooms?.join?.[roomId]?.["org.matrix.msc4222.state_after"]?.events;
    expect(after?.map((event) => event["content"])).toEqual([{ name: "New" }]);
    const unasked = await caller.sync(alice, first.next_batch);
    expect(unasked.rooms?.join?.[roomId]?.state?.events).toEqual([]);
  });

  test("[DEMO-8] old tokens still work and full_state gives every room", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const quiet = caller.hs.createRoom(alice);
    const { next_batch: old } = await caller.sync(alice);
    const roomId = caller.hs.createRoom(alice);
    await caller.sync(alice, (await caller.sync(alice, old)).next_batch, { full_state: "true" });
    const replay = await caller.sync(alice, old);
    expect(Object.keys(replay.rooms?.join ?? {})).toEqual([roomId]);
    const full = await caller.sync(alice, replay.next_batch, { full_state: "true" });
    expect(Object.keys(full.rooms?.join ?? {})).toEqual([quiet, roomId]);
    expect(types(full.rooms?.join?.[quiet]?.state?.events)).toContain("m.room.create");
    const bad = await caller.call(alice, "GET", "/sync?since=nonsense");
    expect(bad).toMatchObject({ status: 400, body: { errcode: "M_INVALID_PARAM" } });
  });

  test("[DEMO-9] the transaction id is told to the device that sent, and to no other", async () => {
    const caller = new Caller();
    const phone = caller.hs.user("alice", { deviceId: "PHONE" });
    const laptop = caller.hs.user("alice", { deviceId: "LAPTOP" });
    const roomId = caller.hs.createRoom(phone);
    const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/t1`;
    const sent = await caller.call(phone, "PUT", path, { body: "hi" });
    const repeated = await caller.call(phone, "PUT", path, { body: "hi" });
    expect(repeated.body).toEqual(sent.body);
    const last = async (session: typeof phone): Promise<Json> => {
      const events = (await caller.sync(session)).rooms?.join?.[roomId]?.timeline.events ?? [];
      expect(types(events).filter((type) => type === "m.room.message")).toHaveLength(1);
      return events.at(-1)?.["unsigned"] as Json;
    };
    expect((await last(phone))["transaction_id"]).toBe("t1");
    expect((await last(laptop))["transaction_id"]).toBeUndefined();
  });

  test("[DEMO-10] a redaction strips the stored event and arrives as an event", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const roomId = caller.hs.createRoom(alice);
    const eventId = caller.hs.send(alice, roomId, "secret");
    const { next_batch: since } = await caller.sync(alice);
    const redactionId = caller.hs.redact(alice, roomId, eventId);
    const [redaction] = (await caller.sync(alice, since)).rooms?.join?.[roomId]?.timeline.events ?? [];
    expect(redaction).toMatchObject({ event_id: redactionId, redacts: eventId, content: { redacts: eventId } });
    const stripped = await caller.call(alice, "GET", `/rooms/${roomId}/event/${encodeURIComponent(eventId)}`);
    expect(stripped.body["content"]).toEqual({});
    expect((stripped.body["unsigned"] as Json)["redacted_because"]).toMatchObject({ event_id: redactionId });
  });
});

describe("invites, knocks and left rooms in classic sync", () => {
  test("[DEMO-11] an invite comes once, with stripped state and the own invite", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const roomId = caller.hs.createRoom(alice, { name: "Tea", invite: ["@bob:test"] });
    const first = await caller.sync(bob);
    const events = first.rooms?.invite?.[roomId]?.invite_state.events ?? [];
    expect(types(events)).toEqual([
      "m.room.create",
      "m.room.member",
      "m.room.join_rules",
      "m.room.name",
      "m.room.member",
    ]);
    expect(events.at(-1)).toMatchObject({ state_key: "@bob:test", content: { membership: "invite" } });
    caller.hs.send(alice, roomId, "unseen");
    const later = await caller.sync(bob, first.next_batch);
    expect(later.rooms).toBeUndefined();
  });

  test("[DEMO-12] a rejected or withdrawn invite ends in the leave section with nothing of the room", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const rejected = caller.hs.createRoom(alice, { invite: ["@bob:test"] });
    const withdrawn = caller.hs.createRoom(alice, { invite: ["@bob:test"] });
    const { next_batch: since } = await caller.sync(bob);
    caller.hs.leave(bob, rejected);
    caller.hs.kick(alice, withdrawn, bob);
    const { rooms } = await caller.sync(bob, since);
    expect(rooms?.invite).toBeUndefined();
    for (const roomId of [rejected, withdrawn]) {
      const part = rooms?.leave?.[roomId];
      expect(types(part?.timeline.events)).toEqual(["m.room.member"]);
      expect(part?.state?.events).toEqual([]);
    }
    expect(rooms?.leave?.[withdrawn]?.timeline.events[0]?.["sender"]).toBe("@alice:test");
  });

  test("[DEMO-13] leaving gives what happened up to it and nothing after", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const roomId = caller.hs.createRoom(alice, { preset: "public_chat" });
    caller.hs.join(bob, roomId);
    const { next_batch: since } = await caller.sync(bob);
    caller.hs.send(alice, roomId, "bye");
    caller.hs.leave(bob, roomId);
    caller.hs.send(alice, roomId, "now we can talk");
    const left = await caller.sync(bob, since);
    expect(bodies(left.rooms?.leave?.[roomId])).toEqual(["bye", undefined]);
    expect(left.rooms?.join).toBeUndefined();
    caller.hs.send(alice, roomId, "more");
    expect((await caller.sync(bob, left.next_batch)).rooms).toBeUndefined();
    const messages = await caller.call(bob, "GET", `/rooms/${roomId}/messages?dir=b&limit=100`);
    expect(JSON.stringify(messages.body)).not.toContain("talk");
  });

  test("[DEMO-14] a first sync tells of kicks and bans, but of own leaves only when asked", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const [left = "", kicked = "", banned = "", forgotten = ""] = [1, 2, 3, 4].map(() => {
      const roomId = caller.hs.createRoom(alice, { preset: "public_chat" });
      caller.hs.join(bob, roomId);
      return roomId;
    });
    caller.hs.leave(bob, left);
    caller.hs.kick(alice, kicked, bob);
    caller.hs.ban(alice, banned, bob);
    caller.hs.kick(alice, forgotten, bob);
    await caller.call(bob, "POST", `/rooms/${forgotten}/forget`);
    expect(Object.keys((await caller.sync(bob)).rooms?.leave ?? {})).toEqual([kicked, banned]);
    const asked = await caller.sync(bob, undefined, { filter: '{"room":{"include_leave":true}}' });
    expect(Object.keys(asked.rooms?.leave ?? {})).toEqual([left, kicked, banned]);
  });

  test("[DEMO-15] a knock is a section of its own and becomes an invite", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const rules = { type: "m.room.join_rules", content: { join_rule: "knock" } };
    const roomId = caller.hs.createRoom(alice, { initial_state: [rules] });
    const { next_batch: since } = await caller.sync(bob);
    await caller.call(bob, "POST", `/knock/${roomId}`, {});
    const knocked = await caller.sync(bob, since);
    expect(knocked.rooms?.knock?.[roomId]?.knock_state.events.at(-1)).toMatchObject({
      content: { membership: "knock" },
    });
    caller.hs.invite(alice, roomId, bob);
    const invited = await caller.sync(bob, knocked.next_batch);
    expect(Object.keys(invited.rooms ?? {})).toEqual(["invite"]);
  });

  test("[DEMO-16] invites and messages of ignored users are left out", async () => {
    const caller = new Caller();
    const alice = caller.hs.user("alice");
    const bob = caller.hs.user("bob");
    const roomId = caller.hs.createRoom(alice, { preset: "public_chat" });
    caller.hs.join(bob, roomId);
    caller.hs.setAccountData(bob, null, "m.ignored_user_list", { ignored_users: { "@alice:test": {} } });
    const { next_batch: since } = await caller.sync(bob);
    caller.hs.send(alice, roomId, "psst");
    caller.hs.createRoom(alice, { invite: ["@bob:test"] });
    const { rooms } = await caller.sync(bob, since);
    expect(rooms?.invite).toBeUndefined();
    expect(bodies(rooms?.join?.[roomId])).toEqual([]);
  });
});
