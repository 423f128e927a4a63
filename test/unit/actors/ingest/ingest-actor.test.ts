import { beforeEach, describe, expect, test } from "bun:test";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import { bytesOf, joinSection, memberEvent, pollBatch, polledEvent, stateEvent } from "#test/support/polls.ts";
import { IngestRig } from "#test/support/ingest-rig.ts";

const USERS = ["@a:hs", "@b:hs", "@c:hs"];
const [ALICE = "", BOB = ""] = USERS;
const ROOM = "!room:hs";

let rig: IngestRig;

const chunk = (userId: string, since: string, ...ids: string[]): PollBatch =>
  pollBatch(userId, { since, rooms: [joinSection(ROOM, { timeline: ids.map((id) => polledEvent(id)) })] });

const toDevice = (...ids: number[]) => ids.map((id) => ({ type: "m.test", sender: "@x:hs", json: bytesOf({ id }) }));
const storedToDevice = () =>
  rig.stores.db.toDevice.map(({ json }) => (JSON.parse(new TextDecoder().decode(json)) as { id: number }).id);
const storedEvents = () => [...rig.stores.db.eventsById.keys()];
const sinceOf = (userId: string) => [...rig.stores.db.devices.values()].find((row) => row.userId === userId)?.since;

beforeEach(async () => {
  rig = new IngestRig();
  const state = [
    stateEvent("$create", "m.room.create", ""),
    ...USERS.map((userId) => memberEvent(`$${userId}`, userId, "join")),
  ];
  for (const userId of USERS) {
    await rig.store(pollBatch(userId, { since: "s0", isFirstSync: true, rooms: [joinSection(ROOM, { state })] }));
  }
  rig.commits.length = 0;
  rig.delivered.length = 0;
  rig.queries.length = 0;
});

describe("groups", () => {
  test("[ING-1] batches that arrive during a commit become one transaction", async () => {
    rig.hold();
    const first = rig.send(chunk(ALICE, "s1", "$1"));
    await rig.settle();
    const others = [rig.send(chunk(BOB, "s1", "$1", "$2")), rig.send(chunk("@c:hs", "s1", "$1", "$3"))];
    await rig.settle();
    expect([first, ...others].map(({ outcome }) => outcome)).toEqual(["waiting", "waiting", "waiting"]);
    await rig.release();
    expect(rig.commits.map(({ events }) => events.map(({ id }) => id as string))).toEqual([["$1"], ["$2", "$3"]]);
    expect([first, ...others].map(({ outcome }) => outcome)).toEqual(["applied", "applied", "applied"]);
    expect(rig.commits[1]?.sinces).toHaveLength(2);
  });

  test("[ING-2] live traffic of pollers that are up to date asks the database nothing", async () => {
    for (let n = 1; n <= 4; n++) await rig.store(...USERS.map((userId) => chunk(userId, `s${n}`, `$${n}`)));
    rig.queries.length = 0;
    rig.commits.length = 0;
    await rig.store(...USERS.map((userId) => chunk(userId, "s9", "$9")));
    expect(rig.queries).toEqual([]);
    expect(rig.commits).toHaveLength(1);
  });

  test("[ING-3] pollers that start anew have their events looked up", async () => {
    for (let n = 1; n <= 4; n++) await rig.store(chunk(ALICE, `s${n}`, `$${n}`));
    rig.tell({ type: "poller-stopped", userId: ALICE, deviceId: "DEV" });
    rig.queries.length = 0;
    await rig.store(chunk(ALICE, "s5", "$5"));
    expect(rig.queries).toEqual(["knownEvents"]);
  });

  const pieces: { bytes: number; groups: string[][] }[] = [
    { bytes: 100, groups: [["$1"], ["$2", "$p0", "$p1", "$p2"]] },
    { bytes: 700 * 1024, groups: [["$1"], ["$2", "$p0"], ["$p1", "$p2"]] },
    { bytes: 1500 * 1024, groups: [["$1"], ["$2", "$p0"], ["$p1"], ["$p2"]] },
  ];
  test.each(pieces)(
    "[ING-4] pieces of first syncs wait for live batches, and come as many as are small: %o",
    async ({ bytes, groups }) => {
      rig.hold();
      rig.send(chunk(ALICE, "s1", "$1"));
      await rig.settle();
      for (let n = 0; n < 3; n++) {
        const event = { ...polledEvent(`$p${n}`), json: new Uint8Array(bytes) };
        const section = joinSection(`!new${n}`, { timeline: [event] });
        rig.send(pollBatch("@new:hs", { isFirstSync: true, since: null, rooms: [section] }));
      }
      rig.send(chunk(BOB, "s1", "$2"));
      await rig.release();
      const ids = rig.commits.map(({ events }) => events.map(({ id }) => id as string));
      expect(ids).toEqual(groups);
    },
  );

  test("[ING-5] a newer poll of a device takes the place of one that still waits", async () => {
    rig.hold();
    rig.send(chunk(ALICE, "s1", "$1"));
    await rig.settle();
    const old = rig.send(pollBatch(BOB, { since: "s1", toDevice: toDevice(1) }));
    const fresh = rig.send(pollBatch(BOB, { since: "s2", toDevice: toDevice(1, 2) }));
    await rig.release();
    expect([old.outcome, fresh.outcome]).toEqual(["ask_timeout", "applied"]);
    expect(storedToDevice()).toEqual([1, 2]);
    expect(sinceOf(BOB)).toBe("s2");
  });

  test("[ING-6] a poll repeated while its first answer is open stores no to-device message twice", async () => {
    rig.hold();
    rig.send(pollBatch(BOB, { since: "s1", toDevice: toDevice(1, 1) }));
    await rig.settle();
    rig.send(pollBatch(BOB, { since: "s2", toDevice: toDevice(1, 1, 2) }));
    await rig.release();
    expect(storedToDevice()).toEqual([1, 1, 2]);
    await rig.store(pollBatch(BOB, { since: "s3", toDevice: toDevice(1, 1, 2) }));
    expect(storedToDevice()).toEqual([1, 1, 2, 1, 1, 2]);
  });
});

