import { expect, test } from "bun:test";
import fc from "fast-check";
import type { UserId } from "#src/protocol/ids.ts";
import { type RigResponse, SyncRig } from "#test/support/sync-rig.ts";

const encoder = new TextEncoder();
const EXTENSIONS = { to_device: { enabled: true }, e2ee: { enabled: true } };

type Step =
  | { do: "send"; count: number }
  /** `isLost`: the response does not arrive; `isOver`: the client starts over and has forgotten its `since`. */
  | { do: "ask"; client: number; isAcknowledged: boolean; isLost: boolean; isOver: boolean }
  | { do: "crash" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("send" as const), count: fc.integer({ min: 1, max: 3 }) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("ask" as const),
      client: fc.nat(2),
      isAcknowledged: fc.boolean(),
      isLost: fc.boolean(),
      isOver: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const) }) },
);

/** One connection's client: what it has, and how it says so. */
class Client {
  pos: string | null = null;
  nextBatch: string | null = null;
  /** Numbers of the messages and changes it was sent. */
  readonly messages = new Set<number>();
  readonly targets = new Set<number>();
  /** Everything up to here the device had when this client first asked. */
  startedAt: { message: number; target: number } | null = null;

  take(response: RigResponse): void {
    this.pos = response.pos;
    const part = response.extensions["to_device"] as { next_batch: string; events?: { content: { n: number } }[] };
    this.nextBatch = part.next_batch;
    for (const { content } of part.events ?? []) this.messages.add(content.n);
    const lists = response.extensions["e2ee"]?.["device_lists"] as { changed: string[] } | undefined;
    for (const target of lists?.changed ?? []) this.targets.add(Number(target.slice(2, -3)));
  }
}

/** Plays a schedule; returns what went wrong. */
async function play(steps: readonly Step[]): Promise<string[]> {
  const rig = await SyncRig.start();
  const problems: string[] = [];
  try {
    const alice: UserId = await rig.addUser("alice");
    await rig.poll(alice, []);
    const clients = [new Client(), new Client(), new Client()];
    let sent = 0;
    const acknowledged = { message: 0, target: 0 };
    const ask = async (name: number, isAcknowledged: boolean, isLost: boolean, isOver: boolean): Promise<void> => {
      const client = clients[name] as Client;
      if (isOver) [client.pos, client.nextBatch] = [null, null];
      client.startedAt ??= { ...acknowledged };
      const since = isAcknowledged && client.nextBatch !== null ? { since: client.nextBatch } : {};
      if (isAcknowledged) acknowledged.message = Math.max(acknowledged.message, ...client.messages);
      // Device lists are acknowledged by `pos`.
      if (client.pos !== null) acknowledged.target = Math.max(acknowledged.target, ...client.targets);
      const extensions = { ...EXTENSIONS, to_device: { enabled: true, ...since } };
      const response = await rig.sync(alice, { conn_id: `c${name}`, extensions }, { pos: client.pos });
      if (isLost) return;
      client.take(response);
      for (const [has, from] of [
        [client.messages, client.startedAt.message],
        [client.targets, client.startedAt.target],
      ] as const) {
        const gap = range(from + 1, Math.max(from, ...has)).filter((n) => !has.has(n));
        if (gap.length > 0) problems.push(`client ${name} was not sent ${gap.join()}`);
      }
    };
    for (const action of steps) {
      if (action.do === "crash") await rig.nodes.restartHost("sync");
      else if (action.do === "ask") await ask(action.client, action.isAcknowledged, action.isLost, action.isOver);
      else {
        for (const n of range(sent + 1, sent + action.count)) {
          const json = encoder.encode(JSON.stringify({ type: "m.n", sender: "@b:hs", content: { n } }));
          await rig.poll(alice, [], {
            toDevice: [{ type: "m.n", sender: "@b:hs", json }],
            deviceListsChanged: [`@u${n}:hs`],
          });
        }
        sent += action.count;
      }
    }
    // Everybody asks until they have said what they have.
    for (let round = 0; round < 4; round += 1) {
      for (const name of [0, 1, 2]) await ask(name, true, false, false);
    }
    for (const [name, { messages, targets, startedAt }] of clients.entries()) {
      const lost = range((startedAt?.message ?? 0) + 1, sent).filter((n) => !messages.has(n));
      if (lost.length > 0) problems.push(`client ${name} never got ${lost.join()}`);
      const unheard = range((startedAt?.target ?? 0) + 1, sent).filter((n) => !targets.has(n));
      if (unheard.length > 0) problems.push(`client ${name} never heard of ${unheard.join()}`);
    }
    if (rig.stores.db.toDevice.length > 0) problems.push(`${rig.stores.db.toDevice.length} messages were kept`);
    if (rig.stores.db.deviceLists.size > 0) problems.push(`${rig.stores.db.deviceLists.size} changes were kept`);
  } finally {
    await rig.stop();
  }
  return problems;
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);

test("[TOD-12] whatever is lost, forgotten or crashes, every connection gets everything, and nothing is kept behind", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      expect(await play(steps)).toEqual([]);
    }),
    { numRuns: 100 },
  );
}, 120_000);
