import { afterEach, describe, expect, test } from "bun:test";
import { NodeRig, type NodeRigOptions } from "#test/support/node-rig.ts";
import { answerLost, late, refused } from "#test/support/faulty-stores.ts";

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

describe("a whole node", () => {
  test("[FAULT-0] without faults tells every client everything once", async () => {
    const node = await start();
    await node.talk(60);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });

  test.each(["sync", "ingest", "poller"] as const)(
    "[FAULT-1] loses and doubles nothing when its %s host is killed again and again",
    async (role) => {
      const node = await start({ seed: 1 });
      for (let death = 0; death < 3; death += 1) {
        await node.talk(7);
        node.nodes.killHost(role);
        await node.talk(7);
        await node.nodes.hostUp(role);
      }
      await node.talk(5);
      await node.caughtUp();
      expect(node.faults()).toEqual([]);
    },
  );

  test("[FAULT-2] answers the requests that are parked on a host that dies", async () => {
    const node = await start();
    const answered = node.clients.map((client) => client.responses);
    await node.breathe(40);
    node.nodes.killHost("sync");
    await node.until(() => node.clients.every((client, index) => client.responses > (answered[index] ?? 0)));
    expect(node.metrics.of("sliding_sync_api_retried_requests_total")).toBeGreaterThanOrEqual(node.clients.length);
    for (const client of node.clients) expect([...client.errors]).toEqual([]);
    expect(node.faults()).toEqual([]);
  });

  test.each(["ingest", "sync", "poller"] as const)(
    "[FAULT-3] loses and doubles nothing when its %s host dies between a commit and the answer to it",
    async (role) => {
      const node = await start({ seed: 2 });
      for (let death = 0; death < 3; death += 1) {
        node.storeFaults.next(
          "commit",
          answerLost(() => node.nodes.killHost(role)),
        );
        await node.talk(8);
        await node.nodes.hostUp(role);
      }
      await node.caughtUp();
      expect(node.faults()).toEqual([]);
    },
  );

  test("[FAULT-6] loses nothing when ingest dies, untold commit and all, while a sync host starts", async () => {
    const node = await NodeRig.start();
    rig = node;
    await node.populate(["alice"], 2);
    // The client has everything: what it is told next begins where the host begins, and nobody else has it read.
    await node.talk(6);
    await node.caughtUp();
    await node.breathe(100);
    const [head, user] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let [heads, users] = [0, 0];
    const heal = node.storeFaults.add(({ store, method }) => {
      if (method === "loadUser") {
        users += 1;
        return late(user.promise);
      }
      if (store !== "rooms" || method !== "loadHead") return null;
      heads += 1;
      return heads === 1 ? refused() : late(head.promise);
    });
    node.nodes.killHost("sync");
    // Requests come in before the host knows where the stream stands: read now, a user would lack what nobody tells.
    await node.until(() => heads > 1);
    await node.breathe(100);
    expect(users).toBe(0);
    node.storeFaults.next(
      "commit",
      answerLost(() => node.nodes.killHost("ingest")),
    );
    await node.talk(3);
    await node.nodes.hostUp("ingest");
    await node.until(() => users > 0);
    user.resolve();
    await node.breathe(60);
    head.resolve();
    heal();
    await node.talk(3);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });

  test("[FAULT-4] survives the deaths of several hosts at once", async () => {
    const node = await start({ seed: 3, topology: { sync: 2, poller: 2 } });
    for (let death = 0; death < 3; death += 1) {
      await node.talk(5);
      node.nodes.killHost("ingest");
      node.nodes.killHost("sync", death % 2);
      node.nodes.killHost("poller", 0);
      await node.talk(5);
    }
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });

  test("[FAULT-5] goes on after a stop and a start with the same positions", async () => {
    const node = await start({ seed: 4 });
    await node.talk(10);
    await node.shutDown();
    await node.talk(10);
    await node.boot();
    await node.talk(10);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });
});