describe("tokens", () => {
  test("[ING-7] a poll that brings nothing new is answered at once and costs no transaction of its own", async () => {
    await rig.store(chunk(ALICE, "s1", "$1"));
    rig.commits.length = 0;
    const [sent] = await rig.store(chunk(BOB, "s1", "$1"));
    expect(sent?.outcome).toBe("applied");
    expect(rig.commits).toEqual([]);
    expect(sinceOf(BOB)).toBe("s0");
    // What others bring does not have it written sooner: of one event in a room of twenty, that would be nineteen each time.
    await rig.store(chunk(ALICE, "s2", "$2"));
    expect(rig.commits).toHaveLength(1);
    expect(rig.commits[0]?.sinces).toHaveLength(1);
    await rig.store(chunk(BOB, "s2", "$2"));
    await rig.time.advance(5_000);
    expect(rig.commits).toHaveLength(2);
    expect(sinceOf(BOB)).toBe("s2");
  });

  test("[ING-8] a deferred token that is due is written with what waits", async () => {
    await rig.store(pollBatch(BOB, { since: "s1" }));
    rig.commits.length = 0;
    rig.hold();
    const first = rig.send(chunk(ALICE, "s1", "$1"));
    await rig.settle();
    await rig.time.advance(5_000);
    const second = rig.send(chunk("@c:hs", "s1", "$2"));
    await rig.settle();
    await rig.release();
    expect([first.outcome, second.outcome]).toEqual(["applied", "applied"]);
    expect(rig.commits.map(({ sinces }) => sinces.length)).toEqual([1, 2]);
    expect(sinceOf(BOB)).toBe("s1");
  });

  test("[ING-8] a deferred token is written within five seconds, or when the host drains", async () => {
    await rig.store(pollBatch(BOB, { since: "s1" }));
    await rig.time.advance(4_900);
    expect(sinceOf(BOB)).toBe("s0");
    await rig.time.advance(200);
    expect(sinceOf(BOB)).toBe("s1");
    await rig.store(pollBatch(BOB, { since: "s2" }));
    await rig.drain();
    expect(sinceOf(BOB)).toBe("s2");
  });

  test("[ING-9] a poll that repeats an event in the making is answered with it", async () => {
    rig.isPrompt = false;
    const first = rig.send(chunk(ALICE, "s1", "$1"));
    await rig.settle();
    const repeated = rig.send(chunk(BOB, "s1", "$1"));
    await rig.settle();
    expect([first.outcome, repeated.outcome]).toEqual(["waiting", "waiting"]);
    await rig.delivered[0]?.apply();
    expect([first.outcome, repeated.outcome]).toEqual(["applied", "applied"]);
  });
});

