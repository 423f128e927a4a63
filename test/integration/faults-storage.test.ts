import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { CuttableDatabase, embeddedDatabase } from "#test/support/faulty-database.ts";
import { NodeRig } from "#test/support/node-rig.ts";

/** The first of these starts a server. */
setDefaultTimeout(120_000);
const POOLS = [4, 1] as const;
let rig: NodeRig | null = null;

afterEach(async () => {
  await rig?.stop();
  rig = null;
});

describe.each(POOLS)("a whole node on PostgreSQL with pools of %d", (connections) => {
  async function start(): Promise<{ node: NodeRig; database: CuttableDatabase }> {
    const database = await CuttableDatabase.create(connections);
    const node = await NodeRig.start({ database });
    rig = node;
    await node.populate(["alice", "bob", "carol"], 4);
    return { node, database };
  }

  test("[FAULT-50] loses and doubles nothing when its hosts are killed during traffic", async () => {
    const { node } = await start();
    for (const role of ["sync", "ingest", "poller", "ingest", "sync"] as const) {
      await node.talk(6);
      node.nodes.killHost(role);
      await node.talk(6);
      await node.nodes.hostUp(role);
    }
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });

  test("[FAULT-51] loses and doubles nothing when the database is cut off and comes back, hosts dying meanwhile", async () => {
    const { node, database } = await start();
    for (const dying of [null, "sync", "ingest", "poller"] as const) {
      await node.talk(4);
      await database.cut();
      if (dying !== null) node.nodes.killHost(dying);
      await node.talk(4);
      for (const client of node.clients) client.hangUp();
      await node.pass(10_000);
      await database.restore();
      await node.talk(4);
    }
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
    // Three are killed; a commit that ingest could not tell of takes a sync host with it.
    expect(node.crashesOf("host")).toBeLessThanOrEqual(4);
  });

  test("[FAULT-52] loses and doubles nothing when connections break at COMMIT", async () => {
    const { node, database } = await start();
    for (let outage = 0; outage < 6; outage += 1) {
      database.nextCommit = outage % 2 === 0 ? "cut-after" : "cut-before";
      if (outage === 3) node.nodes.killHost("ingest");
      await node.talk(8);
      await node.until(() => !database.isCommitPlanned);
    }
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });
});

describe("a whole node with its database embedded", () => {
  test("[FAULT-54] learns at once that the store host is dead, and that it is back", async () => {
    const node = await NodeRig.start({ database: await embeddedDatabase(1) });
    rig = node;
    await node.populate(["alice"], 1);
    /** Without the time that the database takes to start: none of it waits until a call that hangs is given up. */
    const atOnce = async (work: () => Promise<void>): Promise<void> => {
      const startedMs = performance.now();
      await work();
      expect(performance.now() - startedMs).toBeLessThan(15_000);
    };
    await atOnce(async () => {
      node.nodes.killHost("store");
      await node.talk(3);
      await node.until(() => node.metrics.of("ingest_failures_total", { code: "storage_unavailable" }) > 0);
    });
    await node.nodes.hostUp("store");
    await atOnce(() => node.caughtUp());
    expect(node.faults()).toEqual([]);
  });

  test("[FAULT-53] loses and doubles nothing when the store host and others are killed during traffic", async () => {
    const node = await NodeRig.start({ database: await embeddedDatabase(1) });
    rig = node;
    await node.populate(["alice", "bob"], 3);
    for (const role of ["store", "ingest", "store", "sync"] as const) {
      await node.talk(5);
      node.nodes.killHost(role);
      await node.talk(5);
      await node.nodes.hostUp(role);
    }
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });
});
