import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ListLife } from "#test/support/list-life.ts";

const ALL = { slow_get_all_rooms: true, timeline_limit: 1, ranges: [[0, 0]] };

describe("a list with slow_get_all_rooms", () => {
  let life: ListLife;

  beforeEach(async () => {
    life = await ListLife.start();
    await life.rooms("c", "b", "a");
  });

  afterEach(() => life.stop());

  test("[LIST-40] is one SYNC of all rooms at first, with their data, whatever its ranges are", async () => {
    const shown = await life.sync({ all: ALL });
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["SYNC [0,2] a b c", 3, "a+ b+ c+"]);
  });

  test("[LIST-41] of no rooms has no operation", async () => {
    const shown = await life.sync({ all: { ...ALL, filters: { is_invite: true } } });
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["", 0, ""]);
  });

  test("[LIST-42] delivers every event of its rooms, and moves nothing", async () => {
    await life.sync({ all: ALL });
    for (const name of ["a", "b", "c"]) await life.say(name);
    const shown = await life.sync();
    expect([shown.ops("all"), shown.count("all"), shown.rooms]).toEqual(["", 3, "a b c"]);
  });

  test("[LIST-43] gains and loses rooms by their entries and its count alone", async () => {
    await life.sync({ all: { ...ALL, filters: { not_tags: ["u.x"] } } });
    await life.room("n");
    const joined = await life.sync();
    expect([joined.ops("all"), joined.count("all"), joined.rooms]).toEqual(["", 4, "n+"]);
    await life.invite("i");
    const invited = await life.sync();
    expect([invited.ops("all"), invited.count("all"), invited.rooms]).toEqual(["", 5, "i+"]);
    await life.depart("n", "leave", life.bob);
    await life.depart("i", "leave", life.alice, false);
    const left = await life.sync();
    expect([left.ops("all"), left.count("all")]).toEqual(["", 3]);
    await life.tags("b", "u.x");
    const tagged = await life.sync();
    expect([tagged.ops("all"), tagged.count("all"), tagged.rooms]).toEqual(["", 2, ""]);
    await life.tags("b");
    const untagged = await life.sync();
    expect([untagged.ops("all"), untagged.count("all"), untagged.rooms]).toEqual(["", 3, "b+"]);
  });

  test("[LIST-44] is one SYNC of all rooms again under other filters or another sort", async () => {
    await life.sync({ all: ALL });
    await life.tags("c", "u.x");
    await life.tags("a", "u.x");
    await life.sync();
    const filtered = await life.sync({ all: { filters: { tags: ["u.x"] } } });
    expect([filtered.ops("all"), filtered.count("all"), filtered.rooms]).toEqual(["SYNC [0,1] a c", 2, "a+ c+"]);
    await life.say("b");
    expect((await life.sync()).rooms).toBe("");
    const named = await life.sync({ all: { filters: {}, sort: ["by_name"] } });
    expect([named.ops("all"), named.rooms]).toEqual(["SYNC [0,2] a b c", "a+ b+ c+"]);
  });

  test("[LIST-45] takes no notice of ranges, and resends all its rooms for a larger limit", async () => {
    await life.sync({ all: ALL });
    const ranged = await life.sync({ all: { ranges: [[0, 1]] } });
    expect([ranged.ops("all"), ranged.rooms]).toEqual(["", ""]);
    const more = await life.sync({ all: { timeline_limit: 2 } });
    expect([more.ops("all"), more.rooms]).toEqual(["", "a+ b+ c+"]);
  });

  test("[LIST-46] becomes a list of windows, and the other way round, with the next request that says so", async () => {
    await life.sync({ all: ALL });
    const windows = await life.sync({ all: { slow_get_all_rooms: false } });
    expect([windows.ops("all"), windows.rooms]).toEqual(["INVALIDATE [0,2], SYNC [0,0] a", "a+"]);
    await life.say("c");
    expect((await life.sync()).ops("all")).toBe("DELETE 0, INSERT 0 c");
    const whole = await life.sync({ all: { slow_get_all_rooms: true } });
    expect([whole.ops("all"), whole.rooms]).toEqual(["SYNC [0,2] c a b", "a+ b+ c+"]);
    expect((await life.sync({ all: { slow_get_all_rooms: null } })).ops("all")).toBe("");
  });

  test("[LIST-47] is taken up again after a restart, without any room lost", async () => {
    await life.sync({ all: ALL });
    await life.rig.nodes.restartHost("sync");
    await life.say("b");
    const shown = await life.sync();
    expect(shown.count("all")).toBe(3);
    expect(life.client.rooms.get("!b")?.timeline).toHaveLength(2);
    expect(life.client.window("all", [[0, 9]])).toEqual(["!b", "!a", "!c"]);
    expect(life.client.problems).toEqual([]);
  });
});
