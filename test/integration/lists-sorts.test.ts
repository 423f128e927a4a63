import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ListLife } from "#test/support/list-life.ts";

const sorted = (...sort: string[]) => ({ ranges: [[0, 9]], sort });

describe("a sorted list, live", () => {
  let life: ListLife;

  beforeEach(async () => {
    life = await ListLife.start();
  });

  afterEach(() => life.stop());

  const order = (key: string) =>
    life.client
      .window(key, [[0, 9]])
      .map((roomId) => roomId?.slice(1))
      .join(" ");

  test("[SRT-8] sorts by recency when nothing is asked for, or nothing is left of it", async () => {
    await life.rooms("a", "b", "c");
    await life.sync({ none: { ranges: [[0, 9]] }, empty: sorted() });
    expect([order("none"), order("empty")]).toEqual(["c b a", "c b a"]);
    await life.say("a");
    const shown = await life.sync();
    expect([shown.ops("none"), shown.ops("empty")]).toEqual(["DELETE 2, INSERT 0 a", "DELETE 2, INSERT 0 a"]);
    expect((await life.sync({ none: { sort: null } })).ops("none")).toBe("");
  });

  test("[SRT-9] by_name moves for renaming and not for messages", async () => {
    await life.rooms("b", "d", "a", "c");
    await life.sync({ all: { ranges: [[0, 2]], sort: ["by_name"] } });
    await life.say("d");
    await life.say("a");
    expect((await life.sync()).ops("all")).toBe("");
    await life.state("a", "m.room.name", { name: "Zzz" });
    const shown = await life.sync();
    expect([shown.ops("all"), shown.rooms]).toEqual(["DELETE 0, INSERT 2 d", "a d+"]);
  });

  test("[SRT-10] by_notification_level moves with counts, and the encrypted go before the others", async () => {
    await life.rooms("c", "b", "a");
    await life.room("e", { isEncrypted: true });
    await life.sync({ all: { ranges: [[0, 1]], sort: ["by_notification_level", "by_recency"] } });
    await life.counts("c", 5, 0);
    await life.counts("e", 1, 0);
    await life.counts("b", 1, 1);
    const risen = await life.sync();
    expect(life.client.window("all", [[0, 1]])).toEqual(["!b", "!e"]);
    expect(risen.count("all")).toBe(4);
    await life.counts("b", 0, 0);
    const cleared = await life.sync();
    expect([cleared.ops("all"), cleared.rooms]).toEqual(["DELETE 0, INSERT 1 c", "b c+"]);
    expect(cleared.response.rooms["!b"]).toEqual({ notification_count: 0, highlight_count: 0 });
  });

  test("[SRT-11] by_highlight_count and by_notification_count put the most first, at once", async () => {
    await life.rooms("a", "b", "c");
    await life.sync({ calls: sorted("by_highlight_count"), notes: sorted("by_notification_count") });
    expect([order("calls"), order("notes")]).toEqual(["a b c", "a b c"]);
    await life.counts("b", 1, 1);
    await life.counts("c", 9, 0);
    await life.sync();
    expect([order("calls"), order("notes")]).toEqual(["b a c", "c b a"]);
  });

  test("[SRT-12] equal rooms stand in order of their ids, in every list alike", async () => {
    for (const name of ["b", "c", "a"]) await life.room(name, { name: "same" });
    await life.sync({ named: sorted("by_name"), level: sorted("by_notification_level", "by_name") });
    expect([order("named"), order("level")]).toEqual(["a b c", "a b c"]);
  });

  test("[SRT-13] one message and its counts in one poll move a room once", async () => {
    await life.rooms("c", "b", "a");
    await life.sync({ all: { ...sorted("by_notification_level", "by_recency") } });
    await life.own("c", { timeline: [life.message("ping")], notificationCount: 1, highlightCount: 1 });
    expect((await life.sync()).ops("all")).toBe("DELETE 2, INSERT 0 c");
  });

  test("[SRT-14] another sort replaces the windows", async () => {
    await life.rooms("c", "b", "a");
    await life.sync({ all: { ranges: [[0, 1]], sort: ["by_name"] } });
    await life.say("c");
    const shown = await life.sync({ all: { sort: ["by_recency"] } });
    expect([shown.ops("all"), shown.rooms]).toEqual(["INVALIDATE [0,1], SYNC [0,1] c a", "a+ c+"]);
  });

  test("[SRT-15] only bump event types move a room; every list has its own", async () => {
    await life.rooms("a", "b", "c");
    const bump = { ranges: [[0, 9]], bump_event_types: ["m.room.message", "m.room.topic"] };
    await life.sync({ any: { ranges: [[0, 9]] }, bump });
    await life.state("a", "m.reaction.like", {}, "x");
    const moved = await life.sync();
    expect([moved.ops("any"), moved.ops("bump")]).toEqual(["DELETE 2, INSERT 0 a", ""]);
    await life.state("b", "m.room.topic", { topic: "t" });
    await life.sync();
    expect([order("any"), order("bump")]).toEqual(["b a c", "b c a"]);
    // One that is defined later, and a connection that begins later, see the same order.
    await life.sync({ later: bump });
    const other = life.another("later");
    await other.sync({ bump });
    expect([order("later"), other.client.window("bump", [[0, 9]]).join(" ")]).toEqual(["b c a", "!b !c !a"]);
  });

  test("[SRT-16] a room without any of its bump events stands by the time of the own join", async () => {
    await life.room("old", { joinTs: 500 });
    await life.room("new", { joinTs: 900_000 });
    await life.room("middle", { joinTs: 600 });
    await life.say("old");
    await life.sync({ all: { ranges: [[0, 9]], bump_event_types: ["org.never"] } });
    expect(order("all")).toBe("new middle old");
    await life.say("old");
    expect((await life.sync()).ops("all")).toBe("");
  });

  test("[SRT-17] events from before the own join bump nothing", async () => {
    await life.room("a");
    await life.room("n", { isForeign: true });
    const late = { ts: 900_000_000 };
    await life.rig.poll(life.bob, [
      life.rig.join("!n", { timeline: [life.rig.event("m.room.message", life.bob, { body: "before" }, late)] }),
    ]);
    await life.join("n", 10);
    await life.sync({ all: { ranges: [[0, 9]], bump_event_types: ["m.room.message"] } });
    expect(order("all")).toBe("a n");
  });

  test("[SRT-18] other bump event types count from the room's next update on", async () => {
    await life.rooms("a", "b");
    await life.sync({ all: { ranges: [[0, 9]], bump_event_types: ["m.room.message"] } });
    await life.state("a", "m.room.topic", { topic: "t" });
    expect((await life.sync({ all: { bump_event_types: ["m.room.topic"] } })).ops("all")).toBe("DELETE 1, INSERT 0 a");
  });
});
