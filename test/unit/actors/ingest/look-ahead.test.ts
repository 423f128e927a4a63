import { beforeEach, describe, expect, test } from "bun:test";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import { joinSection, memberEvent, pollBatch, polledEvent, stateEvent } from "#test/support/polls.ts";
import { IngestRig } from "#test/support/ingest-rig.ts";

const ALICE = "@a:hs";
const BOB = "@b:hs";

let rig: IngestRig;

/** One piece of a first sync; the last of a poll carries `since`. */
function piece(userId: string, rooms: readonly string[], since: string | null = null): PollBatch {
  return pollBatch(userId, {
    since,
    isFirstSync: true,
    rooms: rooms.map((name) =>
      joinSection(`!${name}:hs`, {
        state: [stateEvent(`$create-${name}`, "m.room.create", ""), memberEvent(`$${userId}-${name}`, userId, "join")],
        timeline: [polledEvent(`$message-${name}`)],
      }),
    ),
  });
}

const stored = (): string[][] => rig.commits.map(({ rooms }) => rooms.map(({ meta }) => meta.roomId as string));
/** How often rooms were looked up: once for each group. */
const groupsBegun = (): number => rig.queries.filter((query) => query === "loadRooms").length;

beforeEach(async () => {
  rig = new IngestRig();
  await rig.settle();
});

describe("looking ahead", () => {
  test("[ING-50] rooms of a first sync are reduced while others are committed, and stored in their order", async () => {
    rig.hold();
    const sent = [piece(ALICE, ["one"]), piece(ALICE, ["two"])].map((batch) => rig.send(batch));
    await rig.settle();
    sent.push(rig.send(piece(ALICE, ["three"], "s1")));
    await rig.settle();
    expect(groupsBegun()).toBe(2);
    expect(rig.commits).toHaveLength(0);
    await rig.release();
    expect(stored().flat()).toEqual(["!one:hs", "!two:hs", "!three:hs"]);
    expect(sent.map(({ outcome }) => outcome)).toEqual(["applied", "applied", "applied"]);
    const positions = rig.commits.flatMap(({ events }) => events.map(({ pos }) => pos));
    expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b));
    expect(new Set(rig.commits.flatMap(({ rooms }) => rooms.map(({ meta }) => meta.nid))).size).toBe(3);
    expect(rig.delivered.map(({ updates }) => updates.fromPos)).toEqual([
      0,
      ...rig.delivered.slice(0, -1).map(({ updates }) => updates.toPos),
    ]);
  });

  test("[ING-51] a room in common, live traffic, or a token in what is being committed is waited for", async () => {
    const ahead: [PollBatch, PollBatch][] = [
      [piece(ALICE, ["one", "two"]), piece(BOB, ["two"])],
      [piece(ALICE, ["three"], "s1"), piece(BOB, ["four"])],
      [piece(ALICE, ["five"]), pollBatch(BOB, { since: "s1", rooms: [joinSection("!six:hs")] })],
    ];
    for (const [first, second] of ahead) {
      rig.hold();
      rig.send(first);
      await rig.settle();
      const before = groupsBegun();
      const later = rig.send(second);
      await rig.settle();
      expect(groupsBegun()).toBe(before);
      await rig.release();
      expect(later.outcome).toBe("applied");
    }
  });

  test("[ING-52] what rests on a commit that fails is reduced again behind it", async () => {
    for (const fate of ["down", "refuse", "lose-answer"] as const) {
      rig = new IngestRig();
      await rig.settle();
      rig.hold();
      const first = rig.send(piece(ALICE, ["one"]));
      await rig.settle();
      const second = rig.send(piece(ALICE, ["two"], "s1"));
      await rig.settle();
      expect(groupsBegun()).toBe(2);
      rig.fates = [fate];
      await rig.release();
      await rig.time.advance(10_000);
      await rig.settle();
      expect([first.outcome, second.outcome]).toEqual(["applied", "applied"]);
      expect(stored().flat()).toEqual(["!one:hs", "!two:hs"]);
      expect(rig.head).toBe(8);
    }
  });

  test("[ING-52] poison in what is being committed costs nothing behind it, and the other way round", async () => {
    for (const bad of ["one", "two"]) {
      rig = new IngestRig();
      await rig.settle();
      rig.isPoison = (tx) => tx.events.some(({ id }) => id === `$message-${bad}`);
      rig.hold();
      rig.send(piece(ALICE, ["one"]));
      await rig.settle();
      const last = rig.send(piece(ALICE, ["two"], "s1"));
      await rig.release();
      expect(last.outcome).toBe("applied");
      expect(stored().flat()).toEqual([bad === "one" ? "!two:hs" : "!one:hs"]);
      expect(rig.stores.db.quarantine).toMatchObject([{ roomId: `!${bad}:hs`, section: "join" }]);
    }
  });

  test("[ING-22] who waits ahead is told when the actor stops", async () => {
    rig.hold();
    const sent = [rig.send(piece(ALICE, ["one"]))];
    await rig.settle();
    sent.push(rig.send(piece(ALICE, ["two"])));
    await rig.settle();
    rig.stop();
    await rig.settle();
    expect(sent.map(({ outcome }) => outcome)).toEqual(["actor_stopped", "actor_stopped"]);
  });
});
