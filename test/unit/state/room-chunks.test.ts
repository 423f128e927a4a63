import { beforeEach, describe, expect, test } from "bun:test";
import type { Membership } from "#src/protocol/events.ts";
import { IngestWorld, roomUpdate } from "#test/support/ingest-world.ts";
import {
  inviteSection,
  joinSection,
  leaveSection,
  memberEvent,
  pollBatch,
  polledEvent,
  stateEvent,
} from "#test/support/polls.ts";
import { jsonBytes } from "#test/support/stored-samples.ts";

const ALICE = "@alice:hs";
const BOB = "@bob:hs";
const ROOM = "!room:hs";

let world: IngestWorld;
beforeEach(() => {
  world = new IngestWorld();
});

const roomState = () => [
  memberEvent("$alice", ALICE, "join", { name: "Alice" }),
  stateEvent("$create", "m.room.create", "", { room_version: "10" }),
  stateEvent("$name", "m.room.name", "", { name: "First" }),
];

const startRoom = () =>
  world.apply(
    pollBatch(ALICE, {
      isFirstSync: true,
      rooms: [
        joinSection(ROOM, { state: roomState(), timeline: [polledEvent("$1")], limited: true, prevBatch: "back1" }),
      ],
    }),
  );

const poll = (userId: string, part: Parameters<typeof joinSection>[1], device = "DEV") =>
  world.apply(pollBatch(userId, { device, rooms: [joinSection(ROOM, part)] }));

