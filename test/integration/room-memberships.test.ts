import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Session } from "#test/support/homeserver.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { ALICE, BOB, idsOf, LIST, ROOM, RoomStage } from "#test/support/room-stage.ts";

let stage: RoomStage;
let alice: Session;
let bob: Session;
beforeEach(async () => {
  stage = await RoomStage.start();
});
afterEach(() => stage.stop());

/** Bob's room; Alice is not in it. Both poll. */
async function bobsRoom(more: WireEvent[] = [], timeline: WireEvent[] = [stage.say("before")]): Promise<void> {
  bob = stage.front.account("bob", stage.joins({ state: [stage.create(), stage.member(BOB), ...more], timeline }));
  await stage.first(bob);
}

/** The same, with Alice in it from the beginning; she has seen it. */
async function commonRoom(): Promise<void> {
  const member = stage.member(ALICE);
  await bobsRoom([member]);
  alice = stage.front.account("alice", stage.joins({ state: [member], timeline: [stage.say("x")] }));
  await stage.first(alice);
}

const bobPolls = (...timeline: WireEvent[]) => stage.front.poll(bob, stage.joins({ timeline }));
const aliceInvited = (own: Record<string, unknown> = {}, more: unknown[] = []) =>
  stage.front.poll(alice, stage.invites(stage.stripped(own, more)));
const aliceOut = (...timeline: WireEvent[]) => stage.front.poll(alice, stage.leaves({ timeline }));

describe("invites", () => {
  const begin = async (): Promise<void> => {
    alice = stage.front.account("alice");
    await stage.first(alice);
  };

  test("[INV-20] come with their stripped state as it was sent, and with nothing else that is known of the room", async () => {
    await bobsRoom([stage.event("m.room.name", { name: "Secret" }, "")]);
    alice = stage.front.account("alice");
    await stage.first(alice, { lists: { all: { ...LIST, required_state: [["*", "*"]] } } });
    await aliceInvited();
    const room = stage.room(await stage.next(alice));
    expect(room).toEqual({
      initial: true,
      name: "Bob",
      avatar: null,
      invite_state: stage.stripped(),
      joined_count: 1,
      invited_count: 1,
      notification_count: 0,
      highlight_count: 1,
      timestamp: expect.any(Number),
    } as never);
  });

  test("[INV-21] take name, avatar, kind and directness from the stripped state alone", async () => {
    await begin();
    const state = (type: string, content: object) => ({ type, state_key: "", sender: BOB, content });
    await aliceInvited({ is_direct: true }, [
      state("m.room.name", { name: "Come in" }),
      state("m.room.avatar", { url: "mxc://in" }),
    ]);
    expect(stage.room(await stage.next(alice))).toMatchObject({ name: "Come in", avatar: "mxc://in", is_dm: true });
  });

  test("[INV-22] show the invite itself where a member's poll brought it, and never anything else of the room", async () => {
    await bobsRoom();
    const invite = stage.member(ALICE, "invite", {}, BOB);
    await bobPolls(stage.say("secret"), invite, stage.say("secret too"));
    alice = stage.front.account("alice", stage.invites(stage.stripped()));
    const room = stage.room(await stage.first(alice));
    expect(idsOf(room["timeline"] as WireEvent[])).toEqual(idsOf([invite]));
    expect(room).not.toHaveProperty("required_state");
    expect(stage.room(await stage.first(alice, { lists: { all: { ranges: [[0, 9]] } } }))).not.toHaveProperty(
      "timeline",
    );
  });

  test.each([
    ["rejected", ALICE],
    ["retracted", BOB],
  ])("[INV-23] one that is %s leaves one event behind, once, and nothing of the room", async (_, sender) => {
    await begin();
    await aliceInvited();
    await stage.next(alice);
    const leave = stage.member(ALICE, "leave", {}, sender);
    await aliceOut(leave);
    const gone = await stage.next(alice);
    expect(gone.lists["all"]).toEqual({ count: 0, ops: [{ op: "DELETE", index: 0 }] });
    expect(gone.rooms).toEqual({
      [ROOM]: {
        name: "Empty Room",
        invited_count: 0,
        timeline: [leave],
        num_live: 1,
        notification_count: 0,
        highlight_count: 0,
      },
    } as never);
    await aliceOut(leave);
    expect((await stage.next(alice)).rooms).toEqual({});
    expect((await stage.first(alice)).lists["all"]).toEqual({ count: 0 });
  });

  test.each([true, false])(
    "[INV-24] so does one to a room that others are in, whoever polls first (they do: %p)",
    async (theyFirst) => {
      await bobsRoom();
      alice = stage.front.account("alice");
      await stage.first(alice);
      await bobPolls(stage.member(ALICE, "invite", {}, BOB));
      await aliceInvited();
      await stage.next(alice);
      const leave = stage.member(ALICE, "leave");
      const polls = [() => bobPolls(leave, stage.say("secret")), () => aliceOut(leave)];
      for (const poll of theyFirst ? polls : polls.toReversed()) await poll();
      const gone = await stage.next(alice);
      expect(gone.lists["all"]?.count).toBe(0);
      expect(stage.room(gone)["timeline"]).toEqual([leave]);
      await bobPolls(stage.say("secret"));
      expect((await stage.next(alice)).rooms).toEqual({});
    },
  );

  test("[INV-25] one that is accepted becomes a room that begins with the join", async () => {
    await begin();
    await aliceInvited({ is_direct: true });
    await stage.next(alice);
    const [join, message] = [stage.member(ALICE), stage.say("welcome")];
    const state = [stage.create(), stage.member(BOB)];
    await stage.front.poll(alice, stage.joins({ state, timeline: [join, message], limited: true, prevBatch: "p" }));
    const room = stage.room(await stage.next(alice));
    expect(room).toMatchObject({
      initial: true,
      joined_count: 2,
      invited_count: 0,
      highlight_count: 0,
      prev_batch: "p",
      timeline: [join, message],
    });
    expect(room).not.toHaveProperty("invite_state");
  });

  test("[INV-26] outside of every window they are counted, and end unheard", async () => {
    await begin();
    await stage.first(alice, { lists: { all: { ranges: [[5, 9]] } } });
    await aliceInvited();
    const invited = await stage.next(alice);
    expect([invited.lists["all"], invited.rooms]).toEqual([{ count: 1 }, {}]);
    await aliceOut(stage.member(ALICE, "leave"));
    const gone = await stage.next(alice);
    expect([gone.lists["all"], gone.rooms]).toEqual([{ count: 0 }, {}]);
  });
});

