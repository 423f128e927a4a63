import { beforeEach, describe, expect, test } from "bun:test";
import type { Membership } from "#src/protocol/events.ts";
import { IngestWorld } from "#test/support/ingest-world.ts";
import { joinSection, memberEvent, pollBatch, stateEvent } from "#test/support/polls.ts";

const ALICE = "@alice:hs";
const ROOM = "!room:hs";
const MANY = Array.from({ length: 9 }, (_, n) => `@m${n}:hs`);

let world: IngestWorld;
let nextId = 0;
beforeEach(() => {
  world = new IngestWorld();
});

const change = (userId: string, membership: Membership, input: { name?: string; prevMembership?: Membership } = {}) =>
  memberEvent(`$change${nextId++}`, userId, membership, input);

const start = (...others: string[]) =>
  world.apply(
    pollBatch(ALICE, {
      rooms: [
        joinSection(ROOM, {
          state: [
            stateEvent("$create", "m.room.create", ""),
            ...[ALICE, ...others].map((userId) => change(userId, "join")),
          ],
        }),
      ],
    }),
  );

const timeline = (...events: ReturnType<typeof change>[]) =>
  world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: events })] }));

const heroIds = () => world.meta(ROOM).heroes.map(({ userId }) => userId);

describe("counts", () => {
  test("[MBR-1] profile changes do not count, whatever prev_content claims", async () => {
    await start("@bob:hs");
    await timeline(change("@bob:hs", "join", { name: "Bob", prevMembership: "leave" }), change("@carol:hs", "invite"));
    expect(world.meta(ROOM)).toMatchObject({ joinedCount: 2, invitedCount: 1 });
    await timeline(change("@carol:hs", "join", { prevMembership: "join" }), change("@bob:hs", "leave"));
    expect(world.meta(ROOM)).toMatchObject({ joinedCount: 2, invitedCount: 0 });
  });

  test("[MBR-2] counts follow the stored membership after a restart", async () => {
    await start("@bob:hs");
    world.restart();
    await timeline(change("@bob:hs", "ban"));
    world.restart();
    await timeline(change("@bob:hs", "ban"), change("@eve:hs", "leave"));
    expect(world.meta(ROOM)).toMatchObject({ joinedCount: 1, invitedCount: 0 });
  });
});

describe("heroes", () => {
  test("[MBR-3] the first six members are heroes, names and avatars included", async () => {
    await start(...MANY);
    expect(heroIds()).toEqual([ALICE, ...MANY.slice(0, 5)]);
    await timeline(change("@late:hs", "join", { name: "Late" }));
    expect(heroIds()).not.toContain("@late:hs");
  });

  test("[MBR-4] a hero that leaves is replaced by the member who has been there longest", async () => {
    await start(...MANY);
    world.restart();
    await timeline(change("@m1:hs", "leave"), change("@m5:hs", "leave"), change("@m6:hs", "join", { name: "Six" }));
    expect(heroIds()).toEqual([ALICE, "@m0:hs", "@m2:hs", "@m3:hs", "@m4:hs", "@m7:hs"]);
  });

  test("[MBR-5] a hero's profile change is followed", async () => {
    await start("@bob:hs");
    await timeline(change("@bob:hs", "join", { name: "Robert" }));
    expect(world.meta(ROOM).heroes.find(({ userId }) => userId === "@bob:hs")?.displayName).toBe("Robert");
  });

  test("[MBR-6] who left names the room when nobody else is left", async () => {
    await start("@bob:hs");
    await timeline(change("@bob:hs", "leave", { name: "Bob", prevMembership: "join" }));
    expect(world.meta(ROOM).heroes).toMatchObject([
      { userId: ALICE, membership: "join" },
      { userId: "@bob:hs", membership: "leave", displayName: "Bob" },
    ]);
    await timeline(change("@carol:hs", "join"));
    expect(heroIds()).toEqual([ALICE, "@carol:hs"]);
  });

  test("[MBR-12] all who left name it, whenever they went, until somebody is there again", async () => {
    await start("@bob:hs", "@carol:hs");
    await timeline(change("@bob:hs", "leave", { name: "Bob", prevMembership: "join" }));
    expect(heroIds()).toEqual([ALICE, "@carol:hs"]);
    await timeline(change("@carol:hs", "ban", { name: "Carol", prevMembership: "join" }));
    expect(heroIds()).toEqual([ALICE, "@bob:hs", "@carol:hs"]);
    await timeline(change("@bob:hs", "join", { name: "Bob" }));
    expect(heroIds()).toEqual([ALICE, "@bob:hs"]);
    await timeline(change("@bob:hs", "leave", { name: "Bob", prevMembership: "join" }));
    expect(heroIds()).toEqual([ALICE, "@carol:hs", "@bob:hs"]);
  });

  test("[MBR-7] nobody is named who never was in the room", async () => {
    await start();
    await timeline(change("@spam:hs", "ban"));
    expect(heroIds()).toEqual([ALICE]);
  });
});

