import { describe, expect, test } from "bun:test";
import type { EventFields } from "#src/protocol/events.ts";
import type { RoomId } from "#src/protocol/ids.ts";
import { IngestWorld, roomUpdate } from "#test/support/ingest-world.ts";
import {
  inviteSection,
  joinSection,
  leaveSection,
  memberEvent,
  pollBatch,
  polledEvent,
  repairBatch,
  snapshotSection,
  stateEvent,
} from "#test/support/polls.ts";

const ROOM = "!room:hs";
const [ALICE, BOB, CAROL] = ["@alice:hs", "@bob:hs", "@carol:hs"] as const;

const create = stateEvent("$create", "m.room.create", "", { room_version: "11" });
const alice = memberEvent("$alice", ALICE, "join");
const bob = memberEvent("$bob", BOB, "join");
const name = stateEvent("$name", "m.room.name", "", { name: "first" });
const hello = polledEvent("$hello");
const replacing = (event: EventFields, replacesState: string): EventFields => ({ ...event, replacesState });

/** Alice's and Bob's devices are in the room, which is called "first". */
async function settled(): Promise<IngestWorld> {
  const world = new IngestWorld();
  await world.stores.devices.saveToken({ hash: "b", accessToken: "b", ...who(BOB), nowMs: 0 });
  await world.stores.devices.saveToken({ hash: "a", accessToken: "a", ...who(ALICE), nowMs: 0 });
  await world.apply(
    pollBatch(ALICE, { rooms: [joinSection(ROOM, { state: [create, alice, bob, name], timeline: [hello] })] }),
  );
  await world.apply(pollBatch(BOB, { rooms: [joinSection(ROOM, { timeline: [hello] })] }));
  return world;
}

const who = (userId: string) => ({ userId: userId as never, deviceId: "DEV" as never });

