import { beforeEach, describe, expect, test } from "bun:test";
import { IngestWorld, userUpdate } from "#test/support/ingest-world.ts";
import {
  inviteSection,
  joinSection,
  leaveSection,
  memberEvent,
  pollBatch,
  polledEvent,
  stateEvent,
} from "#test/support/polls.ts";

const ALICE = "@alice:hs";
const BOB = "@bob:hs";
const ROOM = "!room:hs";

let world: IngestWorld;
beforeEach(() => {
  world = new IngestWorld();
});

const create = () => stateEvent("$create", "m.room.create", "");
const joinRoom = (userId: string, part: Parameters<typeof joinSection>[1] = {}) =>
  world.apply(pollBatch(userId, { rooms: [joinSection(ROOM, part)] }));
const leaveRoom = (userId: string, part: Parameters<typeof leaveSection>[1] = {}) =>
  world.apply(pollBatch(userId, { rooms: [leaveSection(ROOM, part)] }));
const invite = (userId: string, options: Parameters<typeof inviteSection>[2] = {}) =>
  world.apply(pollBatch(userId, { rooms: [inviteSection(ROOM, userId, options)] }));

const aliceAndBob = async () => {
  await joinRoom(ALICE, { state: [create(), memberEvent("$alice", ALICE, "join")], timeline: [polledEvent("$1")] });
  await joinRoom(BOB, { timeline: [memberEvent("$bob", BOB, "join", { ts: 77 })] });
};

