import { describe, expect, test } from "bun:test";
import { authFailure, transientFailure } from "#test/support/fake-homeserver-port.ts";
import { RepairHarness } from "./harness.ts";

const states = (harness: RepairHarness): string[] =>
  harness.homeserver.asked.filter((line) => line.startsWith("state"));

describe("rooms that look wrong", () => {
  test("[HEAL-30] are read with the token of the user who saw it, behind a poll of that user's device, and handed to ingest", async () => {
    const harness = new RepairHarness();
    const bob = await harness.user("bob", [1]);
    const alice = await harness.user("alice", [1]);
    const head = 41;
    harness.stores.db.head = head;
    harness.setState(harness.roomId(1), alice, bob);
    await harness.suspect(alice, 1);
    expect(harness.homeserver.asked).toEqual([]);
    await harness.pass(3000);
    expect(states(harness)).toEqual([`state alice ${harness.roomId(1)}`]);
    expect(harness.asked).toEqual(["poller poll-through", "ingest store-batch"]);
    const [stored] = harness.stored;
    expect(stored).toMatchObject({ userId: alice, deviceId: "" });
    expect(stored?.room).toMatchObject({ kind: "snapshot", readAt: head, isWhole: true, isForced: false });
    expect(harness.metrics.of("repair_rooms_total", { outcome: "compared" })).toBe(1);
  });

  test("[HEAL-31] are compared once, and not again for a mere suspicion within ten minutes", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    harness.setState(harness.roomId(1), alice);
    await harness.suspect(alice, 1);
    await harness.suspect(alice, 1);
    await harness.pass(5000);
    await harness.suspect(alice, 1);
    await harness.pass(60_000);
    expect(states(harness)).toHaveLength(1);
    await harness.time.advance(600_000);
    await harness.suspect(alice, 1);
    await harness.pass(5000);
    expect(states(harness)).toHaveLength(2);
    expect(harness.metrics.of("repair_suspicions_total", { reason: "moved-back", taken: "false" })).toBe(1);
  });

  test("[HEAL-32] are few at once, and paced", async () => {
    const harness = new RepairHarness();
    const nids = [1, 2, 3, 4, 5, 6];
    const alice = await harness.user("alice", nids);
    for (const nid of nids) harness.setState(harness.roomId(nid), alice);
    harness.held = [];
    await harness.suspect(alice, ...nids);
    await harness.pass(3000);
    expect(states(harness)).toHaveLength(1);
    await harness.pass(10_000);
    expect(states(harness)).toHaveLength(2);
    const { held } = harness;
    harness.held = null;
    for (const go of held) go();
    await harness.pass(200);
    expect(states(harness).length).toBeLessThan(5);
    await harness.pass(5000);
    expect(states(harness)).toHaveLength(6);
  });

  test("[HEAL-33] wait for as long as the homeserver asks for, all of them", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1, 2]);
    for (const nid of [1, 2]) harness.setState(harness.roomId(nid), alice);
    harness.homeserver.failures = [transientFailure(50_000)];
    await harness.suspect(alice, 1, 2);
    await harness.pass(50_000);
    expect(states(harness)).toHaveLength(1);
    await harness.pass(10_000);
    expect(harness.outcomes().toSorted()).toEqual([1, 2].map((nid) => `${harness.roomId(nid)} compared`).toSorted());
  });

  test("[HEAL-34] are given up after some attempts, slower each time, and come up again with the next suspicion", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    harness.homeserver.failures = Array.from({ length: 6 }, () => transientFailure());
    await harness.suspect(alice, 1);
    await harness.pass(600_000);
    expect(harness.outcomes()).toEqual([`${harness.roomId(1)} later`]);
    expect(states(harness)).toHaveLength(6);
    expect(harness.stored).toEqual([]);
  });

  test("[HEAL-35] half an answer is none", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    harness.homeserver.states.set(harness.roomId(1), '[{"event_id":"$1","type":"m.room.create"');
    await harness.suspect(alice, 1);
    await harness.pass(4000);
    expect(harness.stored).toEqual([]);
    harness.setState(harness.roomId(1), alice);
    await harness.pass(60_000);
    expect(harness.stored).toHaveLength(1);
  });

  test("[HEAL-36] nothing is stored unless the reader's poller has caught up", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    harness.setState(harness.roomId(1), alice);
    harness.pollFailures = ["homeserver_unreachable", "actor_stopped"];
    await harness.suspect(alice, 1);
    await harness.pass(120_000);
    expect(harness.asked).toEqual([
      "poller poll-through",
      "poller poll-through",
      "poller poll-through",
      "ingest store-batch",
    ]);
  });
});

