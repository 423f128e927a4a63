import { expect, test } from "bun:test";
import fc from "fast-check";
import type { EventFields } from "#src/protocol/events.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";
import { NaiveClient } from "#test/support/naive-client.ts";
import { SyncRig } from "#test/support/sync-rig.ts";

/** So slow that no own event waits in vain within one schedule. */
const HASTE = 0.02;
const REQUEST = { lists: { all: { ranges: [[0, 5]], timeline_limit: 50 } } };

/** Pollers and clients, by number: two devices of alice, one of bob. */
const DEVICES = ["PHONE", "LAPTOP", "DEV"] as const;

type Step =
  | { do: "send"; from: number }
  | { do: "poll"; device: number; count: number }
  | { do: "ask"; client: number; isLost: boolean }
  | { do: "crash" };

const device = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("send" as const), from: device }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("poll" as const), device, count: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("ask" as const), client: device, isLost: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const) }) },
);

/** Plays a schedule of one room; returns what went wrong. */
async function play(steps: readonly Step[]): Promise<string[]> {
  const rig = await SyncRig.start(makeFakeStores(), HASTE);
  const problems: string[] = [];
  try {
    const [alice, bob] = [await rig.addUser("alice"), await rig.addUser("bob")];
    const owners: UserId[] = [alice, alice, bob];
    const state = rig.roomState(bob, [bob, alice], "room");
    const first = rig.event("m.room.message", bob, { body: "first" });
    for (const [index, userId] of owners.entries()) {
      const deviceId = DEVICES[index] as DeviceId;
      await rig.poll(userId, [rig.join("!r", { state, timeline: [first], prevBatch: "p" })], { deviceId });
    }
    /** The room as the homeserver has it, with the device that sent each event. */
    const room: { event: EventFields; from: number }[] = [];
    const polled = [0, 0, 0];
    const clients = owners.map(() => new NaiveClient());
    let hasCrashed = false;
    const poll = async (index: number, count: number): Promise<void> => {
      const from = polled[index] as number;
      const timeline = room
        .slice(from, from + count)
        .map(({ event, from: sender }) =>
          sender === index ? Object.assign({}, event, { txnId: `txn-${event.id}` }) : event,
        );
      polled[index] = from + timeline.length;
      const deviceId = DEVICES[index] as DeviceId;
      if (timeline.length > 0) await rig.poll(owners[index] as UserId, [rig.join("!r", { timeline })], { deviceId });
    };
    const ask = async (index: number, isLost: boolean): Promise<void> => {
      const client = clients[index] as NaiveClient;
      const options = { pos: client.pos, deviceId: DEVICES[index] as DeviceId };
      const response = await rig.sync(owners[index] as UserId, client.pos === null ? REQUEST : {}, options);
      if (!isLost) client.apply(response);
    };
    for (const action of steps) {
      if (action.do === "send") {
        const event = rig.event("m.room.message", owners[action.from] as UserId, { n: room.length });
        room.push({ event, from: action.from });
      } else if (action.do === "poll") await poll(action.device, action.count);
      else if (action.do === "ask") await ask(action.client, action.isLost);
      else {
        hasCrashed = true;
        await rig.nodes.restartHost("sync");
      }
    }
    for (const index of [0, 1, 2]) await poll(index, room.length);
    for (const index of [0, 1, 2, 0, 1, 2, 0, 1, 2]) await ask(index, false);
    for (const [index, client] of clients.entries()) {
      problems.push(...client.problems.map((problem) => `${index}: ${problem}`));
      const timeline = client.rooms.get("!r")?.timeline ?? [];
      const seen = timeline.map(({ event_id: id }) => id);
      const wanted = [first.id, ...room.map(({ event }) => event.id)];
      if (JSON.stringify(seen) !== JSON.stringify(wanted))
        problems.push(`${index} has ${seen.join()}, not ${wanted.join()}`);
      for (const [at, { event, from }] of room.entries()) {
        const shown = (timeline[at + 1]?.["unsigned"] as { transaction_id?: string } | undefined)?.transaction_id;
        if (from === index ? shown !== `txn-${event.id}` && !hasCrashed : shown !== undefined)
          problems.push(`${index} has ${event.id} of ${from} with ${shown}`);
      }
    }
  } finally {
    await rig.stop();
  }
  return problems;
}

test("[TXN-14] whoever polls and asks in whatever order, each event comes once, in order, with its device's transaction id alone", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      expect(await play(steps)).toEqual([]);
    }),
    { numRuns: 100 },
  );
}, 120_000);