describe("fan-out", () => {
  test("[ING-10] every host gets every update in stream order, and pollers wait for all of them", async () => {
    rig = new IngestRig(2);
    rig.isPrompt = false;
    const first = rig.send(chunk(ALICE, "s1", "$1"));
    await rig.settle();
    const second = rig.send(chunk(ALICE, "s2", "$2"));
    await rig.settle();
    expect(rig.delivered.map(({ host, updates }) => [host, updates.fromPos, updates.toPos])).toEqual([
      [0, 0, 2],
      [1, 0, 2],
      [0, 2, 3],
      [1, 2, 3],
    ]);
    await rig.delivered[2]?.apply();
    await rig.delivered[3]?.apply();
    expect(second.outcome).toBe("waiting");
    await rig.delivered[0]?.apply();
    expect(first.outcome).toBe("waiting");
    await rig.delivered[1]?.apply();
    // Each is told where the stream stands by now.
    expect([first, second]).toEqual([
      { outcome: "applied", pos: 3 },
      { outcome: "applied", pos: 3 },
    ]);
  });

  test("[ING-11] a host that dies counts as one that applied, one that hangs is told of", async () => {
    rig.isPrompt = false;
    const first = rig.send(chunk(ALICE, "s1", "$1"));
    await rig.settle();
    await rig.delivered[0]?.fail("actor_stopped");
    expect(first.outcome).toBe("applied");
    expect(rig.logger.lines.filter(({ level }) => level === "error")).toEqual([]);
    rig.send(chunk(ALICE, "s2", "$2"));
    await rig.settle();
    await rig.delivered[1]?.fail("ask_timeout");
    expect(rig.logger.lines.some(({ level, message }) => level === "error" && message === "update not applied")).toBe(
      true,
    );
  });

  test("[ING-31] a new incarnation tells every host where the stream stands", async () => {
    rig.announced.length = 0;
    await rig.restart();
    expect(rig.announced).toEqual([rig.head]);
  });

  test("[ING-12] unanswered hosts hold back new groups after a while", async () => {
    rig.isPrompt = false;
    for (let n = 1; n <= 12; n++) {
      rig.send(chunk(ALICE, `s${n}`, `$${n}`));
      await rig.settle();
    }
    expect(rig.commits).toHaveLength(8);
    for (let n = 0; n < 9; n++) await rig.delivered[n]?.apply();
    expect(storedEvents()).toContain("$12");
  });

  test("[ING-13] typing is told and not stored", async () => {
    const typing = { json: bytesOf({ type: "m.typing" }), userIds: ["@x:hs"] };
    await rig.store(pollBatch(ALICE, { since: "s1", rooms: [joinSection(ROOM, { typing })] }));
    expect(rig.commits).toEqual([]);
    expect(rig.delivered[0]?.updates).toMatchObject({ fromPos: rig.head, toPos: rig.head });
    expect(rig.delivered[0]?.updates.rooms[0]?.typing?.userIds).toEqual(["@x:hs"]);
    await rig.store(
      pollBatch(BOB, { since: "s1", rooms: [joinSection(ROOM, { typing: { ...typing, userIds: [] } })] }),
    );
    expect(rig.delivered).toHaveLength(1);
  });
});

