import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ListLife } from "#test/support/list-life.ts";

const TOP_TWO = { ranges: [[0, 1]], timeline_limit: 5 };

describe("a list while its user's memberships change", () => {
  let life: ListLife;

  beforeEach(async () => {
    life = await ListLife.start();
  });

  afterEach(() => life.stop());

  /** a, b, c and so on in this order, of which the first two are seen. */
  const open = async (...names: string[]) => {
    await life.rooms(...names.toReversed());
    return life.sync({ all: TOP_TWO });
  };

  test("[LIST-1] an invite enters at the top with its stripped state", async () => {
    await open("a", "b", "c");
    await life.room("i", { isForeign: true });
    await life.invite("i");
    const shown = await life.sync();
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["DELETE 1, INSERT 0 i", 4, "i+"]);
    expect(shown.response.rooms["!i"]).toMatchObject({ invite_state: expect.any(Array), highlight_count: 1 });
  });

  test("[LIST-2] an invite outside the windows changes the count alone", async () => {
    await life.rooms("c", "b", "a");
    await life.sync({ all: { ...TOP_TWO, sort: ["by_name"] } });
    await life.room("i", { isForeign: true });
    await life.invite("i");
    const shown = await life.sync();
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["", 4, ""]);
  });

  test("[LIST-3] a rejected or retracted invite leaves, and the next room comes with its data", async () => {
    for (const sender of [life.alice, life.bob]) {
      const own = life.another(`by-${sender.slice(1, 4)}`);
      await own.rooms("c", "b", "a");
      await own.invite("i");
      await own.sync({ all: TOP_TWO });
      const event = await own.depart("i", "leave", sender, false);
      const shown = await own.sync();
      expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["DELETE 0, INSERT 1 b", 3, "b+ i"]);
      expect(shown.response.rooms["!i"]?.timeline?.map(({ event_id }) => event_id)).toEqual([event.id]);
    }
  });

  test("[LIST-4] an accepted invite at the top stays where it is and comes whole, from the join on", async () => {
    await open("a", "b", "c");
    await life.room("i", { isForeign: true });
    await life.invite("i");
    await life.sync();
    const join = await life.join("i");
    const shown = await life.sync();
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["", 4, "i+"]);
    expect(shown.response.rooms["!i"]?.["invite_state"]).toBeUndefined();
    expect(shown.response.rooms["!i"]?.timeline?.map(({ event_id }) => event_id)).toEqual([join.id]);
  });

  test("[LIST-5] a joined room enters at the top; an old one beyond the windows comes with its data and is counted", async () => {
    await open("a", "b", "c");
    await life.room("n");
    const shown = await life.sync();
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["DELETE 1, INSERT 0 n", 4, "n+"]);
    await life.room("o", { isForeign: true });
    await life.join("o", 1);
    const old = await life.sync();
    expect([old.ops("all"), old.count("all"), old.rooms]).toEqual(["", 5, "o+"]);
  });

  test("[LIST-6] a kick, a ban and a voluntary leave take the room out at once, and its last event is told once", async () => {
    const ways = [
      ["leave", life.bob],
      ["ban", life.bob],
      ["leave", life.alice],
    ] as const;
    for (const [index, [membership, sender]] of ways.entries()) {
      const own = life.another(`way-${index}`);
      await own.rooms("d", "c", "b", "a");
      await own.sync({ all: TOP_TWO });
      const event = await own.depart("a", membership, sender);
      const shown = await own.sync();
      expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["DELETE 0, INSERT 1 c", 3, "a c+"]);
      expect(shown.response.rooms["!a"]?.timeline?.map(({ event_id }) => event_id)).toEqual([event.id]);
      const quiet = await own.sync();
      expect([quiet.ops("all"), quiet.count("all"), quiet.rooms]).toEqual(["", 3, ""]);
      await own.join("a");
    }
  });

  test("[LIST-7] a departure from a room beyond the windows changes the count alone", async () => {
    await open("a", "b", "c", "d");
    await life.depart("c", "leave", life.bob);
    const shown = await life.sync();
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["", 3, ""]);
  });

  test("[LIST-8] a rejoin enters like any join, whole, and goes on live", async () => {
    await open("a", "b", "c");
    await life.depart("a", "leave", life.bob);
    await life.sync();
    await life.join("a");
    const back = await life.sync();
    expect([back.ops("all"), back.count("all"), back.rooms]).toEqual(["DELETE 1, INSERT 0 a", 3, "a+"]);
    await life.say("a");
    const next = await life.sync();
    expect([next.ops("all"), next.rooms]).toEqual(["", "a"]);
    expect(next.response.rooms["!a"]?.timeline).toMatchObject([{ content: { body: "more of a" } }]);
  });

  test("[LIST-9] a room that was left and joined again between two requests stays listed and comes whole", async () => {
    await open("a", "b", "c");
    await life.depart("a", "leave", life.alice);
    await life.join("a");
    const shown = await life.sync();
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["", 3, "a+"]);
  });

  test("[LIST-10] lists of invites and of the others hand a room over with each change", async () => {
    await life.rooms("b", "a");
    await life.sync({
      invites: { ranges: [[0, 5]], filters: { is_invite: true } },
      joined: { ranges: [[0, 5]], filters: { is_invite: false } },
    });
    const told = async () => {
      const shown = await life.sync();
      return [shown.ops("invites"), shown.ops("joined")];
    };
    await life.room("i", { isForeign: true });
    await life.invite("i");
    expect(await told()).toEqual(["DELETE 0, INSERT 0 i", ""]);
    await life.join("i");
    expect(await told()).toEqual(["DELETE 0", "DELETE 2, INSERT 0 i"]);
    await life.depart("i", "leave", life.bob);
    expect(await told()).toEqual(["", "DELETE 0"]);
    await life.invite("i");
    expect(await told()).toEqual(["DELETE 0, INSERT 0 i", ""]);
    await life.depart("i", "leave", life.alice, false);
    expect(await told()).toEqual(["DELETE 0", ""]);
  });

  test("[LIST-11] counts and account data of a room nobody knows add nothing", async () => {
    await open("a", "b");
    await life.counts("nowhere", 5, 1);
    await life.tags("nowhere", "u.x");
    const shown = await life.sync();
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["", 2, ""]);
  });

  test("[LIST-12] an invite that is repeated with other stripped state makes no entry", async () => {
    await life.rooms("a");
    await life.invite("i");
    await life.sync({ all: TOP_TWO });
    await life.invite("i", { name: "another" });
    const shown = await life.sync();
    expect([shown.ops("all"), shown.rooms]).toEqual(["", ""]);
  });
});

