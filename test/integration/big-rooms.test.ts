import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { accountInRooms } from "#test/support/simplified-account.ts";
import { type SimplifiedAnswer, type SimplifiedRoom, stateOf, timelineOf } from "#test/support/simplified-client.ts";

const BOB = "@bob:test";

describe("a room that turns up live", () => {
  let rig: FrontRig;
  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  /** What a client that waits is told of a room with so many members that its user joins. */
  const shownWith = async (dialect: "msc3575" | "simplified" | "v4", memberCount: number): Promise<SimplifiedRoom> => {
    const { me, client, id } = accountInRooms(rig, ["a"], dialect);
    const isStable = dialect === "v4";
    const requiredState = isStable ? { include: [{ type: "m.room.member" }] } : [["m.room.member", "*"]];
    const window = isStable ? {} : { ranges: [[0, 9]] };
    const body = { lists: { all: { ...window, timeline_limit: 2, required_state: requiredState } } };
    await client.sync(body);
    const waiting: Promise<SimplifiedAnswer> = client.sync(body, { timeout: 60_000 });
    await rig.waiting(1);
    const roomId = `!big-${memberCount}-of-${id.slice(1)}`;
    const members = Array.from({ length: memberCount }, (_, n) =>
      rig.event("m.room.member", `@m${n}:test`, { membership: "join" }, `@m${n}:test`),
    );
    const create = rig.event("m.room.create", BOB, { room_version: "11" }, "");
    const own = rig.event("m.room.member", id, { membership: "join" }, id);
    const events = [own, ...["1", "2", "3", "4"].map((text) => rig.say(BOB, text))];
    const timeline = { events, limited: true, prev_batch: "before" };
    await rig.poll(me, {
      next_batch: "behind",
      rooms: { join: { [roomId]: { state: { events: [create, ...members] }, timeline } } },
    });
    const room = (await waiting).rooms[roomId];
    expect(room).toBeDefined();
    return room ?? {};
  };

  test.each(["msc3575", "simplified", "v4"] as const)(
    "[TL-35] is told with what happened since, and all of its state, however much that is (%s)",
    async (dialect) => {
      for (const memberCount of [3, 300]) {
        const room = await shownWith(dialect, memberCount);
        // The limit of MSC3575 is about what was before.
        const [timeline, prevBatch] =
          dialect === "msc3575" ? [["join", "1", "2", "3", "4"], "before"] : [["3", "4"], "behind"];
        expect(timelineOf(room)).toEqual(timeline);
        const told = { initial: true, limited: true, prev_batch: prevBatch, num_live: timeline.length };
        expect(room).toMatchObject(told);
        expect(room.joined_count).toBe(memberCount + 1);
        expect(stateOf(room)).toHaveLength(memberCount + 1);
      }
    },
  );
});