describe("stays", () => {
  test("[MEM-1] a stay opens at the own join, and profile changes do not reopen it", async () => {
    await aliceAndBob();
    const { pos } = world.event("$bob");
    expect(world.standing(BOB, ROOM)).toMatchObject({
      membership: "join",
      joinPos: pos,
      memberPos: pos,
      joinTs: 77,
      leftPos: null,
    });
    await joinRoom(BOB, { timeline: [memberEvent("$bob2", BOB, "join", { name: "B", prevMembership: "join" })] });
    expect(world.standing(BOB, ROOM).joinPos).toBe(pos);
  });

  test("[MEM-22] news from before a join that was known earlier is stored before it, and is not for who joined", async () => {
    await aliceAndBob();
    const join = memberEvent("$bob", BOB, "join", { ts: 77 });
    await joinRoom(ALICE, { timeline: [polledEvent("$late"), join, polledEvent("$after")] });
    expect(world.timeline(ROOM).slice(-3)).toEqual(["$late", "$bob", "$after"]);
    const { pos } = world.event("$bob");
    expect(world.standing(BOB, ROOM)).toMatchObject({ joinPos: pos, memberPos: pos, joinTs: 77 });
    expect(world.current(ROOM, "m.room.member", BOB)).toMatchObject({ pos, eventId: "$bob" });
    const renamed = memberEvent("$bob2", BOB, "join", { name: "B", prevMembership: "join" });
    await joinRoom(BOB, { timeline: [renamed] });
    await joinRoom(ALICE, { timeline: [polledEvent("$later"), renamed] });
    expect(world.timeline(ROOM).slice(-3)).toEqual(["$after", "$later", "$bob2"]);
    expect(world.standing(BOB, ROOM).joinPos).toBe(pos);
  });

  test("[MEM-2] a join in the state block opens the stay there", async () => {
    await aliceAndBob();
    expect(world.standing(ALICE, ROOM).joinPos).toBe(world.event("$alice").pos);
  });

  test("[MEM-20] who is first heard of by a change of profile was there before, as far back as that is known", async () => {
    const renamed = (id: string, replacesState: string | null) => ({
      ...memberEvent(id, BOB, "join", { name: "B", prevMembership: "join", ts: 77 }),
      replacesState,
    });
    // In the own poll: all that it brings.
    await joinRoom(BOB, {
      isStateAfter: true,
      state: [create(), renamed("$b", "$unseen")],
      timeline: [polledEvent("$1"), renamed("$b", "$unseen"), polledEvent("$2")],
    });
    expect(world.standing(BOB, ROOM)).toMatchObject({ joinPos: world.event("$create").pos, joinTs: 0 });
    // In others' polls, before the own one: the join that it replaced.
    const other = "!other:hs";
    const members = [memberEvent("$a", ALICE, "join"), memberEvent("$join", BOB, "join")];
    const poll = (userId: string, part: Parameters<typeof joinSection>[1]) =>
      world.apply(pollBatch(userId, { rooms: [joinSection(other, part)], isFirstSync: true }));
    const late = new IngestWorld();
    world = late;
    await poll(ALICE, { state: [create(), ...members], timeline: [polledEvent("$1"), renamed("$c", "$join")] });
    await poll(BOB, { state: [renamed("$c", "$join")], timeline: [polledEvent("$2")] });
    expect(world.standing(BOB, other)).toMatchObject({ joinPos: world.event("$join").pos, joinTs: 0 });
  });

  test("[MEM-21] a change of profile of which the join before is not known opens the stay where it is", async () => {
    const renamed = { ...memberEvent("$c", BOB, "join", { prevMembership: "join" }), replacesState: "$unseen" };
    await joinRoom(ALICE, {
      state: [create(), memberEvent("$a", ALICE, "join")],
      timeline: [polledEvent("$1"), renamed],
    });
    await joinRoom(BOB, { state: [renamed], timeline: [polledEvent("$2")] });
    expect(world.standing(BOB, ROOM).joinPos).toBe(world.event("$c").pos);
  });

  test("[MEM-3] a leave closes the stay at that event, as others' pollers see it", async () => {
    await aliceAndBob();
    const { updates } = await joinRoom(ALICE, {
      timeline: [memberEvent("$kick", BOB, "leave", { sender: ALICE }), polledEvent("$2")],
    });
    const { pos } = world.event("$kick");
    expect(world.standing(BOB, ROOM)).toMatchObject({
      membership: "leave",
      leftPos: pos,
      memberPos: pos,
      memberSender: ALICE,
    });
    expect(updates.users.find(({ userId }) => userId === BOB)?.rooms).toHaveLength(1);
    await leaveRoom(BOB, { timeline: [memberEvent("$kick", BOB, "leave", { sender: ALICE })] });
    expect(world.standing(BOB, ROOM).leftPos).toBe(pos);
  });

  test("[MEM-4] a ban after a leave keeps the end of the stay", async () => {
    await aliceAndBob();
    await joinRoom(ALICE, {
      timeline: [memberEvent("$left", BOB, "leave"), memberEvent("$ban", BOB, "ban", { sender: ALICE })],
    });
    expect(world.standing(BOB, ROOM)).toMatchObject({
      membership: "ban",
      leftPos: world.event("$left").pos,
      memberPos: world.event("$ban").pos,
    });
  });

  test("[MEM-5] a rejoin reopens, also when the leave fell into a gap", async () => {
    await aliceAndBob();
    await joinRoom(ALICE, { timeline: [memberEvent("$left", BOB, "leave")] });
    await joinRoom(BOB, { timeline: [memberEvent("$again", BOB, "join", { prevMembership: "leave" })] });
    expect(world.standing(BOB, ROOM)).toMatchObject({
      membership: "join",
      joinPos: world.event("$again").pos,
      leftPos: null,
    });
    await joinRoom(BOB, { timeline: [memberEvent("$third", BOB, "join", { prevMembership: "leave" })] });
    expect(world.standing(BOB, ROOM).joinPos).toBe(world.event("$third").pos);
  });

  test("[MEM-6] a lagging poller neither reopens nor closes a stay", async () => {
    await aliceAndBob();
    await joinRoom(ALICE, { timeline: [memberEvent("$left", BOB, "leave")] });
    await joinRoom(BOB, { timeline: [polledEvent("$1")] });
    expect(world.standing(BOB, ROOM).membership).toBe("leave");
    await joinRoom(ALICE, { timeline: [memberEvent("$again", BOB, "join")] });
    await leaveRoom(BOB, { timeline: [memberEvent("$left", BOB, "leave")] });
    expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "join", joinPos: world.event("$again").pos });
  });

  test("[MEM-7] a join stored before the user was ours opens the stay where it lies", async () => {
    await joinRoom(ALICE, {
      state: [create(), memberEvent("$bob", BOB, "join")],
      timeline: [memberEvent("$alice", ALICE, "join")],
    });
    expect(world.findStanding(BOB, ROOM)).toBeUndefined();
    await world.apply(
      pollBatch(BOB, {
        isFirstSync: true,
        rooms: [joinSection(ROOM, { state: [create(), memberEvent("$bob", BOB, "join")] })],
      }),
    );
    expect(world.standing(BOB, ROOM).joinPos).toBe(world.event("$bob").pos);
  });

  test("[MEM-8] a leave section without a member event still ends the stay", async () => {
    await aliceAndBob();
    const { head } = world;
    await leaveRoom(BOB);
    expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "leave", leftPos: head, memberPos: head + 1 });
    expect(world.standing(BOB, ROOM).memberSender).toBe(BOB);
  });

  test("[MEM-9] somebody banned in advance has no standing", async () => {
    await aliceAndBob();
    await world.apply(pollBatch("@eve:hs"));
    await joinRoom(ALICE, { timeline: [memberEvent("$ban", "@eve:hs", "ban", { sender: ALICE })] });
    expect(world.findStanding("@eve:hs", ROOM)).toBeUndefined();
  });

  test("[MEM-10] a departure found at first sync shows what came with it, and a refusal shows nothing", async () => {
    const events = [polledEvent("$a"), memberEvent("$kick", BOB, "leave", { sender: ALICE, prevMembership: "join" })];
    await world.apply(
      pollBatch(BOB, { isFirstSync: true, rooms: [leaveSection(ROOM, { state: [create()], timeline: events })] }),
    );
    expect(world.standing(BOB, ROOM)).toMatchObject({
      membership: "leave",
      joinPos: world.event("$create").pos,
      leftPos: world.event("$kick").pos,
      memberSender: ALICE,
    });
    await world.apply(
      pollBatch(ALICE, { rooms: [joinSection("!other", { timeline: [memberEvent("$a2", ALICE, "join")] })] }),
    );
    await world.apply(
      pollBatch(BOB, {
        rooms: [leaveSection("!other", { timeline: [memberEvent("$ban", BOB, "ban", { sender: ALICE })] })],
      }),
    );
    expect(world.standing(BOB, "!other")).toMatchObject({ membership: "ban", joinPos: 0, leftPos: null });
  });

  test("[MEM-11] unread counts are kept when absent, written when changed, and end with the stay", async () => {
    await aliceAndBob();
    await joinRoom(BOB, { notificationCount: 3, highlightCount: 1 });
    expect(world.standing(BOB, ROOM)).toMatchObject({ notificationCount: 3, highlightCount: 1 });
    const repeated = await joinRoom(BOB, { notificationCount: 3 });
    expect(repeated.transaction.userRooms).toEqual([]);
    await joinRoom(BOB, { highlightCount: 0 });
    expect(world.standing(BOB, ROOM)).toMatchObject({ notificationCount: 3, highlightCount: 0 });
    await leaveRoom(BOB);
    expect(world.standing(BOB, ROOM).notificationCount).toBe(0);
  });
});

