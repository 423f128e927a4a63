import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { type SimplifiedAnswer, SimplifiedClient, stateOf } from "#test/support/simplified-client.ts";

const EXTENSIONS = { receipts: { enabled: true }, typing: { enabled: true } };

/** A room that bob is in, and alice not; she asks for all there is of it. */
interface Shared {
  room: string;
  aliceId: string;
  bobId: string;
  alice: Session;
  /** Plays what bob's homeserver says of the room, and what alice's does. */
  bobHears(events: WireEvent[], more?: Record<string, unknown>): Promise<void>;
  aliceHears(section: "invite" | "join" | "leave", said: Record<string, unknown>): Promise<void>;
  /** Both of alice's clients ask; without a position when `isFirst`. */
  ask(isFirst?: boolean): Promise<{ unstable: SimplifiedAnswer; v4: SimplifiedAnswer }>;
  /** Bob's client asks, so that what he hears is fed to everybody. */
  bobAsks(): Promise<unknown>;
}

type Member = (membership: string, before?: string, sender?: string) => WireEvent;

describe("rooms that a client of simplified sliding sync may not see", () => {
  let rig: FrontRig;
  let rooms = 0;

  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  const share = async (): Promise<Shared> => {
    rooms += 1;
    const room = `!secret${rooms}:test`;
    const [aliceId, bobId] = [`@alice${rooms}:test`, `@bob${rooms}:test`];
    const alice = rig.account(`alice${rooms}`, rig.joined(aliceId, [`own${rooms}`]));
    const bob = rig.account(`bob${rooms}`, rig.joined(bobId, [`secret${rooms}`]));
    const config = { required_state: [["*", "*"]], timeline_limit: 5 };
    const unstable = { lists: { all: { ranges: [[0, 9]], ...config } }, room_subscriptions: { [room]: config } };
    const everything = { required_state: { include: [{}] }, timeline_limit: 5 };
    const v4 = { lists: { all: everything }, room_subscriptions: { [room]: everything } };
    const [first, second] = [new SimplifiedClient(rig, alice), new SimplifiedClient(rig, alice, "v4")];
    const third = new SimplifiedClient(rig, bob);
    const bobAsks = (): Promise<unknown> => third.sync(unstable);
    const ask: Shared["ask"] = async (isFirst = false) => {
      const options = isFirst ? { pos: null } : {};
      return {
        unstable: await first.sync({ ...unstable, extensions: EXTENSIONS }, options),
        v4: await second.sync({ ...v4, extensions: EXTENSIONS }, options),
      };
    };
    await bobAsks();
    await ask();
    return {
      room,
      aliceId,
      bobId,
      alice,
      bobHears: (events, more = {}) =>
        rig.poll(bob, { rooms: { join: { [room]: { timeline: { events }, ...more } } } }),
      aliceHears: (section, said) => rig.poll(alice, { rooms: { [section]: { [room]: said } } }),
      ask,
      bobAsks,
    };
  };
  const restart = async (shared: Shared): Promise<void> => {
    await rig.node.shutDown();
    await rig.node.boot();
    await shared.bobAsks();
  };
  const topic = (id: string): WireEvent => rig.event("m.room.topic", id, { topic: "secret" }, "");
  const reads = (userId: string, eventId: string): Record<string, unknown> => ({
    ephemeral: {
      events: [{ type: "m.receipt", content: { [eventId]: { "m.read": { [userId]: { ts: 1_700_000_000_000 } } } } }],
    },
  });

  test("[SSS-47] who was banned or uninvited without ever having been inside sees of the room their own member event", async () => {
    for (const membership of ["ban", "leave"]) {
      const shared = await share();
      const { room, aliceId, bobId } = shared;
      await shared.bobHears([topic(bobId)]);
      if (membership === "leave") {
        const invite = { type: "m.room.member", state_key: aliceId, sender: bobId, content: { membership: "invite" } };
        await shared.aliceHears("invite", { invite_state: { events: [invite] } });
        await shared.ask();
        await shared.bobHears([topic(bobId)]);
      }
      const end = rig.event("m.room.member", bobId, { membership }, aliceId);
      await shared.bobHears([end]);
      await shared.aliceHears("leave", { timeline: { events: [end] } });
      for (const { rooms: told } of Object.values(await shared.ask())) {
        expect(stateOf(told[room])).toEqual([`m.room.member|${aliceId}`]);
      }
      for (const { rooms: told } of Object.values(await shared.ask(true))) {
        expect(stateOf(told[room])).toEqual([`m.room.member|${aliceId}`]);
        expect(told[room]).toMatchObject({ initial: true, limited: true, num_live: 0 });
        for (const field of ["name", "timeline", "joined_count", "heroes"])
          expect(told[room]).not.toHaveProperty(field);
      }
    }
  });

  test("[SSS-48] receipts of others end with the user's stay, and are not for invited users", async () => {
    const invited = await share();
    const invite = { type: "m.room.member", state_key: invited.aliceId, sender: invited.bobId };
    await invited.aliceHears("invite", {
      invite_state: { events: [{ ...invite, content: { membership: "invite" } }] },
    });
    const kicked = await share();
    const join = rig.event("m.room.member", kicked.aliceId, { membership: "join" }, kicked.aliceId);
    await kicked.aliceHears("join", { timeline: { events: [join], limited: true, prev_batch: "p" } });
    const kick = rig.event("m.room.member", kicked.bobId, { membership: "leave" }, kicked.aliceId);
    await kicked.aliceHears("leave", { timeline: { events: [kick] } });
    await invited.ask();
    await kicked.ask();
    await restart(invited);
    for (const shared of [invited, kicked]) {
      await shared.bobAsks();
      const message = rig.say(shared.bobId, "read by bob");
      await shared.bobHears([message], reads(shared.bobId, message.event_id ?? ""));
      await shared.bobHears([], reads(shared.bobId, kick.event_id ?? ""));
      for (const isFirst of [false, true]) {
        for (const { extensions } of Object.values(await shared.ask(isFirst))) {
          expect(extensions["receipts"]).toEqual({ rooms: {} });
        }
      }
    }
  });

  test("[SSS-49] what happens in a room after the user left is no news, before a restart and behind it", async () => {
    const shared = await share();
    const { room, aliceId, bobId } = shared;
    const join = rig.event("m.room.member", aliceId, { membership: "join" }, aliceId);
    await shared.aliceHears("join", { timeline: { events: [join], limited: true, prev_batch: "p" } });
    await shared.ask();
    const kick = rig.event("m.room.member", bobId, { membership: "leave" }, aliceId);
    await shared.aliceHears("leave", { timeline: { events: [kick] } });
    const renamed = rig.event("m.room.name", bobId, { name: "renamed" }, "");
    await shared.bobHears([renamed, rig.say(bobId, "behind her back")]);
    for (const { rooms: told } of Object.values(await shared.ask())) {
      expect(stateOf(told[room])).toEqual([`m.room.member|${aliceId}`]);
      expect(told[room]?.timeline?.map(({ event_id: id }) => id)).toEqual([kick.event_id]);
      // Not even that there is none: the name as it was is unknown, and hers to keep.
      expect(told[room]).not.toHaveProperty("name");
      expect(told[room]?.bump_stamp).toBe(Number(kick["origin_server_ts"]));
    }
    await shared.ask();
    await restart(shared);
    await shared.bobHears([rig.say(bobId, "and again")]);
    for (const { rooms: told } of Object.values(await shared.ask())) expect(told).toEqual({});
  });

  test("[V4-9] a room that one was banned from without ever having had to do with it is in no list", async () => {
    const shared = await share();
    const { room, aliceId, bobId } = shared;
    const ban = rig.event("m.room.member", bobId, { membership: "ban" }, aliceId);
    await shared.aliceHears("leave", { timeline: { events: [ban] } });
    const { unstable, v4 } = await shared.ask();
    expect([unstable.lists?.["all"]?.count, v4.lists?.["all"]?.count]).toEqual([2, 1]);
    expect(v4.rooms[room]).not.toHaveProperty("lists");
  });

  describe("who is sent away", () => {
    const any = { lists: { all: { ranges: [[0, 9]], timeline_limit: 3, required_state: [["*", "*"]] } } };
    const everything = { lists: { all: { range: [0, 9], timeline_limit: 3, required_state: { include: [{}] } } } };
    let users = 0;
    const outsider = (first: (member: Member, id: string) => Record<string, unknown>) => {
      users += 1;
      const id = `@outsider${users}:test`;
      const member: Member = (membership, before, sender = "@mod:test") => ({
        ...rig.event("m.room.member", sender, { membership }, id),
        ...(before === undefined ? {} : { unsigned: { prev_content: { membership: before } } }),
      });
      const me = rig.account(`outsider${users}`, first(member, id));
      const [unstable, v4] = [new SimplifiedClient(rig, me), new SimplifiedClient(rig, me, "v4")];
      const hears = (room: string, event: WireEvent): Promise<void> =>
        rig.poll(me, { rooms: { leave: { [room]: { timeline: { events: [event] } } } } });
      const ask = async (isFirst = false) => ({
        unstable: await unstable.sync(any, isFirst ? { pos: null } : {}),
        v4: await v4.sync(everything, isFirst ? { pos: null } : {}),
      });
      return { id, me, member, hears, ask };
    };
    const counts = ({ unstable, v4 }: { unstable: SimplifiedAnswer; v4: SimplifiedAnswer }): unknown[] => [
      unstable.lists?.["all"]?.count,
      v4.lists?.["all"]?.count,
    ];

    test("[SSS-70] a ban or its end in a room of which nothing else is known is told with the own member event, and listed", async () => {
      const { id, member, hears, ask } = outsider((_, own) => rig.joined(own, ["known"]));
      await ask();
      const ban = member("ban");
      await hears("!unknown:test", ban);
      const banned = await ask();
      // MSC4186 does not list rooms that one was banned from without ever having had to do with them.
      expect(counts(banned)).toEqual([2, 1]);
      const { "!unknown:test": entry } = banned.unstable.rooms;
      expect(entry).toMatchObject({ initial: true, limited: true, bump_stamp: Number(ban["origin_server_ts"]) });
      expect(stateOf(entry)).toEqual([`m.room.member|${id}`]);
      for (const field of ["timeline", "name", "joined_count"]) expect(entry).not.toHaveProperty(field);
      const unban = member("leave", "ban");
      await hears("!unknown:test", unban);
      const free = await ask();
      expect(counts(free)).toEqual([2, 1]);
      expect(free.unstable.rooms["!unknown:test"]?.required_state).toEqual([unban]);
      expect(free.unstable.rooms["!unknown:test"]).not.toHaveProperty("initial");
      expect(free.unstable.rooms["!unknown:test"]).not.toHaveProperty("timeline");
      await hears("!unknown:test", member("ban", "leave"));
      const again = await ask();
      expect(counts(again)).toEqual([2, 1]);
      expect(again.unstable.rooms["!unknown:test"]?.required_state).toMatchObject([{ content: { membership: "ban" } }]);
      expect((await ask()).unstable.rooms).toEqual({});
    });

    test("[SSS-71] a kick that becomes a ban, and a ban that is lifted, are told, and nothing of the room with them", async () => {
      const { id, me, member, hears, ask } = outsider((_, own) => rig.joined(own, [`kicked${users}`]));
      const room = `!kicked${users}:test`;
      await ask();
      const kick = member("leave", "join");
      await hears(room, kick);
      await ask();
      let last = kick;
      for (const [membership, before] of [
        ["ban", "leave"],
        ["leave", "ban"],
        ["ban", "leave"],
      ] as const) {
        const event = member(membership, before);
        await hears(room, event);
        const told = await ask();
        expect(counts(told)).toEqual([1, 1]);
        for (const { rooms: entries } of Object.values(told)) {
          expect(entries[room]?.required_state).toEqual([event]);
          expect(entries[room]?.bump_stamp).toBe(Number(event["origin_server_ts"]));
          for (const field of ["timeline", "initial"]) expect(entries[room]).not.toHaveProperty(field);
        }
        expect(told.v4.rooms[room]?.membership).toBe(membership);
        // A poll that lags brings what was before.
        for (const old of [kick, last]) {
          await hears(room, old);
          for (const { rooms: entries } of Object.values(await ask())) expect(entries).toEqual({});
        }
        last = event;
      }
      await rig.poll(me, { rooms: { invite: { [room]: { invite_state: { events: [member("invite")] } } } } });
      await ask();
      const ban = member("ban", "invite");
      await hears(room, ban);
      for (const { rooms: entries } of Object.values(await ask())) expect(entries[room]?.required_state).toEqual([ban]);
      expect(stateOf((await ask(true)).v4.rooms[room])).toContain(`m.room.member|${id}`);
    });

    test("[SSS-72] kicks and bans from before the first poll are listed, voluntary leaves are not", async () => {
      const { id, ask } = outsider((member, own) => ({
        rooms: {
          leave: {
            "!retracted:test": { timeline: { events: [member("leave", "invite")] } },
            "!banned:test": { timeline: { events: [member("ban", "invite")] } },
            "!stranger:test": { timeline: { events: [member("ban")] } },
            "!own:test": { timeline: { events: [member("leave", "invite", own)] } },
          },
        },
      }));
      const told = await ask();
      expect(counts(told)).toEqual([3, 2]);
      expect(Object.keys(told.unstable.rooms).sort()).toEqual(["!banned:test", "!retracted:test", "!stranger:test"]);
      for (const entry of Object.values(told.unstable.rooms)) expect(stateOf(entry)).toEqual([`m.room.member|${id}`]);
      expect(told.v4.rooms["!retracted:test"]).toMatchObject({ membership: "leave" });
      expect(told.v4.rooms["!retracted:test"]?.stripped_state).toMatchObject([{ content: { membership: "leave" } }]);
    });
  });
});