describe("timelines", () => {
  test("[KEPT-1] state block events come before timeline events and are not part of the timeline", async () => {
    await startRoom();
    expect(world.timeline(ROOM)).toEqual(["$1"]);
    expect(world.event("$name").inTimeline).toBe(false);
    expect(world.event("$name").pos).toBeLessThan(world.event("$1").pos);
    expect(world.meta(ROOM)).toMatchObject({ name: "First", roomVersion: "10", joinedCount: 1 });
  });

  test("[KEPT-2] an event that is stored, or came earlier in the group, is not stored again", async () => {
    await startRoom();
    const section = () => joinSection(ROOM, { timeline: [polledEvent("$1"), polledEvent("$2")] });
    const { counts } = await world.apply(
      pollBatch(ALICE, { rooms: [section()] }),
      pollBatch(ALICE, { device: "OTHER", rooms: [section()] }),
    );
    expect(counts).toMatchObject({ newEvents: 1, knownEvents: 3 });
    expect(world.timeline(ROOM)).toEqual(["$1", "$2"]);
  });

  test("[KEPT-3] history that a join exposes before a stored event is dropped", async () => {
    await startRoom();
    const timeline = [polledEvent("$old"), polledEvent("$1"), memberEvent("$bob", BOB, "join")];
    await poll(BOB, { state: roomState(), timeline, limited: true });
    expect(world.timeline(ROOM)).toEqual(["$1", "$bob"]);
  });

  test("[KEPT-45] a room known by the end of one member's timeline gets its state from another's that has the beginning", async () => {
    await poll(BOB, { timeline: [memberEvent("$bob", BOB, "join")] });
    const beginning = [
      stateEvent("$create", "m.room.create", "", { room_version: "10" }),
      memberEvent("$carol", "@carol:hs", "join"),
      stateEvent("$name", "m.room.name", "", { name: "First" }),
      stateEvent("$named", "m.room.name", "", { name: "Second" }),
      polledEvent("$history"),
    ];
    const known = memberEvent("$bob", BOB, "join");
    const told = await poll(ALICE, { timeline: [...beginning, known, memberEvent("$alice", ALICE, "join")] });
    expect(world.timeline(ROOM)).toEqual(["$bob", "$alice"]);
    expect(world.meta(ROOM)).toMatchObject({ name: "Second", roomVersion: "10", joinedCount: 3 });
    expect(roomUpdate(told, ROOM).isReset).toBe(true);
    // Once the creation is known, what a join exposes of the past is history.
    const renamed = stateEvent("$past", "m.room.name", "", { name: "Past" });
    await poll("@dan:hs", { timeline: [renamed, beginning[0]!, known, memberEvent("$dan", "@dan:hs", "join")] });
    expect(world.timeline(ROOM)).toEqual(["$bob", "$alice", "$dan"]);
    expect(world.meta(ROOM)).toMatchObject({ name: "Second", joinedCount: 4 });
  });

  test("[KEPT-4] an event that others could not see is kept, before the later one that is stored", async () => {
    await startRoom();
    await poll(BOB, { timeline: [memberEvent("$bob", BOB, "join")] });
    await poll(BOB, { timeline: [polledEvent("$3")] });
    await poll(ALICE, { timeline: [memberEvent("$bob", BOB, "join")] });
    await poll(ALICE, { timeline: [polledEvent("$2", { sender: "@ignored-by-bob:hs" }), polledEvent("$3")] });
    expect(world.timeline(ROOM)).toEqual(["$1", "$bob", "$2", "$3"]);
  });

  test("[KEPT-5] a limited chunk whose first event is new marks a gap, carries its token and resets the room", async () => {
    const first = await startRoom();
    expect(world.event("$1")).toMatchObject({ gapBefore: true, prevBatch: "back1" });
    expect(roomUpdate(first, ROOM).meta.latestPos).toBe(world.event("$1").pos);
    const gappy = await poll(ALICE, {
      timeline: [polledEvent("$9"), polledEvent("$10")],
      limited: true,
      prevBatch: "back9",
    });
    expect(roomUpdate(gappy, ROOM).isReset).toBe(true);
    expect(world.event("$9")).toMatchObject({ gapBefore: true, prevBatch: "back9" });
    expect(world.event("$10")).toMatchObject({ gapBefore: false, prevBatch: null });
  });

  test("[KEPT-6] a limited chunk that begins with a stored event is no gap, and its token is not used", async () => {
    await startRoom();
    const joined = await poll(ALICE, {
      timeline: [polledEvent("$1"), polledEvent("$2")],
      limited: true,
      prevBatch: "x",
    });
    expect(roomUpdate(joined, ROOM).isReset).toBe(false);
    expect(world.event("$2")).toMatchObject({ gapBefore: false, prevBatch: null });
  });

  test("[KEPT-39] a limited chunk without events leaves a gap before what the same user's polls bring next", async () => {
    await startRoom();
    await poll(BOB, { timeline: [memberEvent("$bob", BOB, "join")] });
    const { transaction } = await poll(ALICE, { limited: true, prevBatch: "back2" });
    expect(transaction.events).toEqual([]);
    await poll(BOB, { timeline: [polledEvent("$2")] });
    expect(world.event("$2").gapBefore).toBe(false);
    await poll(ALICE, { notificationCount: 1 });
    const gappy = await poll(ALICE, { timeline: [polledEvent("$4")], prevBatch: "back4" });
    expect(roomUpdate(gappy, ROOM).isReset).toBe(true);
    expect(world.event("$4")).toMatchObject({ gapBefore: true, prevBatch: "back4" });
    await poll(ALICE, { timeline: [polledEvent("$5")] });
    expect(world.event("$5").gapBefore).toBe(false);
    // A second device may begin where the first one is.
    await poll(ALICE, { limited: true });
    await poll(ALICE, { timeline: [polledEvent("$7")] }, "OTHER");
    expect(world.event("$7").gapBefore).toBe(true);
  });

  test("[KEPT-39] what others have brought meanwhile closes that gap, and so does a new stay", async () => {
    await startRoom();
    await poll(BOB, { timeline: [memberEvent("$bob", BOB, "join")] });
    await poll(ALICE, { limited: true });
    await poll(BOB, { timeline: [polledEvent("$2"), polledEvent("$3")] });
    await poll(ALICE, { timeline: [polledEvent("$3"), polledEvent("$4")] });
    expect([world.event("$3").gapBefore, world.event("$4").gapBefore]).toEqual([false, false]);
    await poll(ALICE, { limited: true });
    const leave = memberEvent("$leave", ALICE, "leave", { prevMembership: "join" });
    await poll(BOB, { timeline: [leave] });
    await poll(ALICE, { timeline: [memberEvent("$back", ALICE, "join", { prevMembership: "leave" })] });
    expect(world.event("$back").gapBefore).toBe(false);
    await poll(ALICE, { timeline: [polledEvent("$6")] });
    expect(world.event("$6").gapBefore).toBe(false);
    expect(world.meta(ROOM).openGaps).toEqual([]);
  });

  test("[KEPT-39] where state of what was left out is told, the gap is before what anybody brings next", async () => {
    await startRoom();
    await poll(BOB, { timeline: [memberEvent("$bob", BOB, "join")] });
    const topic = stateEvent("$topic", "m.room.topic", "", { topic: "new" });
    await poll(ALICE, { state: [topic], limited: true });
    await poll(BOB, { timeline: [topic], prevBatch: "bobs" });
    await poll(BOB, { timeline: [topic, polledEvent("$3"), polledEvent("$4")], prevBatch: "bobs" });
    expect(world.event("$3")).toMatchObject({ gapBefore: true, prevBatch: null });
    expect(world.event("$4").gapBefore).toBe(false);
    await poll(ALICE, { timeline: [polledEvent("$5")] });
    expect(world.event("$5").gapBefore).toBe(false);
  });

  test("[KEPT-40] users who were told of a gap and nothing more are bounded, the oldest go", async () => {
    await startRoom();
    for (let n = 0; n < 20; n += 1) await poll(`@u${n}:hs`, { limited: true });
    const { openGaps } = world.meta(ROOM);
    expect(openGaps).toHaveLength(16);
    expect(openGaps.at(-1)).toBe("@u19:hs");
  });

  test("[KEPT-7] transaction ids are kept for the device alone, also of events that are known", async () => {
    await startRoom();
    await poll(BOB, { timeline: [polledEvent("$2", { sender: ALICE })] });
    const own = await poll(ALICE, { timeline: [polledEvent("$2", { sender: ALICE, txnId: "t1" })] });
    expect(own.transaction.txns).toMatchObject([{ userId: ALICE, deviceId: "DEV", eventId: "$2", txnId: "t1" }]);
    expect(own.updates.users[0]?.txns).toEqual([{ deviceId: "DEV" as never, eventId: "$2", txnId: "t1" }]);
    expect(own.transaction.events).toEqual([]);
    expect(world.event("$2").txnId).toBeNull();
  });

  test("[KEPT-8] an identifier with NUL costs that event, which is noted", async () => {
    await startRoom();
    const { transaction } = await poll(ALICE, { timeline: [polledEvent("$bad\0"), polledEvent("$2")] });
    expect(world.timeline(ROOM)).toEqual(["$1", "$2"]);
    expect(transaction.quarantine).toMatchObject([{ roomId: ROOM, section: "join.timeline" }]);
  });

  test("[KEPT-9] recency follows the newest event of each type in stream order", async () => {
    await startRoom();
    await poll(ALICE, {
      timeline: [polledEvent("$2", { ts: 5000 }), polledEvent("$3", { ts: 4000, type: "m.sticker" })],
    });
    const { latestPos, latestTs, latestByType } = world.meta(ROOM);
    expect(latestPos).toBe(world.event("$3").pos);
    expect(latestTs).toBe(4000);
    expect(latestByType["m.room.message"]).toEqual([world.event("$2").pos, 5000]);
    expect(latestByType["m.sticker"]).toEqual([world.event("$3").pos, 4000]);
  });

  test("[KEPT-10] types of events are bounded, the oldest go, and __proto__ is a type like others", async () => {
    await startRoom();
    const timeline = Array.from({ length: 80 }, (_, n) => polledEvent(`$t${n}`, { type: `type.${n}` }));
    await poll(ALICE, { timeline: [...timeline, polledEvent("$proto", { type: "__proto__" })] });
    const types = Object.keys(world.meta(ROOM).latestByType);
    expect(types).toHaveLength(64);
    expect(types).toContain("__proto__");
    expect(types).toContain("type.79");
    expect(types).not.toContain("type.0");
  });
});

