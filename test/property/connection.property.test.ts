import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { UserId } from "#src/protocol/ids.ts";
import { NaiveClient } from "#test/support/naive-client.ts";
import { SyncRig } from "#test/support/sync-rig.ts";

const ROOMS = ["!a", "!b", "!c", "!d", "!e"] as const;
const RANGES = [
  [[0, 0]],
  [[0, 1]],
  [[0, 4]],
  [
    [0, 0],
    [2, 3],
  ],
  [[1, 2]],
  [[0, 20]],
] as const;
const RUNS = 60;

/** What happens between two requests, and to each request. */
type Step =
  | { kind: "message"; room: number; times: number }
  /** `fate`: its answer arrives, is lost on the way, or the client hangs up before it comes. */
  | { kind: "request"; fate: "arrives" | "lost" | "cancelled"; ranges: number | null; subscribe: number | null }
  | { kind: "crash" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("message" as const),
      room: fc.nat(4),
      times: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("request" as const),
      fate: fc.constantFrom("arrives" as const, "arrives" as const, "lost" as const, "cancelled" as const),
      ranges: fc.option(fc.nat(RANGES.length - 1), { nil: null, freq: 3 }),
      subscribe: fc.option(fc.nat(4), { nil: null, freq: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "crash" as const }) },
);

/** The rooms as they are, kept by the test alone. */
interface Truth {
  order: string[];
  events: Map<string, string[]>;
}

/** A client that repeats what it does not know to have arrived, as clients do. */
class Client {
  readonly naive = new NaiveClient();
  ranges: number = 5;
  /** Changes the server may not have taken in. */
  unconfirmed: Record<string, unknown>;
  readonly subscribed = new Set<string>();

  constructor() {
    this.unconfirmed = {
      lists: { all: { ranges: RANGES[5], sort: ["by_recency"], timeline_limit: 3, required_state: [] } },
    };
  }
}

async function play(
  rig: SyncRig,
  steps: readonly Step[],
): Promise<{ client: Client; truth: Truth; alice: UserId; problems: string[] }> {
  const alice = await rig.addUser("alice");
  const bob = await rig.addUser("bob");
  const truth: Truth = { order: [], events: new Map() };
  const problems: string[] = [];
  const message = (roomId: string) => {
    const event = rig.event("m.room.message", bob, { body: roomId });
    truth.order = [roomId, ...truth.order.filter((other) => other !== roomId)];
    truth.events.set(roomId, [...(truth.events.get(roomId) ?? []), event.id]);
    return event;
  };
  for (const roomId of ROOMS) {
    const state = rig.roomState(bob, [bob, alice], roomId);
    const timeline = [message(roomId)];
    for (const user of [alice, bob]) await rig.poll(user, [rig.join(roomId, { state, timeline })]);
  }
  const client = new Client();
  const request = async (fate: "arrives" | "lost" | "cancelled"): Promise<void> => {
    const body = client.unconfirmed;
    const { pos } = client.naive;
    if (fate === "cancelled") {
      const given = rig.sync(alice, body, { pos, timeoutMs: 6_000_000, requestId: 1_000_000 });
      await rig.nodes.settled();
      rig.cancel(alice, 1_000_000);
      await given;
      return;
    }
    const response = await rig.sync(alice, body, { pos });
    if (fate === "lost") return;
    if (pos !== null && response.pos === pos) problems.push("a response without a new position");
    client.unconfirmed = {};
    client.naive.apply(response);
  };
  await request("arrives");
  for (const item of steps) {
    if (item.kind === "message") {
      const roomId = ROOMS[item.room] ?? "!a";
      const timeline = Array.from({ length: item.times }, () => message(roomId));
      await rig.poll(bob, [rig.join(roomId, { timeline })]);
    } else if (item.kind === "crash") {
      await rig.nodes.restartHost("sync");
    } else {
      if (item.ranges !== null) {
        client.ranges = item.ranges;
        client.unconfirmed = {
          ...client.unconfirmed,
          lists: { all: { ...listOf(client.unconfirmed), ranges: RANGES[item.ranges] } },
        };
      }
      if (item.subscribe !== null) {
        const roomId = ROOMS[item.subscribe] ?? "!a";
        client.subscribed.add(roomId);
        const known = client.unconfirmed["room_subscriptions"] ?? {};
        client.unconfirmed = {
          ...client.unconfirmed,
          room_subscriptions: { ...known, [roomId]: { timeline_limit: 3 } },
        };
      }
      await request(item.fate);
    }
  }
  // Quiet: the client asks until nothing more comes. Every step may have left a response that was lost.
  for (let round = 0; round < steps.length + 3; round += 1) await request("arrives");
  return { client, truth, alice, problems };
}

const listOf = (body: Record<string, unknown>): object => (body["lists"] as { all?: object } | undefined)?.all ?? {};

describe("a connection under any schedule of losses, cancellations, repeats and crashes", () => {
  test("[CON-20] ends with the client's windows and rooms as they are, each change once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
        const rig = await SyncRig.start();
        try {
          const { client, truth, problems } = await play(rig, steps);
          expect([...client.naive.problems, ...problems]).toEqual([]);
          const ranges = RANGES[client.ranges] ?? [];
          const inWindow = truth.order.filter((_, index) =>
            ranges.some(([start, end]) => start <= index && index <= end),
          );
          expect(
            client.naive.window(
              "all",
              ranges.map(([start, end]) => [start, Math.min(end, 4)]),
            ),
          ).toEqual(inWindow);
          for (const roomId of new Set([...inWindow, ...client.subscribed])) {
            const known = client.naive.rooms.get(roomId)?.timeline.map((event) => event.event_id) ?? [];
            const all = truth.events.get(roomId) ?? [];
            // Whole entries start anew with the newest three: what follows must be complete to the end.
            expect(known.length).toBeGreaterThanOrEqual(Math.min(3, all.length));
            expect(known).toEqual(all.slice(-known.length));
          }
        } finally {
          await rig.stop();
        }
      }),
      { numRuns: RUNS },
    );
  }, 300_000);
});