describe("failures", () => {
  test("[ING-14] while the database is away pollers wait, then everything is stored once", async () => {
    rig.fates = ["down", "down"];
    const [first] = await rig.store(chunk(ALICE, "s1", "$1"));
    expect(first?.outcome).toBe("waiting");
    rig.stores.db.isDown = true;
    await rig.time.advance(20_000);
    rig.stores.db.isDown = false;
    await rig.time.advance(20_000);
    expect(first?.outcome).toBe("applied");
    expect(storedEvents().filter((id) => id === "$1")).toHaveLength(1);
  });

  test("[ING-15] a commit whose answer was lost is not made again", async () => {
    rig.fates = ["lose-answer"];
    const [first] = await rig.store(pollBatch(ALICE, { since: "s1", toDevice: toDevice(1) }));
    await rig.time.advance(10_000);
    expect(first?.outcome).toBe("applied");
    expect(storedToDevice()).toEqual([1]);
    expect(rig.commits).toHaveLength(1);
  });

  test("[ING-16] a poison room costs that room; the rest of the poll, its token and other pollers go on", async () => {
    rig.isPoison = (tx) => tx.events.some(({ id }) => id.startsWith("$bad"));
    const rooms = [
      joinSection("!x", { timeline: [polledEvent("$x")] }),
      joinSection("!bad", { timeline: [polledEvent("$bad")] }),
      joinSection("!y", { timeline: [polledEvent("$y")] }),
    ];
    const sent = await rig.store(
      pollBatch(ALICE, { since: "s1", rooms, toDevice: toDevice(1, 2) }),
      chunk(BOB, "s1", "$1"),
    );
    expect(sent.map(({ outcome }) => outcome)).toEqual(["applied", "applied"]);
    expect(storedEvents()).toEqual(expect.arrayContaining(["$x", "$y", "$1"]));
    expect(storedToDevice()).toEqual([1, 2]);
    expect([sinceOf(ALICE), sinceOf(BOB)]).toEqual(["s1", "s1"]);
    expect(rig.stores.db.quarantine).toMatchObject([{ roomId: "!bad", section: "join", userId: ALICE }]);
    expect(rig.metrics.of("ingest_quarantined_total")).toBe(1);
  });

  test("[ING-17] a poison to-device message is kept for inspection and the others arrive in order", async () => {
    const isBad = (json: Uint8Array) => new TextDecoder().decode(json).includes("3");
    rig.isPoison = (tx) => tx.toDevice.some(({ json }) => isBad(json));
    await rig.store(pollBatch(ALICE, { since: "s1", toDevice: toDevice(1, 2, 3, 4), otkCounts: "{}" }));
    expect(storedToDevice()).toEqual([1, 2]);
    await rig.time.advance(10_000);
    await rig.settle();
    expect(storedToDevice()).toEqual([1, 2, 4]);
    expect(rig.stores.db.quarantine).toMatchObject([{ section: "to_device" }]);
    expect(sinceOf(ALICE)).toBe("s1");
  });

  test("[ING-24] a to-device message that is refused for a while is not lost", async () => {
    rig.isPoison = (tx) => tx.toDevice.length > 0;
    await rig.store(pollBatch(ALICE, { since: "s1", toDevice: toDevice(1) }));
    await rig.time.advance(100);
    rig.isPoison = () => false;
    await rig.time.advance(10_000);
    expect(storedToDevice()).toEqual([1]);
    expect(rig.stores.db.quarantine).toEqual([]);
  });

  test("[ING-25] a batch that an earlier incarnation committed and could not answer stores no to-device message twice", async () => {
    const batch = () => pollBatch(ALICE, { since: "s1", toDevice: toDevice(1) });
    rig.isPrompt = false;
    const first = rig.send(batch());
    await rig.settle();
    await rig.restart();
    expect(first.outcome).toBe("waiting");
    rig.isPrompt = true;
    const [again] = await rig.store(batch());
    expect(again?.outcome).toBe("applied");
    expect(storedToDevice()).toEqual([1]);
    await rig.store(pollBatch(ALICE, { since: "s2", toDevice: toDevice(1) }));
    expect(storedToDevice()).toEqual([1, 1]);
  });

  test("[ING-18] a token that cannot be stored does not stop its poller, nor others", async () => {
    rig.isPoison = (tx) => tx.sinces.some(({ since }) => since === "bad");
    await rig.store(pollBatch(ALICE, { since: "bad" }));
    const [own, other] = await rig.store(chunk(ALICE, "bad", "$1"), chunk(BOB, "s1", "$2"));
    expect([own?.outcome, other?.outcome]).toEqual(["applied", "applied"]);
    expect(storedEvents()).toEqual(expect.arrayContaining(["$1", "$2"]));
    await rig.time.advance(10_000);
    expect(sinceOf(BOB)).toBe("s1");
  });

  test("[ING-19] nothing is given up while the database refuses even to note it", async () => {
    rig.isPoison = () => true;
    const [sent] = await rig.store(pollBatch(ALICE, { since: "s1", toDevice: toDevice(1) }));
    await rig.time.advance(60_000);
    expect(sent?.outcome).toBe("waiting");
    expect(rig.stores.db.quarantine).toEqual([]);
    rig.isPoison = () => false;
    await rig.time.advance(10_000);
    expect(sent?.outcome).toBe("applied");
    expect(storedToDevice()).toEqual([1]);
    expect(rig.stores.db.quarantine).toEqual([]);
  });

  test("[ING-20] an actor that starts while the database is away stores what came meanwhile", async () => {
    rig.stores.db.isDown = true;
    await rig.restart();
    const sent = rig.send(chunk(ALICE, "s1", "$1"));
    await rig.time.advance(3_000);
    expect(sent.outcome).toBe("waiting");
    rig.stores.db.isDown = false;
    await rig.time.advance(10_000);
    expect(sent.outcome).toBe("applied");
  });

  test("[ING-21] draining ends even when the database does not come back", async () => {
    rig.stores.db.isDown = true;
    rig.fates = Array.from({ length: 100 }, () => "down");
    rig.send(chunk(ALICE, "s1", "$1"));
    let isDrained = false;
    void rig.drain().then(() => (isDrained = true));
    await rig.time.advance(7_000);
    expect(isDrained).toBe(false);
    await rig.time.advance(2_000);
    expect(isDrained).toBe(true);
  });

  test("[ING-23] a starting poller is answered when nothing of its earlier life is on its way", async () => {
    const settled: string[] = [];
    const starts = (userId: string): void => {
      const reply = { resolve: () => settled.push(userId), reject: () => settled.push("rejected") };
      rig.tell({ type: "settle-poller", userId, deviceId: chunk(ALICE, "", "").deviceId, reply });
    };
    await rig.store(chunk(ALICE, "s1", "$1"));
    rig.hold();
    rig.send(chunk(ALICE, "s2", "$2"));
    await rig.settle();
    starts(ALICE);
    starts("@nobody:hs");
    await rig.settle();
    expect(settled).toEqual(["@nobody:hs"]);
    await rig.release();
    expect(settled).toEqual(["@nobody:hs", ALICE]);
    expect([...rig.stores.db.devices.values()].map(({ since }) => since)).toContain("s2");
  });

  test("[ING-62] before the head is read no poller is told that it may start: a commit may be on its way", async () => {
    rig.stores.db.isDown = true;
    await rig.restart();
    const settled: string[] = [];
    const reply = { resolve: () => settled.push("ok"), reject: () => settled.push("rejected") };
    rig.tell({ type: "settle-poller", userId: ALICE, deviceId: "D", reply });
    await rig.time.advance(20_000);
    expect(settled).toEqual([]);
    rig.stores.db.isDown = false;
    await rig.time.advance(20_000);
    expect(settled).toEqual(["ok"]);
  });

  test("[ING-22] who still waits when the actor stops is told", async () => {
    rig.hold();
    const sent = [rig.send(chunk(ALICE, "s1", "$1")), rig.send(chunk(BOB, "s1", "$2"))];
    await rig.settle();
    rig.stop();
    expect(sent.map(({ outcome }) => outcome)).toEqual(["actor_stopped", "actor_stopped"]);
  });
});