describe("who reads a room", () => {
  test("[HEAL-37] somebody else when a token is dead or there is none", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    const bob = await harness.user("bob", [1]);
    harness.setState(harness.roomId(1), alice, bob);
    harness.homeserver.failures = [authFailure()];
    await harness.suspect(alice, 1);
    await harness.pass(4000);
    expect(states(harness)).toEqual([`state alice ${harness.roomId(1)}`, `state bob ${harness.roomId(1)}`]);
    expect(harness.stored.map(({ userId }) => userId)).toEqual([bob]);
  });

  test("[HEAL-38] whom the homeserver does not let in, and does not list as joined, is out; others are asked for the rest", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    const bob = await harness.user("bob", [1]);
    harness.homeserver.states.set(`bob ${harness.roomId(1)}`, [
      { event_id: "$c", type: "m.room.create", state_key: "", sender: "@a:hs", content: {} },
      { event_id: "$b", type: "m.room.member", state_key: bob, sender: bob, content: { membership: "join" } },
    ]);
    await harness.suspect(alice, 1);
    await harness.pass(4000);
    expect(harness.stored.map(({ userId, room }) => `${userId} ${room.kind}`)).toEqual([
      `${alice} gone`,
      `${bob} snapshot`,
    ]);
  });

  test("[HEAL-39] state as of a departure is not taken for the room's", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    harness.homeserver.states.set(harness.roomId(1), [
      { event_id: "$c", type: "m.room.create", state_key: "", sender: "@a:hs", content: {} },
      { event_id: "$a", type: "m.room.member", state_key: alice, sender: alice, content: { membership: "leave" } },
    ]);
    await harness.suspect(alice, 1);
    await harness.pass(4000);
    expect(harness.stored.map(({ room }) => room.kind)).toEqual(["gone"]);
    expect(harness.outcomes()).toEqual([`${harness.roomId(1)} gone`]);
  });

  test("[HEAL-40] a refusal of somebody who is listed as joined changes nothing", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    harness.homeserver.joined.set("alice", [harness.roomId(1)]);
    await harness.suspect(alice, 1);
    await harness.pass(4000);
    expect(harness.stored).toEqual([]);
    expect(harness.outcomes()).toEqual([`${harness.roomId(1)} refused`]);
  });

  test("[HEAL-41] a room in which we have nobody is left alone", async () => {
    const harness = new RepairHarness();
    await harness.suspect("@nobody:hs" as never, 1);
    await harness.pass(4000);
    expect(harness.homeserver.asked).toEqual([]);
    expect(harness.outcomes()).toEqual([`${harness.roomId(1)} nobody`]);
  });
});

describe("the walk over users", () => {
  test("[HEAL-50] compares rooms that only one side has a user in, one user after another", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1, 2]);
    const bob = await harness.user("bob", [1]);
    harness.homeserver.joined.set("alice", [harness.roomId(1), harness.roomId(3)]);
    harness.homeserver.joined.set("bob", [harness.roomId(1)]);
    harness.setState(harness.roomId(3), alice);
    await harness.pass(70_000);
    expect(harness.homeserver.asked[0]).toBe("joined alice");
    expect(harness.stored.map(({ room }) => `${room.kind} ${room.roomId}`).toSorted()).toEqual(
      [`gone ${harness.roomId(2)}`, `snapshot ${harness.roomId(3)}`].toSorted(),
    );
    await harness.time.advance(15 * 60_000);
    expect(harness.homeserver.asked.at(-1)).toBe("joined bob");
    await harness.time.advance(15 * 60_000);
    expect(harness.metrics.of("repair_walked_users_total")).toBe(3);
    expect(bob).toBe("@bob:hs" as never);
  });

  test("[HEAL-51] a list that cannot be read takes nobody out of a room, and patience asked for is given", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    harness.homeserver.failures = [transientFailure(30_000)];
    harness.setState(harness.roomId(1), alice);
    await harness.pass(61_000);
    await harness.suspect(alice, 1);
    await harness.pass(20_000);
    expect(states(harness)).toEqual([]);
    await harness.pass(15_000);
    expect(states(harness)).toHaveLength(1);
  });

  test("[HEAL-52] goes on after the database was away", async () => {
    const harness = new RepairHarness();
    await harness.user("alice", [1]);
    harness.homeserver.joined.set("alice", [harness.roomId(1)]);
    harness.stores.db.isDown = true;
    await harness.time.advance(61_000);
    harness.stores.db.isDown = false;
    await harness.time.advance(120_000);
    expect(harness.homeserver.asked).toEqual(["joined alice"]);
  });
});

