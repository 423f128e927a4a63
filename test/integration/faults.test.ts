import { afterEach, describe, expect, test } from "bun:test";
import { NodeRig, type NodeRigOptions } from "#test/support/node-rig.ts";

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
  test("[FLT-0] without faults tells every client everything once", async () => {
    const node = await start();
    await node.talk(60);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });

  test.each(["sync", "ingest", "poller"] as const)(
    "[FLT-1] loses and doubles nothing when its %s host is killed again and again",
    async (role) => {
      const node = await start({ seed: 1 });
      for (let death = 0; death < 4; death += 1) {
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
});