describe("rooms", () => {
  test("[KEPT-11] a room without a create event is served with what is there", async () => {
    await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [polledEvent("$1")] })] }));
    expect(world.timeline(ROOM)).toEqual(["$1"]);
    expect(world.standing(ALICE, ROOM)).toMatchObject({ membership: "join", joinPos: world.event("$1").pos });
  });

  test("[KEPT-12] a stray leave of an unknown room makes no room", async () => {
    const section = leaveSection(ROOM, { timeline: [memberEvent("$gone", ALICE, "leave")] });
    const { transaction } = await world.apply(pollBatch(ALICE, { rooms: [section] }));
    expect(transaction).toMatchObject({ rooms: [], events: [], userRooms: [] });
  });

  describe("an event that somebody outside is told of alone", () => {
    const member = (id: string, membership: Membership, prevMembership: Membership) => ({
      ...memberEvent(id, BOB, membership),
      prevMembership,
    });
    const bobLeaves = (...timeline: ReturnType<typeof memberEvent>[]) =>
      world.apply(pollBatch(BOB, { rooms: [leaveSection(ROOM, { timeline })] }));

    test("[KEPT-26] waits for those inside, who bring it in its place", async () => {
      await startRoom();
      await bobLeaves(member("$ban", "ban", "leave"));
      expect(world.timeline(ROOM)).toEqual(["$1"]);
      expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "ban" });
      await poll(ALICE, { timeline: [polledEvent("$2"), member("$ban", "ban", "leave"), polledEvent("$3")] });
      expect(world.timeline(ROOM)).toEqual(["$1", "$2", "$ban", "$3"]);
    });

    test("[KEPT-26] behind the end of a stay, which is told", async () => {
      await startRoom();
      await poll(ALICE, { timeline: [member("$in", "join", "leave")] });
      await poll(BOB, { timeline: [member("$in", "join", "leave")] });
      await bobLeaves(polledEvent("$2"), member("$kick", "leave", "join"), member("$ban", "ban", "leave"));
      expect(world.timeline(ROOM)).toEqual(["$1", "$in", "$2", "$kick"]);
      await poll(ALICE, { timeline: [polledEvent("$2"), member("$kick", "leave", "join"), polledEvent("$3")] });
      await poll(ALICE, { timeline: [member("$ban", "ban", "leave")] });
      expect(world.timeline(ROOM)).toEqual(["$1", "$in", "$2", "$kick", "$3", "$ban"]);
      expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "ban" });
    });

    test("[KEPT-26] is the end all the same of a stay whose end fell into a gap", async () => {
      await startRoom();
      await poll(BOB, { timeline: [member("$in", "join", "leave")] });
      const timeline = [member("$ban", "ban", "leave")];
      await world.apply(pollBatch(BOB, { rooms: [leaveSection(ROOM, { timeline, limited: true })] }));
      expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "ban" });
      expect(world.event("$ban").gapBefore).toBe(true);
    });
  });

  test("[KEPT-13] counts and what else is personal of an unknown room show nobody a room, and are there when it is", async () => {
    const tag = { type: "m.tag", json: jsonBytes({ type: "m.tag", content: { tags: {} } }) };
    const receipt = { type: "m.read", userId: ALICE, eventId: "$1", threadId: "", ts: 5, json: jsonBytes({}) } as never;
    const early = joinSection(ROOM, { notificationCount: 3, accountData: [tag], receipts: [receipt] });
    const { transaction, suspicions } = await world.apply(pollBatch(ALICE, { rooms: [early] }));
    expect(transaction).toMatchObject({
      accountData: [{ type: "m.tag" }],
      receipts: [{ eventId: "$1" }],
      userRooms: [{ membership: "leave", memberSender: ALICE, joinPos: 0, leftPos: null, notificationCount: 3 }],
    });
    // The homeserver has it, and says what it is.
    expect(suspicions).toEqual([{ roomId: ROOM as never, userId: ALICE as never, reason: "no-events" }]);
    const more = joinSection(ROOM, { highlightCount: 1, limited: true });
    await world.apply(pollBatch(ALICE, { rooms: [more] }));
    expect(world.standing(ALICE, ROOM).membership).toBe("leave");
    await startRoom();
    expect(world.standing(ALICE, ROOM)).toMatchObject({
      membership: "join",
      notificationCount: 3,
      highlightCount: 1,
    });
  });

  test("[KEPT-13] so they are of a room whose first state cannot be shown, and of an invite they say nothing", async () => {
    const state = [memberEvent("$alice", ALICE, "join")];
    await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { state, notificationCount: 3 })] }));
    expect(world.standing(ALICE, ROOM)).toMatchObject({ membership: "leave", notificationCount: 3 });
    await world.apply(pollBatch(BOB, { rooms: [inviteSection(ROOM, BOB, {})] }));
    await world.apply(pollBatch(BOB, { rooms: [joinSection(ROOM, { notificationCount: 3 })] }));
    expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "invite", notificationCount: 0 });
  });

  test("[KEPT-14] a first sync announces its rooms without their events", async () => {
    const first = await startRoom();
    expect(roomUpdate(first, ROOM)).toMatchObject({ timeline: [], state: [], isReset: true });
    expect(first.transaction.events).toHaveLength(4);
    expect(first.updates.users[0]?.firstSyncDone).toEqual(["DEV" as never]);
  });

  test("[KEPT-15] rooms of one poll are stored in the order of their newest events", async () => {
    const at = (roomId: string, ts: number) => joinSection(roomId, { timeline: [polledEvent(`$${roomId}`, { ts })] });
    await world.apply(pollBatch(ALICE, { rooms: [at("!late", 300), at("!early", 100), at("!middle", 200)] }));
    expect(world.event("$!early").pos).toBeLessThan(world.event("$!middle").pos);
    expect(world.event("$!middle").pos).toBeLessThan(world.event("$!late").pos);
  });
});

