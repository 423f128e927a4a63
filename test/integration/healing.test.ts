import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { RoomTruth } from "#test/support/room-truth.ts";
import type { RigResponse } from "#test/support/sync-rig.ts";

const ALICE = "@alice:test";
const BOB = "@bob:test";
const BODY = {
  lists: {
    all: {
      ranges: [[0, 9]],
      timeline_limit: 5,
      required_state: [
        ["m.room.name", ""],
        ["m.room.member", "*"],
      ],
    },
  },
};
/** So long that only news end it. */
const LONG = 100_000;

describe("state that heals, over HTTP", () => {
  let rig: FrontRig;
  let truth: RoomTruth;
  let alice: Session;
  let first: RigResponse;
  const room = (name: string): string => `!${name}:test`;

  beforeEach(async () => {
    rig = await FrontRig.start();
    truth = new RoomTruth(rig);
    alice = rig.account("alice", rig.joined(ALICE, ["other", "room"]));
    first = await rig.sync(alice, BODY);
    truth.joined.set(ALICE, [room("other"), room("room")]);
  });

  afterEach(() => rig.stop());

  /** State as the first response had it, but for what is given instead or as well. */
  const state = (name: string, ...changes: WireEvent[]): WireEvent[] => {
    const roomState = first.rooms?.[room(name)]?.required_state ?? [];
    const create = rig.event("m.room.create", ALICE, { room_version: "11" }, "");
    const byKey = new Map<string, WireEvent>();
    for (const event of [create, ...roomState, ...changes]) byKey.set(`${event.type} ${event.state_key}`, event);
    return [...byKey.values()];
  };

  /** The next response with a room in it. */
  const news = async (session: Session, pos: string): Promise<RigResponse> => {
    for (let from = pos; ;) {
      const answer = await rig.sync(session, {}, { pos: from, timeout: LONG });
      if (Object.keys(answer.rooms ?? {}).length > 0) return answer;
      from = answer.pos;
    }
  };

  test("[HEAL-70] after a state reset the room comes anew, alone, and the connection goes on", async () => {
    const wrong = {
      ...rig.event("m.room.topic", ALICE, { topic: "new" }, ""),
      unsigned: { replaces_state: "$never-seen" },
    };
    const renamed = rig.event("m.room.name", ALICE, { name: "as it is" }, "");
    truth.states.set(room("room"), state("room", renamed, wrong));
    await rig.poll(alice, { rooms: { join: { [room("room")]: { timeline: { events: [wrong] } } } } });
    const live = await news(alice, first.pos);
    expect(live.rooms?.[room("room")]?.initial).toBeUndefined();
    const healed = await news(alice, live.pos);
    expect(Object.keys(healed.rooms ?? {})).toEqual([room("room")]);
    expect(healed.rooms?.[room("room")]).toMatchObject({ initial: true, name: "as it is", joined_count: 1 });
    expect(healed.rooms?.[room("room")]?.timeline?.at(-1)?.event_id).toBe(wrong.event_id);
    const member = rig.event("m.room.message", ALICE, { body: "after" });
    await rig.poll(alice, { rooms: { join: { [room("room")]: { timeline: { events: [member] } } } } });
    const after = await news(alice, healed.pos);
    expect(after.rooms?.[room("room")]?.timeline?.map(({ event_id }) => event_id)).toEqual([member.event_id]);
    expect(truth.asked).toEqual([`${ALICE} ${room("room")}`]);
  });

  test("[HEAL-71] a room without a create event appears as soon as it was read, the others at once", async () => {
    const create = rig.event("m.room.create", ALICE, { room_version: "11" }, "");
    const joined = rig.event("m.room.member", ALICE, { membership: "join" }, ALICE);
    const name = rig.event("m.room.name", ALICE, { name: "poison" }, "");
    truth.states.set(room("poison"), [create, joined, name]);
    const good = rig.joined(ALICE, ["good"]) as { rooms: { join: object } };
    const poison = { state: { events: [joined, name] }, timeline: { events: [rig.say(ALICE, "hi")] } };
    await rig.poll(alice, { rooms: { join: { ...good.rooms.join, [room("poison")]: poison } } });
    const live = await news(alice, first.pos);
    expect(Object.keys(live.rooms ?? {})).toEqual([room("good")]);
    const healed = await news(alice, live.pos);
    expect(healed.rooms?.[room("poison")]).toMatchObject({ initial: true, name: "poison" });
    expect(healed.lists["all"]?.count).toBe(4);
  });

  test("[HEAL-72] a room that was deleted leaves the list, and so does one whose departure was missed", async () => {
    const asked = await rig.node.stores.repair.ask({ kind: "user", target: ALICE }, 0);
    truth.states.set(room("other"), state("other"));
    truth.joined.set(ALICE, [room("other")]);
    const healed = await news(alice, first.pos);
    let { pos } = healed;
    let count = healed.lists["all"]?.count;
    while (count !== 1) {
      const answer = await rig.sync(alice, {}, { pos, timeout: LONG });
      pos = answer.pos;
      count = answer.lists["all"]?.count;
    }
    await rig.node.until(() => rig.node.metrics.of("repair_rooms_total", { outcome: "gone" }) === 1);
    expect(rig.node.metrics.of("repair_rooms_total", { outcome: "compared" })).toBe(1);
    const isEnded = async (): Promise<boolean> => (await rig.node.stores.repair.progress(asked))?.isEnded === true;
    while (!(await isEnded())) await rig.node.pass(100);
    expect((await rig.sync(alice, BODY)).lists["all"]?.count).toBe(1);
  });

  test("[HEAL-73] members that vanished are gone for every user of the room, nobody is disconnected", async () => {
    const bob = rig.account("bob", {
      rooms: {
        join: {
          [room("room")]: {
            state: { events: [...state("room"), rig.event("m.room.member", BOB, { membership: "join" }, BOB)] },
            timeline: { events: [rig.say(BOB, "here")] },
          },
        },
      },
    });
    const bobFirst = await rig.sync(bob, BODY);
    expect(bobFirst.rooms?.[room("room")]?.["joined_count"]).toBe(2);
    const live = await news(alice, first.pos);
    truth.joined.set(BOB, []);
    truth.states.set(room("room"), state("room"));
    await rig.node.stores.repair.ask({ kind: "room", target: room("room") }, 0);
    const healed = await news(alice, live.pos);
    expect(healed.rooms?.[room("room")]).toMatchObject({ initial: true, joined_count: 1 });
    let answer = await rig.sync(bob, {}, { pos: bobFirst.pos, timeout: LONG });
    while (answer.lists["all"]?.count !== 0) answer = await rig.sync(bob, {}, { pos: answer.pos, timeout: LONG });
  });

  test("[HEAL-74] a homeserver that refuses, is busy or answers nonsense changes nothing", async () => {
    truth.instead.push(
      new Response("{}", { status: 429, headers: { "retry-after": "1" } }),
      new Response("<html>"),
      Response.json({ errcode: "M_FORBIDDEN" }, { status: 403 }),
      Response.json({ joined: [] }),
    );
    truth.states.set(room("room"), state("room"));
    await rig.node.stores.repair.ask({ kind: "room", target: room("room") }, 0);
    const healed = await news(alice, first.pos);
    expect(healed.rooms?.[room("room")]).toMatchObject({ initial: true, name: "room" });
    expect(healed.lists["all"]?.count).toBe(2);
    expect(truth.asked).toHaveLength(4);
  });

  test.each([
    ["before the timeline", "state"],
    ["after it (MSC4222)", "org.matrix.msc4222.state_after"],
  ])(
    "[HEAL-76] a gap with state %s sends the room anew to everybody in it, alone, and ends no connection",
    async (_when, member) => {
      const here = rig.event("m.room.member", BOB, { membership: "join" }, BOB);
      const section = { state: { events: [...state("room"), here] }, timeline: { events: [rig.say(BOB, "here")] } };
      const bob = rig.account("bob", { rooms: { join: { [room("room")]: section } } });
      const bobFirst = await rig.sync(bob, BODY);
      const live = await news(alice, first.pos);
      const renamed = rig.event("m.room.name", ALICE, { name: "in the gap" }, "");
      const said = rig.say("@carol:test", "after the gap");
      const timeline = { events: [said], limited: true, prev_batch: "gap" };
      await rig.poll(bob, { rooms: { join: { [room("room")]: { [member]: { events: [renamed] }, timeline } } } });
      for (const [session, pos] of [
        [alice, live.pos],
        [bob, bobFirst.pos],
      ] as const) {
        const answer = await news(session, pos);
        expect(Object.keys(answer.rooms ?? {})).toEqual([room("room")]);
        expect(answer.rooms?.[room("room")]).toMatchObject({ initial: true, name: "in the gap", prev_batch: "gap" });
        expect(answer.rooms?.[room("room")]?.timeline?.map(({ event_id }) => event_id)).toEqual([said.event_id]);
      }
      expect(truth.asked).toEqual([]);
    },
  );

  test("[HEAL-77] who comes back after a kick is sent the room as it is then, and sees nothing of the time between", async () => {
    const kicked = rig.event("m.room.member", BOB, { membership: "leave" }, ALICE);
    await rig.poll(alice, { rooms: { leave: { [room("room")]: { timeline: { events: [kicked] } } } } });
    let out = await rig.sync(alice, {}, { pos: first.pos, timeout: LONG });
    while (out.lists["all"]?.count !== 1) out = await rig.sync(alice, {}, { pos: out.pos, timeout: LONG });
    const renamed = rig.event("m.room.name", BOB, { name: "meanwhile" }, "");
    const back = rig.event("m.room.member", ALICE, { membership: "join" }, ALICE);
    const section = {
      state: { events: state("room", renamed) },
      timeline: { events: [back], limited: true, prev_batch: "rejoin" },
    };
    truth.states.set(room("room"), state("room", renamed, back));
    await rig.poll(alice, { rooms: { join: { [room("room")]: section } } });
    const again = await news(alice, out.pos);
    expect(again.rooms?.[room("room")]).toMatchObject({ initial: true, name: "meanwhile" });
    expect(again.rooms?.[room("room")]?.timeline?.map(({ event_id }) => event_id)).toEqual([back.event_id]);
    expect(again.lists["all"]?.count).toBe(2);
  });

  test("[HEAL-75] the walk finds a room that only the homeserver has the user in", async () => {
    const create = rig.event("m.room.create", BOB, { room_version: "11" }, "");
    const joined = rig.event("m.room.member", ALICE, { membership: "join" }, ALICE);
    truth.states.set(room("missed"), [create, joined, rig.event("m.room.name", BOB, { name: "missed" }, "")]);
    truth.joined.set(ALICE, [room("other"), room("room"), room("missed")]);
    const healed = await news(alice, first.pos);
    expect(healed.rooms?.[room("missed")]).toMatchObject({ initial: true, name: "missed" });
    expect(healed.lists["all"]?.count).toBe(3);
  });
});