describe("what operators ask for", () => {
  test("[HEAL-60] one room: at once, whatever was compared before, and clients are sent it anew", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1]);
    harness.setState(harness.roomId(1), alice);
    const ask = () => harness.stores.repair.ask({ kind: "room", target: harness.roomId(1) }, 0);
    const first = await ask();
    await harness.pass(6000);
    expect(harness.stored[0]?.room).toMatchObject({ kind: "snapshot", isForced: true });
    expect(await harness.stores.repair.progress(first)).toEqual({ total: 1, done: 1, failed: 0, isEnded: true });
    const second = await ask();
    await harness.pass(6000);
    expect(await harness.stores.repair.progress(second)).toMatchObject({ done: 1, isEnded: true });
    expect(harness.stored).toHaveLength(2);
  });

  test("[HEAL-61] one user: the rooms we and the homeserver think the user is in", async () => {
    const harness = new RepairHarness();
    const alice = await harness.user("alice", [1, 2]);
    harness.homeserver.joined.set("alice", [harness.roomId(1), harness.roomId(3)]);
    for (const nid of [1, 3]) harness.setState(harness.roomId(nid), alice);
    const id = await harness.stores.repair.ask({ kind: "user", target: alice }, 0);
    await harness.pass(10_000);
    expect(await harness.stores.repair.progress(id)).toEqual({ total: 3, done: 3, failed: 0, isEnded: true });
    expect(harness.stored.map(({ room }) => `${room.kind} ${room.roomId}`).toSorted()).toEqual(
      [`gone ${harness.roomId(2)}`, `snapshot ${harness.roomId(1)}`, `snapshot ${harness.roomId(3)}`].toSorted(),
    );
  });

  test("[HEAL-62] all rooms, page by page; a restart goes on behind the last page, and what cannot be read is told", async () => {
    const harness = new RepairHarness();
    const nids = Array.from({ length: 130 }, (_, index) => index + 1);
    const alice = await harness.user("alice", nids);
    harness.homeserver.joined.set("alice", [harness.roomId(130)]);
    for (const nid of nids.slice(0, -1)) harness.setState(harness.roomId(nid), alice);
    const id = await harness.stores.repair.ask({ kind: "all", target: "" }, 0);
    await harness.pass(10_000);
    const early = await harness.stores.repair.progress(id);
    expect(early?.total).toBe(130);
    expect(early?.done).toBeGreaterThan(5);
    await harness.pass(20_000);
    const before = states(harness).length;
    expect(before).toBeGreaterThan(100);
    harness.restart();
    await harness.pass(30_000);
    expect(await harness.stores.repair.progress(id)).toMatchObject({ total: 130, failed: 1, isEnded: true });
    expect(states(harness).filter((line) => line.endsWith(` ${harness.roomId(1)}`))).toHaveLength(1);
  });

  test("[HEAL-63] a request that nothing can be done for ends", async () => {
    const harness = new RepairHarness();
    const id = await harness.stores.repair.ask({ kind: "user", target: "@nobody:hs" }, 0);
    await harness.pass(6000);
    expect(await harness.stores.repair.progress(id)).toEqual({ total: 0, done: 0, failed: 0, isEnded: true });
  });

  test("[HEAL-64] what waits behind a suspicion goes first", async () => {
    const harness = new RepairHarness();
    const nids = [1, 2, 3, 4, 5, 6, 7, 8];
    const alice = await harness.user("alice", nids);
    for (const nid of nids) harness.setState(harness.roomId(nid), alice);
    await harness.pass(4000);
    await harness.suspect(alice, ...nids.slice(0, -1));
    await harness.stores.repair.ask({ kind: "room", target: harness.roomId(8) }, 0);
    await harness.pass(6000);
    expect(states(harness)[0]).toEndWith(harness.roomId(8));
  });
});

describe("requests of operators", () => {
  const looks = (harness: RepairHarness): (() => number) => {
    const { repair } = harness.stores;
    let count = 0;
    const next = repair.nextRequest.bind(repair);
    repair.nextRequest = () => {
      count += 1;
      return next();
    };
    return () => count;
  };

  test("[HEAL-80] are told by the database: nobody asks for what was not asked for", async () => {
    const harness = new RepairHarness();
    await harness.pass(1000);
    const count = looks(harness);
    await harness.pass(50_000);
    expect(count()).toBe(0);
    const alice = await harness.user("alice", [1]);
    harness.setState(harness.roomId(1), alice);
    await harness.stores.repair.ask({ kind: "all", target: "" }, 0);
    await harness.pass(2000);
    expect(states(harness)).toHaveLength(1);
    expect(count()).toBe(2);
  });

  test("[HEAL-81] are looked for every five seconds where the database tells nobody", async () => {
    const harness = new RepairHarness({ isDeaf: true });
    await harness.pass(1000);
    const count = looks(harness);
    await harness.pass(20_000);
    expect(count()).toBe(4);
  });
});