describe("classic state", () => {
  test("[KEPT-16] timeline state becomes current without a reset", async () => {
    await startRoom();
    const named = await poll(ALICE, { timeline: [stateEvent("$name2", "m.room.name", "", { name: "Second" })] });
    expect(world.meta(ROOM).name).toBe("Second");
    expect(roomUpdate(named, ROOM)).toMatchObject({ isReset: false, state: [] });
    expect(world.current(ROOM, "m.room.name")?.eventId).toBe("$name2");
  });

  test("[KEPT-17] a state block of a known room brings what changed, and resets it", async () => {
    await startRoom();
    const block = [...roomState(), stateEvent("$topic", "m.room.topic", "", { topic: "new" })];
    const update = roomUpdate(await poll(ALICE, { state: block, timeline: [polledEvent("$2")] }), ROOM);
    expect(update.isReset).toBe(true);
    expect(update.state.map(({ id }) => id as string)).toEqual(["$topic"]);
  });

  test("[KEPT-18] a block of known events does not move state back", async () => {
    await startRoom();
    await poll(ALICE, { timeline: [stateEvent("$name2", "m.room.name", "", { name: "Second" })] });
    const repeated = await poll(BOB, { state: [...roomState(), memberEvent("$bob", BOB, "join")] });
    expect(world.meta(ROOM).name).toBe("Second");
    expect(repeated.transaction.events.map(({ id }) => id as string)).toEqual(["$bob"]);
  });
});