describe("what a list's updates put into rooms", () => {
  let life: ListLife;

  beforeEach(async () => {
    life = await ListLife.start();
    await life.rooms("d", "c", "b", "a");
  });

  afterEach(() => life.stop());

  test("[LIST-20] events of rooms in view, and of none beyond; from there a room comes whole", async () => {
    await life.sync({ all: { ...TOP_TWO, sort: ["by_name"] } });
    await life.say("a");
    await life.say("d");
    const shown = await life.sync();
    expect([shown.ops("all"), shown.rooms]).toEqual(["", "a"]);
    const more = await life.sync({ all: { ranges: [[0, 3]] } });
    expect(more.rooms).toBe("c+ d+");
    expect(more.response.rooms["!d"]?.timeline).toHaveLength(2);
  });

  test("[LIST-21] a room that its own event moves out of view has that event told", async () => {
    await life.sync({ all: { ...TOP_TWO, sort: ["by_name"] } });
    await life.state("a", "m.room.name", { name: "Zzz" });
    const shown = await life.sync();
    expect([shown.ops("all"), shown.rooms]).toEqual(["DELETE 0, INSERT 1 c", "a c+"]);
    expect(shown.response.rooms["!a"]).toMatchObject({ name: "Zzz", timeline: [{ type: "m.room.name" }] });
  });

  test("[LIST-22] tags, typing and receipts move rooms without entries of their own", async () => {
    await life.sync({ all: { ranges: [[0, 3]] } });
    await life.tags("a", "u.x");
    await life.own("b", {
      typing: {
        json: new TextEncoder().encode('{"type":"m.typing","content":{"user_ids":["@bob:hs"]}}'),
        userIds: [life.bob],
      },
      receipts: [{ userId: life.bob, eventId: "$x", threadId: "", isPrivate: false, ts: 1 }],
    });
    const shown = await life.sync();
    expect([shown.ops("all"), shown.rooms]).toEqual(["", ""]);
  });

  test("[LIST-23] changed unread counts are told of any room, in a window, in a list or in none", async () => {
    await life.sync({ some: { ranges: [[0, 0]], filters: { room_name_like: "a" } }, top: { ranges: [[0, 0]] } });
    for (const name of ["a", "b", "d"]) {
      await life.counts(name, 2, 1);
      const shown = await life.sync();
      expect(shown.response.rooms).toEqual({ [`!${name}`]: { notification_count: 2, highlight_count: 1 } });
      await life.counts(name, 2, 1);
      expect((await life.sync()).rooms).toBe("");
    }
  });

  test("[LIST-24] a connection without lists and subscriptions hears of no counts", async () => {
    const other = life.another("e2ee");
    await other.sync({}, { extensions: { to_device: { enabled: true } } });
    await life.counts("a", 2, 1);
    expect((await other.sync()).rooms).toBe("");
  });

  test("[LIST-25] a larger limit or other state resends what is in view and joined, that alone and without operations", async () => {
    await life.say("a");
    await life.invite("i");
    const config = { timeline_limit: 1, required_state: [["m.room.name", ""]] };
    await life.sync({ all: { ...config, ranges: [[0, 1]] } });
    const more = await life.sync({ all: { timeline_limit: 2 } });
    expect([more.ops("all"), more.rooms]).toEqual(["", "a+"]);
    expect(more.response.rooms["!a"]?.timeline).toHaveLength(2);
    expect(more.response.rooms["!a"]?.required_state).toBeUndefined();
    const less = await life.sync({ all: { timeline_limit: 1 } });
    expect([less.rooms, less.response.rooms["!a"]?.timeline?.length]).toEqual(["a+", 1]);
    const state = await life.sync({ all: { required_state: [["m.room.create", ""]] } });
    expect([state.ops("all"), state.rooms]).toEqual(["", "a+"]);
    expect(state.response.rooms["!a"]?.timeline).toBeUndefined();
    expect(state.response.rooms["!a"]?.required_state).toMatchObject([{ type: "m.room.create" }]);
    const both = await life.sync({
      all: { required_state: [["m.room.name", ""]], timeline_limit: 3, ranges: [[0, 2]] },
    });
    expect([both.ops("all"), both.rooms]).toEqual(["SYNC [2,2] b", "a+ b+"]);
    expect(both.response.rooms["!a"]?.timeline).toHaveLength(2);
    expect(both.response.rooms["!b"]?.required_state).toMatchObject([{ type: "m.room.name" }]);
  });

  test("[LIST-26] a change of heroes, old rooms or bump types alone resends nothing", async () => {
    await life.sync({ all: TOP_TWO });
    const shown = await life.sync({
      all: { include_heroes: true, include_old_rooms: { timeline_limit: 3 }, bump_event_types: ["m.room.name"] },
    });
    expect([shown.ops("all"), shown.rooms]).toEqual(["", ""]);
  });

  test("[LIST-27] a room that enters two lists at once comes with what both want", async () => {
    const shown = await life.sync({
      one: { ranges: [[0, 0]], timeline_limit: 5, required_state: [["m.room.create", ""]] },
      two: { ranges: [[0, 0]], timeline_limit: 1, required_state: [["m.room.name", ""]] },
    });
    await life.say("a");
    expect(shown.rooms).toBe("a+");
    expect(shown.response.rooms["!a"]?.required_state?.map(({ type }) => type)).toEqual([
      "m.room.create",
      "m.room.name",
    ]);
  });

  test("[LIST-28] one that the client has from one list and that enters another comes anew, with what the other wants", async () => {
    await life.say("a");
    await life.sync({ one: { ranges: [[0, 3]], timeline_limit: 5, required_state: [["m.room.create", ""]] } });
    const shown = await life.sync({
      two: { ranges: [[0, 0]], timeline_limit: 1, required_state: [["m.room.name", ""]] },
    });
    expect(shown.rooms).toBe("a+");
    expect(shown.response.rooms["!a"]?.timeline).toHaveLength(1);
    expect(shown.response.rooms["!a"]?.required_state?.map(({ type }) => type)).toEqual(["m.room.name"]);
    await life.say("d");
    const moved = await life.sync();
    expect([moved.ops("one"), moved.ops("two"), moved.rooms]).toEqual([
      "DELETE 3, INSERT 0 d",
      "DELETE 0, INSERT 0 d",
      "d+",
    ]);
    expect(moved.response.rooms["!d"]?.required_state?.map(({ type }) => type)).toEqual(["m.room.name"]);
  });

  test("[LIST-29] equal lists behave alike, and a new one resends its rooms", async () => {
    const first = await life.sync({ one: TOP_TWO });
    const again = await life.sync({ two: TOP_TWO });
    expect([again.ops("one"), again.ops("two"), again.rooms]).toEqual(["", first.ops("one"), "a+ b+"]);
    await life.say("d");
    const shown = await life.sync();
    expect([shown.ops("one"), shown.ops("two")]).toEqual(["DELETE 1, INSERT 0 d", "DELETE 1, INSERT 0 d"]);
  });

  test("[LIST-30] a deleted list is in no response, and events of its rooms go nowhere", async () => {
    await life.sync({ one: TOP_TWO, two: { ranges: [[0, 0]] } });
    await life.say("b");
    const shown = await life.sync({ one: { deleted: true }, never: { deleted: true } });
    expect(Object.keys(shown.response.lists)).toEqual(["two"]);
    await life.say("b");
    await life.sync();
    await life.say("a");
    await life.say("b");
    await life.sync();
    await life.say("d");
    expect((await life.sync()).rooms).toBe("d+");
  });
});