describe("invites", () => {
  test("[MEM-12] an invite is kept as received, with its sender and is_direct", async () => {
    const { updates } = await invite(BOB, { sender: ALICE, isDirect: true });
    expect(world.standing(BOB, ROOM)).toMatchObject({
      membership: "invite",
      memberSender: ALICE,
      isDirect: true,
      joinPos: 0,
    });
    expect(world.standing(BOB, ROOM).stripped).toEqual(
      inviteSection(ROOM, BOB, { sender: ALICE, isDirect: true }).stripped,
    );
    expect(world.standing(BOB, ROOM).memberPos).toBe(world.standing(BOB, ROOM).pos);
    expect(updates.rooms.map(({ roomId }) => roomId as string)).toEqual([ROOM]);
    const again = await invite(BOB, { sender: ALICE, isDirect: true });
    expect(again.transaction.userRooms).toEqual([]);
  });

  test("[MEM-13] a rejected invite vanishes and leaves nothing of the room behind", async () => {
    await invite(BOB);
    const reject = memberEvent("$reject", BOB, "leave");
    await leaveRoom(BOB, { timeline: [reject] });
    const standing = world.standing(BOB, ROOM);
    expect(standing).toMatchObject({
      membership: "leave",
      // All that is left to tell.
      stripped: reject.json,
      joinPos: 0,
      leftPos: null,
      memberSender: BOB,
    });
    expect(standing.memberPos).toBe(standing.pos);
    expect(world.stores.db.events.size).toBe(0);
  });

  test("[MEM-14] a retracted invite tells who retracted it", async () => {
    await invite(BOB, { sender: ALICE });
    await leaveRoom(BOB, { timeline: [memberEvent("$retract", BOB, "leave", { sender: ALICE })] });
    expect(world.standing(BOB, ROOM).memberSender).toBe(ALICE);
  });

  test("[MEM-15] accepting an invite opens the stay and makes the bare room a known one without a reset", async () => {
    await invite(BOB, { isDirect: true });
    const joined = await joinRoom(BOB, {
      state: [create()],
      timeline: [memberEvent("$bob", BOB, "join", { prevMembership: "invite" })],
    });
    expect(world.standing(BOB, ROOM)).toMatchObject({
      membership: "join",
      stripped: null,
      isDirect: true,
      joinPos: world.event("$bob").pos,
    });
    expect(joined.transaction.rooms).toMatchObject([{ isNew: false }]);
    expect(joined.updates.rooms).toMatchObject([{ isReset: false }]);
  });

  test("[MEM-16] an invite after a stay keeps that stay's history visible", async () => {
    await aliceAndBob();
    await joinRoom(ALICE, { timeline: [memberEvent("$left", BOB, "leave")] });
    const { joinPos, leftPos } = world.standing(BOB, ROOM);
    await invite(BOB);
    expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "invite", joinPos, leftPos });
  });

  test("[MEM-17] an invite seen by others' pollers waits for the user's own stripped state", async () => {
    await aliceAndBob();
    await world.apply(pollBatch("@carol:hs"));
    await joinRoom(ALICE, { timeline: [memberEvent("$invite", "@carol:hs", "invite", { sender: ALICE })] });
    expect(world.findStanding("@carol:hs", ROOM)).toBeUndefined();
    await invite("@carol:hs", { sender: ALICE });
    expect(world.standing("@carol:hs", ROOM).membership).toBe("invite");
  });

  test("[MEM-18] a knock is kept like an invite", async () => {
    const knocked = await invite(BOB, { kind: "knock" });
    expect(userUpdate(knocked, BOB).rooms).toMatchObject([{ membership: "knock" }]);
  });
});