test("[KEPT-25] state that another poller skipped in a gap does not come back after its successor", async () => {
  await startRoom();
  await poll(BOB, { timeline: [memberEvent("$bob", BOB, "join")] });
  const name2 = stateEvent("$name2", "m.room.name", "", { name: "Second" });
  const name3 = stateEvent("$name3", "m.room.name", "", { name: "Third" });
  await poll(BOB, { timeline: [polledEvent("$4")], state: [name3], limited: true });
  await poll(ALICE, { timeline: [memberEvent("$bob", BOB, "join"), name2, name3, polledEvent("$4")] });
  expect(world.meta(ROOM).name).toBe("Third");
});

describe("state_after", () => {
  const after = (state: Parameters<typeof joinSection>[1], userId = ALICE) =>
    poll(userId, { isStateAfter: true, ...state });

  test("[KEPT-19] what the block lists is current after the timeline", async () => {
    await startRoom();
    const name2 = stateEvent("$name2", "m.room.name", "", { name: "Second" });
    const name3 = stateEvent("$name3", "m.room.name", "", { name: "Third" });
    const update = roomUpdate(await after({ timeline: [name2, name3], state: [name3] }), ROOM);
    expect(world.meta(ROOM).name).toBe("Third");
    expect(update).toMatchObject({ isReset: false, state: [] });
    expect(world.timeline(ROOM)).toEqual(["$1", "$name2", "$name3"]);
  });

  test("[KEPT-20] timeline state that lost is not current, and clients are set right", async () => {
    await startRoom();
    const lost = await after({ timeline: [stateEvent("$lost", "m.room.name", "", { name: "Lost" })], state: [] });
    expect(world.meta(ROOM).name).toBe("First");
    expect(world.current(ROOM, "m.room.name")?.eventId).toBe("$name");
    expect(roomUpdate(lost, ROOM).isReset).toBe(true);
  });

  test("[KEPT-21] state that falls back to an older event is a change", async () => {
    await startRoom();
    await poll(ALICE, { timeline: [stateEvent("$name2", "m.room.name", "", { name: "Second" })] });
    const healed = await after({
      timeline: [polledEvent("$2")],
      state: [stateEvent("$name", "m.room.name", "", { name: "First" })],
    });
    expect(world.meta(ROOM).name).toBe("First");
    const update = roomUpdate(healed, ROOM);
    expect(update.isReset).toBe(true);
    expect(update.state.map(({ id }) => id as string)).toEqual(["$name"]);
    const row = world.current(ROOM, "m.room.name");
    expect(row).toMatchObject({ eventId: "$name" });
    expect(row?.pos).toBeGreaterThan(world.event("$2").pos);
  });

  test("[KEPT-27] whole state that arrives late takes nobody back; the homeserver is asked", async () => {
    await startRoom();
    const carolJoins = { ...memberEvent("$carol", "@carol:hs", "join"), prevMembership: "leave" as const };
    const leaves = { ...memberEvent("$gone", ALICE, "leave"), prevMembership: "join" as const };
    const timeline = [carolJoins, leaves];
    const left = leaveSection(ROOM, { timeline, state: timeline, isStateAfter: true });
    await world.apply(pollBatch(ALICE, { rooms: [left] }));
    const whole = joinSection(ROOM, {
      timeline: [carolJoins],
      state: [...roomState(), carolJoins],
      isStateAfter: true,
    });
    const late = await world.apply(pollBatch("@carol:hs", { rooms: [whole] }));
    expect(world.standing(ALICE, ROOM)).toMatchObject({ membership: "leave" });
    expect(world.current(ROOM, "m.room.member", ALICE)?.eventId).toBe("$gone");
    expect(late.suspicions).toMatchObject([{ roomId: ROOM, reason: "moved-back" }]);
  });

  test("[KEPT-27] whole state that arrives late does not take the place of newer state", async () => {
    const create = stateEvent("$create", "m.room.create", "", { room_version: "10" });
    const joins = { ...memberEvent("$joins", ALICE, "join"), prevMembership: "leave" as const, ts: 1000 };
    const renamed = { ...memberEvent("$renamed", ALICE, "join"), prevMembership: "join" as const, ts: 2000 };
    world.polledAt = 0;
    await after({ timeline: [renamed], state: [create, renamed], limited: true });
    const whole = { timeline: [create, joins], state: [create, joins], isStateAfter: true };
    await poll(ALICE, whole, "TWO");
    expect(world.current(ROOM, "m.room.member", ALICE)?.eventId).toBe("$renamed");
  });

  test("[KEPT-22] state that a timeline lists with what is older by the clock is current again", async () => {
    await startRoom();
    const older = { ...stateEvent("$older", "m.room.name", "", { name: "1000" }), ts: 1000 };
    const newer = { ...stateEvent("$newer", "m.room.name", "", { name: "2000" }), ts: 2000 };
    await after({ timeline: [newer], state: [newer] });
    await after({ timeline: [polledEvent("$3")], state: [older] });
    expect(world.meta(ROOM).name).toBe("1000");
    await after({ timeline: [newer], state: [newer] });
    expect(world.meta(ROOM).name).toBe("2000");
  });

  test("[KEPT-22] a lagging poller does not move state back", async () => {
    await startRoom();
    await poll(BOB, { timeline: [memberEvent("$bob", BOB, "join")] });
    const name2 = stateEvent("$name2", "m.room.name", "", { name: "Second" });
    const name3 = stateEvent("$name3", "m.room.name", "", { name: "Third" });
    await after({ timeline: [name2, name3], state: [name3] });
    await after({ timeline: [name2], state: [name2] }, BOB);
    expect(world.meta(ROOM).name).toBe("Third");
    await after(
      { timeline: [name2], state: [stateEvent("$name", "m.room.name", "", { name: "First" })], limited: true },
      BOB,
    );
    expect(world.meta(ROOM).name).toBe("Third");
  });

  test("[KEPT-22] what a lagging poller lists of the user from before a departure takes nobody back", async () => {
    await startRoom();
    const renamed = { ...memberEvent("$renamed", ALICE, "join"), prevMembership: "join" as const };
    const leaves = { ...memberEvent("$gone", ALICE, "leave"), prevMembership: "join" as const };
    const left = leaveSection(ROOM, { timeline: [renamed, leaves], state: [leaves], isStateAfter: true });
    await world.apply(pollBatch(ALICE, { rooms: [left] }));
    await after({ timeline: [renamed], state: [renamed] });
    expect(world.standing(ALICE, ROOM)).toMatchObject({ membership: "leave" });
    expect(world.current(ROOM, "m.room.member", ALICE)?.eventId).toBe("$gone");
  });

  test("[KEPT-41] state beside a timeline in which somebody of ours leaves is behind it: they may not see it", async () => {
    await startRoom();
    await poll(BOB, { timeline: [memberEvent("$bob", BOB, "join")] });
    const [topic, avatar] = ["topic", "avatar"].map((what) => stateEvent(`$${what}`, `m.room.${what}`, "", {}));
    await after({ timeline: [polledEvent("$2")], state: [topic as never] });
    expect(world.event("$topic").pos).toBeLessThan(world.event("$2").pos);
    const gone = memberEvent("$gone", BOB, "leave");
    await after({ timeline: [gone], state: [gone, avatar as never] });
    expect(world.event("$avatar").pos).toBeGreaterThan(world.event("$gone").pos);
    expect(world.standing(BOB, ROOM)).toMatchObject({ leftPos: world.event("$gone").pos });
  });

  test("[KEPT-23] a new event of the block that no timeline carried resets the room", async () => {
    await startRoom();
    const topic = stateEvent("$topic", "m.room.topic", "", { topic: "x" });
    const update = roomUpdate(await after({ timeline: [polledEvent("$2")], state: [topic] }), ROOM);
    expect(update).toMatchObject({ isReset: true });
    expect(world.event("$topic").inTimeline).toBe(false);
    expect(world.current(ROOM, "m.room.topic")?.eventId).toBe("$topic");
  });
});