describe("the own membership", () => {
  test.each([
    ["a leave", "leave", ALICE],
    ["a kick", "leave", BOB],
    ["a ban", "ban", BOB],
  ])("[VIS-20] %s is the last that is heard of a room, and comes once", async (_, membership, sender) => {
    await commonRoom();
    const end = stage.member(ALICE, membership, {}, sender);
    const last = stage.say("last");
    await bobPolls(last, end, stage.say("secret"));
    await aliceOut(end);
    const gone = await stage.next(alice);
    expect(stage.room(gone)).toMatchObject({ timeline: [last, end], num_live: 2 });
    expect(stage.room(gone)).not.toHaveProperty("joined_count");
    expect(gone.lists["all"]?.count).toBe(0);
    await bobPolls(stage.say("secret"), stage.event("m.room.name", { name: "secret" }, ""));
    expect((await stage.next(alice)).rooms).toEqual({});
    const fresh = await stage.first(alice, { lists: { all: LIST }, room_subscriptions: { [ROOM]: LIST } });
    expect([fresh.lists["all"]?.count, fresh.rooms]).toEqual([0, {}]);
  });

  test("[VIS-21] a ban of somebody who never was there is not told to them, but to those who are", async () => {
    await bobsRoom();
    alice = stage.front.account("alice");
    await stage.first(alice);
    const ban = stage.member(ALICE, "ban", {}, BOB);
    await bobPolls(ban);
    await aliceOut(ban);
    const told = await stage.next(alice);
    expect([told.lists["all"], told.rooms]).toEqual([{ count: 0 }, {}]);
    expect(stage.room(await stage.next(bob))["timeline"]).toEqual([ban] as never);
  });

  test("[VIS-22] who comes back begins anew, and hears nothing of the time between", async () => {
    await commonRoom();
    const leave = stage.member(ALICE, "leave");
    await bobPolls(leave, stage.say("secret"));
    await aliceOut(leave);
    await stage.next(alice);
    const [back, heard] = [stage.member(ALICE), stage.say("heard")];
    await bobPolls(back, heard);
    await stage.front.poll(alice, stage.joins({ timeline: [back, heard], limited: true, prevBatch: "p" }));
    const again = await stage.next(alice);
    expect(again.lists["all"]?.count).toBe(1);
    expect(stage.room(again)).toMatchObject({ initial: true, timeline: [back, heard], joined_count: 2 });
    expect(stage.room(await stage.first(alice))).toMatchObject({ timeline: [back, heard] });
    const later = stage.say("later");
    await bobPolls(later);
    expect(stage.room(await stage.next(alice))["timeline"]).toEqual([later] as never);
  });

  test("[VIS-23] a knock shows nothing until it is answered, and its refusal neither", async () => {
    await bobsRoom();
    alice = stage.front.account("alice");
    await stage.first(alice);
    const knock = { rooms: { knock: { [ROOM]: { knock_state: { events: stage.stripped() } } } } };
    await stage.front.poll(alice, knock);
    await bobPolls(stage.member(ALICE, "knock"), stage.say("secret"));
    expect((await stage.next(alice)).rooms).toEqual({});
    await aliceOut(stage.member(ALICE, "leave", {}, BOB));
    const refused = await stage.next(alice);
    expect([refused.lists["all"], refused.rooms]).toEqual([{ count: 0 }, {}]);
    await stage.front.poll(alice, knock);
    await aliceInvited();
    expect(stage.room(await stage.next(alice))).toMatchObject({ initial: true, invite_state: stage.stripped() });
  });

  test("[VIS-24] the creator's timeline begins with the own join: what went before it nobody saw", async () => {
    const events = [
      stage.create(),
      stage.member(ALICE),
      stage.event("m.room.power_levels", {}, ""),
      stage.say("hi", ALICE),
    ];
    alice = stage.front.account("alice", stage.joins({ timeline: events, limited: false, prevBatch: "p" }));
    const room = stage.room(await stage.first(alice));
    expect(room).toMatchObject({ timeline: events.slice(1), limited: false });
    expect(room).not.toHaveProperty("prev_batch");
  });
});

