import { afterEach, describe, expect, test } from "bun:test";
import type { SpawnedRole } from "#src/hosts/compositions.ts";
import { seededRng } from "#src/demo/seeded-rng.ts";
import { answerLost, late, poisoned, refused } from "#test/support/faulty-stores.ts";
import { NodeRig, type NodeRigOptions } from "#test/support/node-rig.ts";

const MINUTE_MS = 60_000;
/** Calls that every node makes all the time. */
const CALLS = ["commit", "loadHead", "loadToDevice", "deleteToDevice"] as const;
let rig: NodeRig | null = null;

async function start(options: NodeRigOptions = {}): Promise<NodeRig> {
  rig = await NodeRig.start(options);
  await rig.populate(["alice", "bob", "carol"], 4);
  return rig;
}

afterEach(async () => {
  await rig?.stop();
  rig = null;
});

describe("a database", () => {
  test("[FAULT-30] that is gone for a minute, twice, costs a delay and nothing else", async () => {
    const node = await start({ seed: 6, haste: 100 });
    for (let outage = 0; outage < 2; outage += 1) {
      await node.talk(5);
      node.storeFaults.isDown = true;
      await node.talk(5);
      for (const client of node.clients) client.hangUp();
      await node.pass(MINUTE_MS);
      await node.talk(5);
      node.storeFaults.isDown = false;
    }
    await node.talk(5);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
    for (const kind of ["poller", "ingest", "user", "connection", "host"]) expect(node.crashesOf(kind)).toBe(0);
  });

  test.each(["sync", "poller", "ingest"] as SpawnedRole[])(
    "[FAULT-31] that is gone while the %s host is restarted lets it come back later",
    async (role) => {
      const node = await start({ seed: 7, haste: 100 });
      await node.talk(5);
      node.storeFaults.isDown = true;
      node.nodes.killHost(role);
      await node.talk(5);
      await node.pass(MINUTE_MS);
      node.storeFaults.isDown = false;
      await node.talk(5);
      await node.caughtUp();
      expect(node.faults()).toEqual([]);
      // A commit that ingest could not tell of takes the sync host with it.
      expect(node.crashesOf("host")).toBeLessThanOrEqual(role === "ingest" ? 2 : 1);
    },
  );

  test("[FAULT-32] that goes away at COMMIT, having done it or not, gets everything once", async () => {
    const node = await start({ seed: 8 });
    for (let outage = 0; outage < 6; outage += 1) {
      node.storeFaults.next("commit", outage % 2 === 0 ? answerLost() : refused());
      if (outage % 3 === 2) node.storeFaults.next("commit", answerLost());
      await node.talk(8);
      // Batches may meet in one commit: only when all is told has this outage surely been met.
      await node.caughtUp();
    }
    expect(node.faults()).toEqual([]);
    expect(node.metrics.of("ingest_failures_total", { code: "storage_unavailable" })).toBeGreaterThanOrEqual(6);
  });

  test("[FAULT-33] that fails one call in four, each kind of call, loses and doubles nothing", async () => {
    const node = await start({ seed: 9 });
    const rng = seededRng(10);
    const failed = new Set<string>();
    const heal = node.storeFaults.add(({ method }) => {
      if (rng.next() > 0.25) return null;
      failed.add(method);
      return rng.next() < 0.5 ? refused() : answerLost();
    });
    const isTried = (): boolean => CALLS.every((method) => failed.has(method));
    for (let round = 0; round < 60 && !(isTried() && round > 8); round += 1) {
      await node.talk(2);
      if (round % 3 === 0 && round < 9) node.nodes.killHost("ingest");
      await node.pass(500);
    }
    heal();
    await node.talk(5);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
    expect([...failed]).toEqual(expect.arrayContaining([...CALLS]));
  });

  test("[FAULT-35] whose answer about a user comes after it was given up on, and asked again, is not taken for news", async () => {
    const node = await start({ seed: 12, haste: 200 });
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const answers = [first, second];
    const isAsked: number[] = [];
    const heal = node.storeFaults.add(({ method, args }) => {
      const answer = answers[isAsked.length];
      if (method !== "loadUser" || args[0] !== "@alice:test" || answer === undefined) return null;
      isAsked.push(performance.now());
      return late(answer.promise);
    });
    node.nodes.killHost("sync");
    await node.until(() => isAsked.length === 1);
    // Known to nobody else, so that only her own reading can bring it.
    const ownRoomId = node.homeserver.createRoom("alice");
    await node.until(() => isAsked.length === 2);
    first.resolve();
    await node.breathe();
    second.resolve();
    heal();
    await node.until(() => node.clients[0]?.naive.rooms.has(ownRoomId) === true);
    await node.talk(5);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });

  test("[FAULT-34] that refuses one room's data gets everything else, and that is counted and kept", async () => {
    const node = await start({ seed: 11 });
    const [poisonRoom] = node.roomIds.splice(0, 1);
    if (poisonRoom === undefined) throw new Error("no room");
    const isPoison = (args: readonly unknown[]): boolean => JSON.stringify(args[0]).includes('"type":"m.poison"');
    node.storeFaults.add(({ method, args }) => (method === "commit" && isPoison(args) ? poisoned() : null));
    await node.talk(5);
    for (let at = 0; at < 3; at += 1) {
      node.homeserver.send("bob", poisonRoom, { at }, { type: "m.poison" });
      await node.talk(4);
    }
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
    expect(node.metrics.of("ingest_quarantined_total")).toBeGreaterThanOrEqual(3);
    const newest = node.syncFaults.syncs.at(-1)?.since;
    await node.talk(1);
    await node.caughtUp();
    // Clients have what is new before the pollers ask for more.
    await node.until(() => node.syncFaults.syncs.at(-1)?.since !== newest);
    expect(node.faults()).toEqual([]);
  });
});
