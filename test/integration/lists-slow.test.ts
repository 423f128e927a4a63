import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { UserId } from "#src/protocol/ids.ts";
import type { RoomReader } from "#src/ports/stores.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";
import { HeldStore } from "#test/support/held-store.ts";
import { ListLife } from "#test/support/list-life.ts";
import { NaiveClient } from "#test/support/naive-client.ts";
import { SyncRig } from "#test/support/sync-rig.ts";

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

describe("a list that shows very many rooms at once", () => {
  const MANY = 1500;
  let rig: SyncRig;
  let alice: UserId;
  let held: HeldStore<RoomReader>;

  beforeEach(async () => {
    const stores = makeFakeStores();
    held = new HeldStore(stores.rooms);
    rig = await SyncRig.start({ ...stores, rooms: held.store });
    alice = await rig.addUser("alice");
    const sections = Array.from({ length: MANY }, (_, index) =>
      rig.join(`!r${index}`, {
        state: rig.roomState("@bob:hs", ["@bob:hs", alice], `room ${index}`),
        timeline: [rig.event("m.room.message", "@bob:hs", { body: `message ${index}` })],
      }),
    );
    await rig.poll(alice, sections);
  });

  afterEach(() => rig.stop());

  const CONFIG = { timeline_limit: 1, required_state: [["m.room.member", "$LAZY"]] };

  test.each([
    ["slow_get_all_rooms", { ...CONFIG, slow_get_all_rooms: true }],
    ["a wide window", { ...CONFIG, ranges: [[0, MANY]] }],
  ])("[LIST-51] is put together in many turns, between which others have theirs: %s", async (_name, list) => {
    const carol = await rig.addUser("carol");
    await rig.poll(carol, [rig.join("!c", { state: rig.roomState(carol, [carol]), timeline: [] })]);
    await rig.sync(carol, { lists: { all: { ranges: [[0, 9]] } } });
    const answers: string[] = [];
    const { reached, release } = held.hold("loadTimelines");
    const many = rig.sync(alice, { lists: { many: list } }).then((response) => {
      answers.push("many");
      return response;
    });
    await reached;
    release();
    const few = rig.sync(carol, { lists: { all: { ranges: [[0, 9]] } } }).then(() => answers.push("few"));
    const [response] = await Promise.all([many, few]);
    expect(answers).toEqual(["few", "many"]);
    expect(response.lists["many"]?.count).toBe(MANY);
    const shown = response.lists["many"]?.ops?.flatMap(({ room_ids: ids }) => ids ?? []) ?? [];
    expect(shown).toEqual(Object.keys(response.rooms));
    expect(shown).toHaveLength(MANY);
    for (const [index, roomId] of shown.entries()) {
      expect(response.rooms[roomId]).toMatchObject({
        initial: true,
        name: `room ${MANY - 1 - index}`,
        timeline: [{ content: { body: `message ${MANY - 1 - index}` } }],
        required_state: [{ type: "m.room.member", state_key: "@bob:hs" }],
      });
    }
  });

  test("[LIST-52] loses no event that arrives while it is put together, and repeats none", async () => {
    const client = new NaiveClient();
    const { reached, release } = held.hold("loadTimelines");
    const asked = rig.sync(alice, { lists: { all: { ...CONFIG, slow_get_all_rooms: true } } });
    await reached;
    for (const index of [0, MANY - 1]) {
      const timeline = [rig.event("m.room.message", "@bob:hs", { body: "meanwhile" })];
      await rig.poll(alice, [rig.join(`!r${index}`, { timeline })]);
    }
    release();
    client.apply(await asked);
    client.apply(await rig.sync(alice, {}, { pos: client.pos }));
    for (const index of [0, MANY - 1]) {
      const bodies = client.rooms.get(`!r${index}`)?.timeline.map(({ content }) => (content as { body: string }).body);
      expect(bodies).toEqual([`message ${index}`, "meanwhile"]);
    }
    expect(client.problems).toEqual([]);
  });

  test("[LIST-53] is followed in one response when everything in it changes at once", async () => {
    const client = new NaiveClient();
    client.apply(await rig.sync(alice, { lists: { all: { ...CONFIG, slow_get_all_rooms: true } } }));
    const sections = Array.from({ length: MANY }, (_, index) =>
      rig.join(`!r${index}`, { timeline: [rig.event("m.room.message", "@bob:hs", { body: "more" })] }),
    );
    await rig.poll(alice, sections);
    const response = await rig.sync(alice, {}, { pos: client.pos });
    client.apply(response);
    expect(Object.keys(response.rooms)).toHaveLength(MANY);
    expect([...client.rooms.values()].every(({ timeline }) => timeline.length === 2)).toBe(true);
    expect(client.problems).toEqual([]);
  });
});