describe("history from before the own join", () => {
  const visibility = (history_visibility: string) =>
    stage.event("m.room.history_visibility", { history_visibility }, "");
  /** Alice joins the room that Bob has long been in, with what a homeserver would show her. */
  async function joinLate(events: WireEvent[], prevBatch: string): Promise<Record<string, unknown>> {
    const join = stage.member(ALICE);
    await bobPolls(join);
    alice = stage.front.account("alice");
    await stage.first(alice);
    await stage.front.poll(alice, stage.joins({ timeline: [...events, join], limited: true, prevBatch }));
    return stage.room(await stage.next(alice));
  }

  test("[VIS-25] is seen where the room shares it, with the token that pages back from there", async () => {
    const said = [stage.say("one"), stage.say("two")];
    alice = stage.front.account("alice");
    await stage.first(alice);
    const join = stage.member(ALICE);
    const state = [stage.create(), stage.member(BOB), visibility("shared")];
    await stage.front.poll(alice, stage.joins({ state, timeline: [...said, join], limited: true, prevBatch: "p" }));
    const room = stage.room(await stage.next(alice));
    expect(room).toMatchObject({ limited: true, prev_batch: "p", num_live: 1 });
    expect(idsOf(room["timeline"] as WireEvent[])).toEqual(idsOf([...said, join]));
  });

  test("[VIS-26] is seen of a room that others have been in, as far back as it is shared", async () => {
    const [hidden, shown] = [stage.say("hidden"), stage.say("shown")];
    await bobsRoom([visibility("joined")], [hidden, visibility("shared"), shown]);
    const room = await joinLate([shown], "p");
    const ids = idsOf(room["timeline"] as WireEvent[]);
    expect(ids).toContain(shown.event_id ?? "");
    expect(ids).not.toContain(hidden.event_id ?? "");
    expect(ids).toHaveLength(3);
  });

  test.each(["joined", "invited", "nonsense"])("[VIS-27] is not seen where it is for %s", async (value) => {
    await bobsRoom([visibility("shared")], [stage.say("hidden"), visibility(value), stage.say("hidden too")]);
    const room = await joinLate([], "p");
    expect(room["timeline"]).toHaveLength(1);
  });
});