describe("a room compared with the homeserver", () => {
  test("[HEAL-1] that is as it should be changes nothing, and nobody is told", async () => {
    const world = await settled();
    const { head } = world;
    const reduction = await world.apply(repairBatch(ALICE, snapshotSection(ROOM, [create, alice, bob, name], head)));
    expect(reduction.updates.rooms).toEqual([]);
    expect(world.head).toBe(head);
    expect(reduction.counts.repaired).toBe(0);
  });

  test("[HEAL-2] takes over state that no timeline brought, and is told anew", async () => {
    const world = await settled();
    const renamed = stateEvent("$name2", "m.room.name", "", { name: "second" });
    const reduction = await world.apply(
      repairBatch(ALICE, snapshotSection(ROOM, [renamed, create, alice, bob], world.head)),
    );
    expect(world.meta(ROOM).name).toBe("second");
    expect(world.current(ROOM, "m.room.name")?.eventId).toBe("$name2");
    expect(world.timeline(ROOM)).toEqual(["$hello"]);
    expect(roomUpdate(reduction, ROOM).isReset).toBe(true);
    expect(world.meta(ROOM).resetPos).toBe(world.head);
    expect(reduction.counts.repaired).toBe(1);
  });

  test("[HEAL-3] falls back to an event that was stored before", async () => {
    const world = await settled();
    const renamed = stateEvent("$name2", "m.room.name", "", { name: "second" });
    await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [renamed] })] }));
    const reduction = await world.apply(
      repairBatch(ALICE, snapshotSection(ROOM, [create, alice, bob, name], world.head)),
    );
    expect(world.meta(ROOM).name).toBe("first");
    expect(world.current(ROOM, "m.room.name")).toMatchObject({ eventId: "$name", pos: world.head - 1 });
    expect(roomUpdate(reduction, ROOM).isReset).toBe(true);
  });

  test("[HEAL-4] loses state and members that the homeserver no longer has, counts and names with them", async () => {
    const world = await settled();
    const reduction = await world.apply(repairBatch(ALICE, snapshotSection(ROOM, [create, alice], world.head)));
    expect(world.current(ROOM, "m.room.name")).toBeUndefined();
    expect(world.current(ROOM, "m.room.member", BOB)).toBeUndefined();
    expect(world.meta(ROOM)).toMatchObject({ name: null, joinedCount: 1 });
    expect(world.standing(BOB, ROOM).membership).toBe("leave");
    expect(world.standing(ALICE, ROOM).membership).toBe("join");
    expect(reduction.updates.users.map(({ userId }) => userId as string)).toEqual([BOB]);
    world.restart();
    const again = await world.apply(repairBatch(ALICE, snapshotSection(ROOM, [create, alice], world.head)));
    expect(again.counts.repaired).toBe(0);
  });

  test("[HEAL-5] keeps what is newer than the answer", async () => {
    const world = await settled();
    const readAt = world.head;
    const renamed = stateEvent("$name2", "m.room.name", "", { name: "second" });
    const topic = stateEvent("$topic", "m.room.topic", "", { topic: "new" });
    const carol = memberEvent("$carol", CAROL, "join");
    await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [renamed, topic, carol] })] }));
    const reduction = await world.apply(repairBatch(ALICE, snapshotSection(ROOM, [create, alice, bob, name], readAt)));
    expect(world.meta(ROOM)).toMatchObject({ name: "second", joinedCount: 3 });
    expect(world.current(ROOM, "m.room.topic")?.eventId).toBe("$topic");
    expect(reduction.counts.repaired).toBe(0);
  });

  test("[HEAL-6] removes nothing when part of the answer could not be read", async () => {
    const world = await settled();
    const section = snapshotSection(ROOM, [create, alice], world.head, { isWhole: false });
    await world.apply(repairBatch(ALICE, section));
    expect(world.meta(ROOM)).toMatchObject({ name: "first", joinedCount: 2 });
  });

  test("[HEAL-7] without a create event is believed in nothing", async () => {
    const world = await settled();
    const reduction = await world.apply(repairBatch(ALICE, snapshotSection(ROOM, [alice], world.head)));
    expect(world.meta(ROOM)).toMatchObject({ name: "first", joinedCount: 2 });
    expect(reduction.transaction.quarantine.map(({ reason }) => reason)).toEqual(["state without a create event"]);
  });

  test("[HEAL-8] is told anew when an operator wants it, right or wrong", async () => {
    const world = await settled();
    const { head } = world;
    const section = snapshotSection(ROOM, [create, alice, bob, name], head, { isForced: true });
    const reduction = await world.apply(repairBatch(ALICE, section));
    expect(roomUpdate(reduction, ROOM).isReset).toBe(true);
    expect(world.head).toBe(head + 1);
  });

  test("[HEAL-9] brings back users whose join we missed, and takes back invites that were retracted", async () => {
    const world = await settled();
    await world.stores.devices.saveToken({ hash: "c", accessToken: "c", ...who(CAROL), nowMs: 0 });
    await world.apply(pollBatch(CAROL, { rooms: [inviteSection(ROOM, CAROL)] }));
    const left = memberEvent("$bob2", BOB, "leave");
    await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [left] })] }));
    expect(world.standing(BOB, ROOM).membership).toBe("leave");
    expect(world.standing(CAROL, ROOM).membership).toBe("invite");
    const state = [create, alice, bob, name];
    await world.apply(repairBatch(ALICE, snapshotSection(ROOM, state, world.head)));
    expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "join", leftPos: null });
    expect(world.standing(CAROL, ROOM).membership).toBe("invite");
    const retracted = memberEvent("$carol", CAROL, "leave", { sender: ALICE });
    await world.apply(repairBatch(ALICE, snapshotSection(ROOM, [...state, retracted], world.head)));
    expect(world.standing(CAROL, ROOM).membership).toBe("leave");
  });

  test("[HEAL-10] that was not known at all is known then, with the reader in it", async () => {
    const world = await settled();
    await world.apply(repairBatch(BOB, snapshotSection("!new:hs", [create, bob, name].map(own), world.head)));
    expect(world.meta("!new:hs")).toMatchObject({ name: "first", joinedCount: 1 });
    expect(world.standing(BOB, "!new:hs").membership).toBe("join");
  });

  test("[HEAL-11] a user whom the homeserver counts out is out, unless it changed meanwhile", async () => {
    const world = await settled();
    const gone = { kind: "gone", roomId: ROOM as RoomId, readAt: world.head } as const;
    const { head } = world;
    await world.apply(repairBatch(BOB, { ...gone, readAt: 0 }));
    expect(world.standing(BOB, ROOM).membership).toBe("join");
    const reduction = await world.apply(repairBatch(BOB, gone));
    expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "leave", memberSender: BOB });
    expect(world.head).toBe(head + 1);
    expect(reduction.counts.repaired).toBe(1);
    await world.apply(repairBatch(BOB, { ...gone, roomId: "!never:hs" as RoomId }));
    expect(world.findMeta("!never:hs")).toBeUndefined();
  });

  test("[FWD-53] a room that its user has forgotten is one they left and may see nothing of, kicked or banned as they were", async () => {
    for (const membership of ["leave", "ban"] as const) {
      const world = await settled();
      const out = memberEvent("$out", BOB, membership, { sender: ALICE });
      await world.apply(pollBatch(BOB, { rooms: [leaveSection(ROOM, { timeline: [out] })] }));
      expect(world.standing(BOB, ROOM)).toMatchObject({ membership, memberSender: ALICE });
      const forgotten = { kind: "forgotten", roomId: ROOM as RoomId } as const;
      const reduction = await world.apply(repairBatch(BOB, forgotten));
      expect(world.standing(BOB, ROOM)).toMatchObject({
        membership: "leave",
        memberSender: BOB,
        joinPos: 0,
        leftPos: null,
      });
      expect(reduction.updates.users.map(({ userId }) => userId as string)).toEqual([BOB]);
      // Forgetting twice is forgetting once, and what the room says of them later is nothing new.
      const { head } = world;
      await world.apply(repairBatch(BOB, forgotten));
      await world.apply(repairBatch(ALICE, snapshotSection(ROOM, [create, alice, out, name], head)));
      expect(world.standing(BOB, ROOM)).toMatchObject({ membership: "leave", memberSender: BOB });
      await world.apply(pollBatch(BOB, { rooms: [inviteSection(ROOM, BOB)] }));
      expect(world.standing(BOB, ROOM).membership).toBe("invite");
    }
  });

  test("[FWD-54] a room that its user is in, or is invited to, by now is not taken away", async () => {
    const world = await settled();
    const { head } = world;
    const forgotten = { kind: "forgotten", roomId: ROOM as RoomId } as const;
    const { suspicions } = await world.apply(repairBatch(BOB, forgotten));
    // Some homeservers say nothing any more of a room that was left and forgotten: it is looked up.
    expect(suspicions).toMatchObject([{ roomId: ROOM, userId: BOB, reason: "forgotten" }]);
    await world.apply(repairBatch(CAROL, forgotten));
    await world.apply(repairBatch(BOB, { ...forgotten, roomId: "!never:hs" as RoomId }));
    expect(world.standing(BOB, ROOM).membership).toBe("join");
    expect(world.head).toBe(head);
  });

  test("[HEAL-12] in one group with news of the same room, nothing is both written and removed", async () => {
    const world = await settled();
    const readAt = world.head;
    const renamed = stateEvent("$name2", "m.room.name", "", { name: "second" });
    const reduction = await world.apply(
      repairBatch(ALICE, snapshotSection(ROOM, [create, alice, bob], readAt)),
      pollBatch(BOB, { rooms: [joinSection(ROOM, { timeline: [renamed] })] }),
    );
    expect(reduction.transaction.repairs).toEqual([expect.objectContaining({ removed: [] })]);
    expect(world.meta(ROOM).name).toBe("second");
  });
});

