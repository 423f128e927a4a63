import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ListLife } from "#test/support/list-life.ts";

const list = (filters: Record<string, unknown>, ranges = [[0, 9]]) => ({ ranges, filters, timeline_limit: 1 });
/** One list of those that pass a filter, and one of those that do not. */
const both = (yes: Record<string, unknown>, no: Record<string, unknown>) => ({ yes: list(yes), no: list(no) });

describe("a filtered list, live", () => {
  let life: ListLife;

  beforeEach(async () => {
    life = await ListLife.start();
  });

  afterEach(() => life.stop());

  const windows = () =>
    ["yes", "no"].map((key) =>
      life.client
        .window(key, [[0, 9]])
        .map((roomId) => roomId?.slice(1))
        .join(" "),
    );

  test("[FLT-5] is_dm follows m.direct at once, in both directions", async () => {
    await life.rooms("a", "b", "c");
    await life.direct("b");
    await life.sync(both({ is_dm: true }, { is_dm: false }));
    expect(windows()).toEqual(["b", "c a"]);
    await life.direct("b", "a");
    const more = await life.sync();
    expect([more.ops("yes"), more.ops("no"), more.rooms]).toEqual(["DELETE 1, INSERT 1 a", "DELETE 1", "a+"]);
    await life.direct();
    const none = await life.sync();
    expect([none.count("yes"), none.count("no"), none.rooms]).toEqual([0, 3, "a+ b+"]);
    expect(windows()).toEqual(["", "c b a"]);
  });

  test("[FLT-6] is_encrypted: a room encrypted outside the window leaves without an operation and enters with its data", async () => {
    await life.rooms("d", "c", "b", "a");
    await life.sync({ yes: list({ is_encrypted: true }, [[0, 1]]), no: list({ is_encrypted: false }, [[0, 1]]) });
    await life.state("d", "m.room.encryption", { algorithm: "m.megolm.v1.aes-sha2" });
    const shown = await life.sync();
    expect([shown.ops("no"), shown.count("no")]).toEqual(["", 3]);
    expect([shown.ops("yes"), shown.count("yes")]).toEqual(["DELETE 0, INSERT 0 d", 1]);
    expect(shown.rooms).toBe("d+");
  });

  test("[FLT-7] is_invite: an accepted invite goes from one list to the other", async () => {
    await life.rooms("a");
    await life.room("i", { isForeign: true });
    await life.invite("i");
    await life.sync(both({ is_invite: true }, { is_invite: false }));
    expect(windows()).toEqual(["i", "a"]);
    await life.join("i");
    const shown = await life.sync();
    expect([shown.ops("yes"), shown.ops("no"), shown.rooms]).toEqual(["DELETE 0", "DELETE 1, INSERT 0 i", "i+"]);
  });

  test("[FLT-8] is_tombstoned follows the tombstone, also one that is emptied", async () => {
    await life.rooms("a", "b");
    await life.sync(both({ is_tombstoned: true }, { is_tombstoned: false }));
    await life.state("a", "m.room.tombstone", { replacement_room: "!elsewhere" });
    await life.sync();
    expect(windows()).toEqual(["a", "b"]);
    await life.state("a", "m.room.tombstone", {});
    await life.sync();
    expect(windows()).toEqual(["", "a b"]);
  });

  test("[FLT-9] room_name_like looks at the calculated name, which members and renaming change", async () => {
    await life.rooms("apple", "pear");
    await life.room("unnamed", { name: null });
    await life.sync(both({ room_name_like: "PP" }, { room_name_like: "r" }));
    expect(windows()).toEqual(["apple", "pear"]);
    await life.state("pear", "m.room.name", { name: "Upper" });
    await life.sync();
    expect(windows()).toEqual(["pear apple", "pear"]);
    const bob = life.rig.event(
      "m.room.member",
      life.bob,
      { membership: "join", displayname: "Robert" },
      { stateKey: life.bob },
    );
    await life.events("unnamed", bob);
    await life.sync();
    expect(windows()).toEqual(["pear apple", "unnamed pear"]);
    await life.state("apple", "m.room.name", {});
    await life.sync();
    expect(windows()[0]).toBe("pear");
  });

  test("[FLT-10] tags and not_tags follow the room's tags at once, without an entry for the room that goes", async () => {
    await life.rooms("a", "b");
    await life.sync(both({ tags: ["u.x", "u.y"] }, { not_tags: ["u.x", "u.y"] }));
    await life.tags("a", "u.y");
    const tagged = await life.sync();
    expect([tagged.ops("yes"), tagged.ops("no"), tagged.rooms]).toEqual(["DELETE 0, INSERT 0 a", "DELETE 1", "a+"]);
    await life.tags("a", "u.z");
    const untagged = await life.sync();
    expect([untagged.ops("yes"), untagged.ops("no"), untagged.rooms]).toEqual([
      "DELETE 0",
      "DELETE 1, INSERT 1 a",
      "a+",
    ]);
    await life.tags("a", "u.x");
    await life.sync();
    const only = await life.sync({ no: { deleted: true } });
    await life.tags("a");
    const gone = await life.sync();
    expect([only.rooms, gone.ops("yes"), gone.rooms]).toEqual(["", "DELETE 0", ""]);
  });

  test("[FLT-11] room_types and not_room_types match the create event's type, null an ordinary room", async () => {
    await life.rooms("a");
    await life.room("s", { type: "m.space" });
    await life.room("o", { type: "org.other" });
    await life.sync({
      spaces: list({ room_types: ["m.space"] }),
      plain: list({ room_types: [null] }),
      some: list({ room_types: [null, "org.other"] }),
      unspaced: list({ not_room_types: ["m.space"] }),
      typed: list({ not_room_types: [null] }),
      beaten: list({ room_types: ["m.space"], not_room_types: ["m.space"] }),
      all: list({ room_types: [], not_room_types: [] }),
    });
    const rooms = (key: string) => life.client.window(key, [[0, 9]]).join(" ");
    expect(["spaces", "plain", "some", "unspaced", "typed", "beaten", "all"].map(rooms)).toEqual([
      "!s",
      "!a",
      "!o !a",
      "!o !a",
      "!o !s",
      "",
      "!o !s !a",
    ]);
    // An invite has the type that its stripped state says.
    await life.invite("t", { type: "m.space" });
    const shown = await life.sync();
    expect([shown.count("spaces"), shown.count("plain"), shown.count("all")]).toEqual([2, 1, 4]);
  });

  test("[FLT-12] spaces: children come and go with m.space.child, and both spaces and types must match", async () => {
    await life.rooms("a", "b", "stranger");
    await life.room("s", { type: "m.space" });
    await life.room("t", { type: "m.space" });
    await life.child("s", "a");
    await life.sync({
      ...both({ spaces: ["!s"] }, { spaces: ["!t", "!s"] }),
      typed: list({ spaces: ["!s"], room_types: ["m.space"] }),
      untyped: list({ spaces: ["!s"], room_types: [null] }),
    });
    expect(windows()).toEqual(["a", "a"]);
    await life.child("s", "b");
    await life.child("s", "t");
    await life.child("t", "stranger");
    await life.child("t", "unheard-of");
    await life.sync();
    expect(windows().map((names) => names.split(" ").sort())).toEqual([
      ["a", "b", "t"],
      ["a", "b", "stranger", "t"],
    ]);
    expect(life.client.window("typed", [[0, 9]])).toEqual(["!t"]);
    expect(life.client.lists.get("untyped")?.count).toBe(2);
    // A child without servers to find it by is none.
    await life.child("s", "b", {});
    await life.sync();
    expect(windows().map((names) => names.split(" ").sort())).toEqual([
      ["a", "t"],
      ["a", "stranger", "t"],
    ]);
    expect(life.client.problems).toEqual([]);
  });

  test("[FLT-13] a child's own entry says nothing of its space", async () => {
    await life.rooms("a");
    await life.room("s", { type: "m.space" });
    await life.sync({ yes: list({ spaces: ["!s"] }), all: list({}) });
    await life.child("s", "a");
    const shown = await life.sync();
    expect(shown.rooms).toBe("a+ s");
    expect(JSON.stringify(shown.response.rooms["!a"])).not.toContain("m.space.child");
  });

  test("[FLT-14] a space shows its children from the join to the leave, not to those invited", async () => {
    await life.rooms("a");
    await life.room("s", { type: "m.space", isForeign: true });
    await life.rig.poll(life.bob, [
      life.rig.join("!s", {
        timeline: [life.rig.event("m.space.child", life.bob, { via: ["hs"] }, { stateKey: "!a" })],
      }),
    ]);
    await life.sync(both({ spaces: ["!s"] }, {}));
    expect(windows()).toEqual(["", "a"]);
    await life.invite("s", { type: "m.space" });
    await life.sync();
    expect(windows()).toEqual(["", "s a"]);
    await life.join("s");
    await life.sync();
    expect(windows()).toEqual(["a", "s a"]);
    await life.depart("s", "leave", life.alice);
    await life.sync();
    expect(windows()).toEqual(["", "a"]);
  });

  test("[FLT-15] a room whose successor is joined leaves every list, whichever of tombstone and join is first", async () => {
    await life.rooms("b", "o", "a");
    await life.sync({ yes: list({}), no: list({ is_tombstoned: true }) });
    await life.room("n", { predecessor: "o" });
    const joined = await life.sync();
    expect([joined.ops("yes"), joined.count("yes")]).toEqual(["DELETE 3, INSERT 0 n", 4]);
    await life.state("o", "m.room.tombstone", { replacement_room: "!n" });
    const buried = await life.sync();
    expect([buried.ops("yes"), buried.count("yes"), buried.rooms]).toEqual(["DELETE 2", 3, "o"]);
    expect(buried.response.rooms["!o"]?.timeline).toMatchObject([{ type: "m.room.tombstone" }]);
    // The other way round: it stays as long as the successor is no more than an invite.
    await life.state("b", "m.room.tombstone", { replacement_room: "!m" });
    await life.sync();
    expect(windows()).toEqual(["b n a", "b"]);
    await life.room("m", { isForeign: true });
    await life.invite("m");
    await life.sync();
    expect(windows()).toEqual(["m b n a", "b"]);
    await life.join("m");
    await life.sync();
    expect(windows()).toEqual(["m n a", ""]);
    // Who leaves the successor has the old room again.
    await life.depart("m", "leave", life.alice);
    await life.sync();
    expect(windows()).toEqual(["b n a", "b"]);
  });

  test("[FLT-16] filters are replaced whole; null keeps them, an empty object clears them", async () => {
    await life.rooms("a", "b");
    await life.tags("a", "u.x");
    const first = await life.sync({ yes: list({ tags: ["u.x"], is_dm: false }) });
    expect(first.ops("yes")).toBe("SYNC [0,0] a");
    expect((await life.sync({ yes: { filters: null } })).ops("yes")).toBe("");
    const other = await life.sync({ yes: { filters: { is_dm: true } } });
    expect([other.ops("yes"), other.count("yes")]).toEqual(["INVALIDATE [0,0]", 0]);
    const none = await life.sync({ yes: { filters: {} } });
    expect([none.ops("yes"), none.rooms]).toEqual(["SYNC [0,1] b a", "a+ b+"]);
    const off = await life.sync({
      yes: {
        filters: {
          is_dm: null,
          is_invite: null,
          is_encrypted: null,
          is_tombstoned: null,
          room_name_like: null,
          tags: null,
          not_tags: [],
          room_types: null,
          not_room_types: [],
          spaces: [],
        },
      },
    });
    expect(off.count("yes")).toBe(2);
  });
});
