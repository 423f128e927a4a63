import { afterEach, describe, expect, test } from "bun:test";
import type { SyncFault } from "#test/support/faulty-homeserver.ts";
import { NodeRig, type NodeRigOptions } from "#test/support/node-rig.ts";

const HASTE = 20;
let rig: NodeRig | null = null;

async function start(options: NodeRigOptions = {}): Promise<NodeRig> {
  rig = await NodeRig.start({ haste: HASTE, ...options });
  await rig.populate(["alice", "bob", "carol"], 4);
  return rig;
}

afterEach(async () => {
  await rig?.stop();
  rig = null;
});

const FAULTS: [string, SyncFault][] = [
  ["500", { kind: "status", status: 500 }],
  ["502 with a page of a proxy", { kind: "garbage", body: "<html><h1>Bad gateway</h1></html>" }],
  ["429 without a time", { kind: "status", status: 429, errcode: "M_LIMIT_EXCEEDED" }],
  ["404", { kind: "status", status: 404, errcode: "M_UNRECOGNIZED" }],
  ["garbage bytes", { kind: "garbage" }],
  ["an empty body", { kind: "garbage", body: "" }],
  ["an array", { kind: "garbage", body: "[]" }],
  ["JSON that ends early", { kind: "garbage", body: '{"next_batch":"s1_1","rooms":{"join":{"!a:test":{"timeline"' }],
  ["half a body", { kind: "half" }],
  ["a connection that breaks", { kind: "reset" }],
];

describe("a homeserver that answers", () => {
  test.each(FAULTS)("[FAULT-10] %s costs a delay and nothing else", async (_name, fault) => {
    const node = await start();
    node.syncFaults.next(fault, 5);
    await node.talk(8);
    await node.until(() => node.syncFaults.plannedCount === 0);
    await node.talk(3);
    await node.caughtUp();
    expect(node.syncFaults.seen.length).toBe(5);
    expect(node.faults()).toEqual([]);
    for (const kind of ["poller", "ingest", "host"]) expect(node.crashesOf(kind)).toBe(0);
  });

  test("[FAULT-11] 429 with Retry-After is asked again no sooner", async () => {
    const node = await start();
    const [alice] = node.clients;
    const userId = alice?.session.account.userId ?? "";
    const retryAfterMs = 8000;
    node.syncFaults.next({ kind: "status", status: 429, errcode: "M_LIMIT_EXCEEDED", retryAfterMs }, 2, userId);
    await node.talk(5);
    const polls = (): number[] =>
      node.syncFaults.syncs.filter((sync) => sync.userId === userId).map(({ atMs }) => atMs);
    const lastMs = (): number => node.syncFaults.seen[1]?.atMs ?? Number.POSITIVE_INFINITY;
    await node.until(() => polls().some((atMs) => atMs > lastMs()));
    for (const { atMs } of node.syncFaults.seen) {
      const next = polls().find((other) => other > atMs) ?? 0;
      // Timers may be a millisecond early.
      expect(next - atMs).toBeGreaterThanOrEqual(retryAfterMs / HASTE - 2);
    }
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });

  test("[FAULT-12] nothing for minutes is given up on, and asked again", async () => {
    const node = await start({ haste: 200, pollDeadlineMs: 60_000 });
    node.syncFaults.always = { kind: "silence" };
    await node.talk(5);
    await node.pass(180_000);
    expect(node.syncFaults.seen.length).toBeGreaterThanOrEqual(2 * node.clients.length);
    node.syncFaults.always = null;
    await node.talk(5);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });

  test("[FAULT-13] no connection at all costs a delay and nothing else", async () => {
    const node = await start();
    await node.homeserver.stop();
    await node.talk(5);
    await node.pass(20_000);
    node.homeserver.start();
    await node.talk(5);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
  });

  test("[FAULT-14] 401 stops the device; a new token of the same device goes on from where it was", async () => {
    const node = await start();
    const [alice] = node.clients;
    if (alice === undefined) throw new Error("no client");
    const { userId } = alice.session.account;
    const before = node.syncFaults.syncs.length;
    const renewed = node.homeserver.rotateToken(alice.session);
    await node.talk(6);
    await node.until(() => (alice.errors.get("soft_logout") ?? 0) > 0);
    const polls = (): number => node.syncFaults.syncs.filter((sync) => sync.userId === userId).length;
    const refused = polls();
    await node.pass(30_000);
    expect(polls()).toBe(refused);
    alice.useToken(renewed.accessToken);
    await node.talk(6);
    await node.caughtUp();
    expect(node.faults()).toEqual([]);
    const since = node.syncFaults.syncs.slice(before).filter((sync) => sync.userId === userId);
    expect(since.length).toBeGreaterThan(0);
    expect(since.filter((sync) => sync.since === null)).toEqual([]);
  });
});
