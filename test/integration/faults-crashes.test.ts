import { afterEach, describe, expect, test } from "bun:test";
import { crashing, garbled } from "#test/support/faulty-stores.ts";
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

/** A bug in a turn: which actor it takes down, and how it is made. */
const BUGS: [kind: string, where: string, plant: (node: NodeRig) => void | Promise<void>][] = [
  ["poller", "while it reads a body", (node) => node.metrics.crashAt("sliding_sync_poller_timeline_size")],
  ["poller", "after its batch is stored", (node) => node.metrics.crashAt("sliding_sync_poller_process_duration_secs")],
  ["ingest", "before a commit", (node) => node.storeFaults.next("commit", crashing())],
  ["ingest", "after a commit", (node) => node.metrics.crashAt("ingest_commit_duration_secs")],
  ["ingest", "between a commit and telling of it", (node) => node.metrics.crashAt("ingest_group_batches")],
  [
    "user",
    "while it is read",
    async (node) => {
      node.storeFaults.next("loadUser", garbled());
      await node.nodes.restartHost("sync");
    },
  ],
  [
    "connection",
    "while it is read",
    async (node) => {
      node.storeFaults.next("load", crashing());
      await node.nodes.restartHost("sync");
    },
  ],
  ["connection", "while it takes in a request", (node) => node.storeFaults.next("deleteToDevice", crashing())],
];

describe("an actor that crashes", () => {
  test.each(BUGS)("[FAULT-20] %s, %s: comes back and nothing is lost or doubled", async (kind, _where, plant) => {
    const node = await start({ seed: 5 });
    for (let crash = 1; crash <= 3; crash += 1) {
      await plant(node);
      await node.talk(6);
      await node.until(() => node.crashesOf(kind) >= crash);
    }
    await node.talk(4);
    await node.caughtUp();
    expect(node.crashesOf(kind)).toBe(3);
    expect(node.faults()).toEqual([]);
  });
});