/** The same event under another id, as in another room. */
const own = (event: EventFields): EventFields => ({ ...event, id: `${event.id}-other` as EventFields["id"] });

describe("state that does not fit together", () => {
  const reasons = (reduction: Awaited<ReturnType<IngestWorld["apply"]>>): string[] =>
    reduction.suspicions.map(({ roomId, reason }) => `${roomId} ${reason}`);

  test("[HEAL-20] an event that replaces another one than we hold is applied, and the room compared", async () => {
    const world = await settled();
    const fits = replacing(stateEvent("$n2", "m.room.name", "", { name: "second" }), "$name");
    const poll = (event: EventFields) => pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [event] })] });
    expect(reasons(await world.apply(poll(fits)))).toEqual([]);
    const wrong = replacing(stateEvent("$n4", "m.room.name", "", { name: "fourth" }), "$n3");
    const reduction = await world.apply(poll(wrong));
    expect(reasons(reduction)).toEqual([`${ROOM} replaces-other`]);
    expect(world.meta(ROOM).name).toBe("fourth");
    const unseen = replacing(stateEvent("$t2", "m.room.topic", "", { topic: "t" }), "$t1");
    expect(reasons(await world.apply(poll(unseen)))).toEqual([`${ROOM} replaces-other`]);
  });

  test("[HEAL-21] a state block with an event that is past for us does not move state back; the room is compared", async () => {
    const world = await settled();
    const renamed = stateEvent("$name2", "m.room.name", "", { name: "second" });
    await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [renamed] })] }));
    const section = joinSection(ROOM, { state: [name], timeline: [polledEvent("$later")], limited: true });
    const reduction = await world.apply(pollBatch(BOB, { rooms: [section] }));
    expect(world.meta(ROOM).name).toBe("second");
    expect(reasons(reduction)).toEqual([`${ROOM} moved-back`]);
    const shown = joinSection(ROOM, { state: [name], timeline: [renamed, polledEvent("$later2")], limited: true });
    expect(reasons(await world.apply(pollBatch(BOB, { rooms: [shown] })))).toEqual([]);
  });

  test("[HEAL-22] a rejoin that brings unknown state has the room compared", async () => {
    const world = await settled();
    const left = memberEvent("$bob2", BOB, "leave");
    await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [left] })] }));
    const back = memberEvent("$bob3", BOB, "join", { prevMembership: "leave" });
    const topic = stateEvent("$topic", "m.room.topic", "", { topic: "t" });
    const section = joinSection(ROOM, { state: [create, alice, name, topic], timeline: [back] });
    expect(reasons(await world.apply(pollBatch(BOB, { rooms: [section] })))).toEqual([`${ROOM} rejoined`]);
    expect(world.standing(BOB, ROOM).membership).toBe("join");
  });

  test("[HEAL-23] a room whose first state has no create event is not shown, kept for inspection, and compared", async () => {
    const world = await settled();
    const section = joinSection("!poison:hs", { state: [own(alice), own(name)], timeline: [own(hello)] });
    const other = joinSection("!good:hs", { state: [create, alice].map((event) => own(own(event))) });
    const reduction = await world.apply(pollBatch(ALICE, { rooms: [section, other] }));
    expect(reasons(reduction)).toEqual(["!poison:hs no-create"]);
    expect(world.findStanding(ALICE, "!poison:hs")).toBeUndefined();
    expect(world.standing(ALICE, "!good:hs").membership).toBe("join");
    expect(reduction.transaction.quarantine).toHaveLength(1);
    expect(reduction.transaction.sinces).toHaveLength(1);
  });

  test("[HEAL-24] a create event sent in the timeline of a new room is taken for state", async () => {
    const world = new IngestWorld();
    const section = joinSection(ROOM, { state: [alice, name], timeline: [create, hello] });
    await world.apply(pollBatch(ALICE, { rooms: [section] }));
    expect(world.timeline(ROOM)).toEqual(["$hello"]);
    expect(world.event("$create").pos).toBe(1);
    expect(world.meta(ROOM)).toMatchObject({ roomVersion: "11", name: "first" });
  });

  test("[HEAL-25] a change that others have passed is not made current by a lagging poller", async () => {
    const world = await settled();
    const renamed = (id: string, ts: number) =>
      polledEvent(id, { type: "m.room.name", stateKey: "", ts, content: { name: id.slice(1) } });
    const [old, newer] = [renamed("$old", 2000), renamed("$newer", 3000)];
    const polledAt = world.head;
    await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [newer] })] }));
    const gap = (event: EventFields) =>
      pollBatch(BOB, {
        rooms: [joinSection(ROOM, { state: [event], timeline: [polledEvent(`$after${event.id}`)], limited: true })],
      });
    world.polledAt = polledAt;
    expect(reasons(await world.apply(gap(old)))).toEqual([`${ROOM} lagging`]);
    expect(world.meta(ROOM).name).toBe("newer");
    expect(reasons(await world.apply(gap(replacing(renamed("$newest", 1), "$newer"))))).toEqual([]);
    expect(world.meta(ROOM).name).toBe("newest");
    expect(reasons(await world.apply(gap(renamed("$later", 4000))))).toEqual([`${ROOM} lagging`]);
    expect(world.meta(ROOM).name).toBe("later");
    world.polledAt = world.head;
    expect(reasons(await world.apply(gap(renamed("$last", 5))))).toEqual([]);
    expect(world.meta(ROOM).name).toBe("last");
  });

  test("[HEAL-25] neither is one that is told beside a timeline without a gap", async () => {
    const world = await settled();
    const renamed = (id: string, ts: number) =>
      polledEvent(id, { type: "m.room.name", stateKey: "", ts, content: { name: id.slice(1) } });
    world.polledAt = world.head;
    const beside = (userId: string, event: EventFields, said: string) =>
      pollBatch(userId, { rooms: [joinSection(ROOM, { state: [event], timeline: [polledEvent(said)] })] });
    await world.apply(beside(ALICE, renamed("$newer", 3000), "$2"));
    expect(reasons(await world.apply(beside(BOB, renamed("$old", 2000), "$1")))).toEqual([`${ROOM} lagging`]);
    expect(world.meta(ROOM).name).toBe("newer");
  });

  test("[HEAL-26] with state after the timeline there is nothing to doubt", async () => {
    const world = await settled();
    const renamed = replacing(stateEvent("$name2", "m.room.name", "", { name: "second" }), "$unknown");
    const section = joinSection(ROOM, { state: [renamed], isStateAfter: true, timeline: [renamed] });
    expect(reasons(await world.apply(pollBatch(ALICE, { rooms: [section] })))).toEqual([]);
  });
});