describe("metadata", () => {
  const apply = (type: string, content: Record<string, unknown>, stateKey = "") =>
    timeline(stateEvent(`$change${nextId++}`, type, stateKey, content));

  test("[MBR-8] values of the wrong type unset, encryption stays", async () => {
    await start();
    await apply("m.room.name", { name: "Name" });
    await apply("m.room.avatar", { url: "mxc://a" });
    await apply("m.room.canonical_alias", { alias: "#a:hs" });
    await apply("m.room.encryption", { algorithm: "x" });
    await apply("m.room.history_visibility", { history_visibility: "joined" });
    await apply("m.room.tombstone", { replacement_room: "!next" });
    expect(world.meta(ROOM)).toMatchObject({
      name: "Name",
      avatar: "mxc://a",
      alias: "#a:hs",
      isEncrypted: true,
      sharedSince: null,
      successor: "!next",
    });
    await apply("m.room.name", { name: 7 });
    await apply("m.room.avatar", {});
    await apply("m.room.encryption", {});
    await apply("m.room.tombstone", { replacement_room: "" });
    expect(world.meta(ROOM)).toMatchObject({ name: null, avatar: null, isEncrypted: true, successor: null });
  });

  test("[VIS-10] history is shared from the event on that says so, and no longer when another one says something else", async () => {
    await start();
    expect(world.meta(ROOM).sharedSince).toBeNull();
    const visibility = (id: string, value: unknown) =>
      stateEvent(id, "m.room.history_visibility", "", { history_visibility: value });
    for (const value of ["shared", "world_readable"]) {
      await timeline(visibility(`$${value}`, value));
      expect(world.meta(ROOM).sharedSince).toBe(world.event(`$${value}`).pos);
    }
    for (const value of ["joined", "invited", "nonsense", 7]) {
      await timeline(visibility(`$back${nextId++}`, "shared"), visibility(`$${value}`, value));
      expect(world.meta(ROOM).sharedSince).toBeNull();
    }
    // In a state block, before the timeline of the same poll.
    const state = [stateEvent("$create-b", "m.room.create", ""), visibility("$block", "shared")];
    await world.apply(pollBatch(ALICE, { rooms: [joinSection("!b", { state, timeline: [change(ALICE, "join")] })] }));
    expect(world.meta("!b").sharedSince).toBe(world.event("$block").pos);
  });

  test("[VIS-11] where an event about visibility is not applied, history is not shared", async () => {
    await start();
    const visibility = (id: string, value: string) =>
      stateEvent(id, "m.room.history_visibility", "", { history_visibility: value });
    await timeline(visibility("$shared", "shared"));
    // Its successor is known: it is late, and what came with it was not for everybody.
    await timeline(visibility("$late", "joined"), visibility("$shared", "shared"));
    expect(world.meta(ROOM).sharedSince).toBe(world.event("$shared").pos);
    expect(world.event("$shared").pos).toBeGreaterThan(world.event("$late").pos);
    await world.apply(
      pollBatch(ALICE, {
        rooms: [
          joinSection(ROOM, {
            isStateAfter: true,
            state: [visibility("$c", "shared")],
            timeline: [visibility("$a", "shared"), visibility("$b", "joined"), visibility("$c", "shared")],
          }),
        ],
      }),
    );
    expect(world.meta(ROOM).sharedSince).toBe(world.event("$c").pos);
  });

  test("[MBR-9] state under another key than the empty one is not the room's", async () => {
    await start();
    await apply("m.room.name", { name: "Fake" }, "x");
    expect(world.meta(ROOM).name).toBeNull();
  });

  test("[MBR-10] a space's children are those with a non-empty via, wherever its create event stands", async () => {
    const child = (id: string, via: unknown) => stateEvent(`$child${nextId++}`, "m.space.child", id, { via });
    const create = stateEvent("$space", "m.room.create", "", { type: "m.space", predecessor: { room_id: "!old" } });
    const state = [child("!a", ["hs"]), child("!b", []), child("!c", "hs"), create];
    await world.apply(pollBatch(ALICE, { rooms: [joinSection("!space", { state })] }));
    expect(world.meta("!space")).toMatchObject({ spaceChildren: ["!a"], roomType: "m.space", predecessor: "!old" });
    const events = [child("!a", null), child("!d", ["hs"])];
    await world.apply(pollBatch(ALICE, { rooms: [joinSection("!space", { timeline: events })] }));
    expect(world.meta("!space").spaceChildren).toEqual(["!d"]);
  });

  test("[MBR-11] a room that is no space has no children", async () => {
    await start();
    await apply("m.space.child", { via: ["hs"] }, "!a");
    expect(world.meta(ROOM).spaceChildren).toEqual([]);
  });
});
