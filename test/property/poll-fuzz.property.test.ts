import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { outlineSync, splitBatch, type PollOrigin } from "#src/homeserver/sync-v2.ts";
import { readRoomState } from "#src/homeserver/state-reader.ts";
import type { DeviceId, RoomId, UserId } from "#src/protocol/ids.ts";
import { packPollBatch, unpackPollBatch } from "#src/protocol/packed.ts";
import { IngestWorld } from "#test/support/ingest-world.ts";
import { repairBatch, snapshotSection } from "#test/support/polls.ts";
import { RECORDED_LIVES, type RecordedLife } from "#test/support/recorded-syncs.ts";
import { mutated } from "#test/support/request-mutations.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { PollerHarness } from "../unit/actors/poller/harness.ts";

const ALICE = "@alice:localhost" as UserId;
const BOB = "@bob:localhost" as UserId;
const RUNS = 250;
/** Rejects that one batch names; of what is beyond them only the number is known. */
const NAMED_REJECTS = 100;

const originOf = (userId: UserId, isFirstSync: boolean): PollOrigin => ({
  userId,
  deviceId: "DEV" as DeviceId,
  isFirstSync,
  traceparent: null,
});

/** Takes one body in as a poller and ingest would; null when it is unreadable as a whole. */
async function take(
  world: IngestWorld,
  text: string,
  origin: PollOrigin,
): Promise<{ named: number; rejected: number; quarantined: number } | null> {
  const outline = outlineSync(new TextEncoder().encode(text));
  if (typeof outline === "string") return null;
  const sum = { named: 0, rejected: 0, quarantined: 0 };
  for (const batch of splitBatch(outline, origin, { pieceBytes: 4000 })) {
    const { counts, transaction } = await world.apply(unpackPollBatch(packPollBatch(batch)));
    sum.named += batch.rejected.length;
    sum.rejected += counts.rejected;
    sum.quarantined += transaction.quarantine.length;
    expect(batch.rejected.length).toBeLessThanOrEqual(NAMED_REJECTS);
    expect(transaction.quarantine.length).toBe(Math.min(counts.rejected, NAMED_REJECTS));
  }
  return sum;
}

/** Bob's and Alice's devices are known, and both had their first sync. */
async function begun({ alice, bob }: RecordedLife): Promise<IngestWorld> {
  const world = new IngestWorld();
  for (const userId of [ALICE, BOB]) {
    await world.stores.devices.saveToken({
      hash: userId,
      accessToken: userId,
      userId,
      deviceId: "DEV" as DeviceId,
      nowMs: 0,
    });
  }
  await take(world, JSON.stringify(alice[0]), originOf(ALICE, true));
  await take(world, JSON.stringify(bob[0]), originOf(BOB, true));
  return world;
}

/** One of the lives, by number, and a text made of something of it. */
const lifeAndText = (documents: (recorded: RecordedLife) => readonly unknown[]): fc.Arbitrary<[number, string]> =>
  fc
    .nat(RECORDED_LIVES.length - 1)
    .chain((number) => fc.tuple(fc.constant(number), mutated(documents(lifeOf(number)))));

function lifeOf(number: number): RecordedLife {
  const recorded = RECORDED_LIVES[number];
  if (recorded === undefined) throw new Error(`no life ${number}`);
  return recorded;
}

describe("responses that are nearly right", () => {
  test("[ING-60] never fail a poll: what is wrong is set aside and counted, and the next poll is as good as ever", async () => {
    await fc.assert(
      fc.asyncProperty(
        lifeAndText(({ alice, noRooms }) => [...alice, noRooms]),
        fc.boolean(),
        async ([number, text], isFirst) => {
          const recorded = lifeOf(number);
          const world = await begun(recorded);
          const taken = await take(world, text, originOf(ALICE, isFirst));
          if (taken !== null) expect(taken.rejected).toBeGreaterThanOrEqual(taken.named);
          for (const [user, bodies] of [
            [ALICE, recorded.alice],
            [BOB, recorded.bob],
          ] as const) {
            for (const body of bodies.slice(1)) await take(world, JSON.stringify(body), originOf(user, false));
          }
          for (const { json } of world.stores.db.events.values()) {
            const event = JSON.parse(new TextDecoder().decode(json)) as { unsigned?: { transaction_id?: unknown } };
            expect(event.unsigned?.transaction_id).toBeUndefined();
          }
          const since = world.stores.db.devices.get(JSON.stringify([BOB, "DEV"]))?.since;
          expect(since).toBe((recorded.bob.at(-1) as { next_batch: string }).next_batch);
        },
      ),
      { numRuns: RUNS },
    );
  }, 120_000);

  test("[ING-61] cost the room that is wrong and no other, byte for byte", async () => {
    const rooms = (body: object | undefined): Record<string, unknown> =>
      (body as { rooms: { join: Record<string, unknown> } }).rooms.join;
    await fc.assert(
      fc.asyncProperty(
        lifeAndText(({ alice, roomId }) => [rooms(alice[1])[roomId]]),
        async ([number, text]) => {
          const recorded = lifeOf(number);
          if (!isJson(text)) return;
          const world = await begun(recorded);
          const { [recorded.roomId]: _, ...others } = rooms(recorded.alice[1]);
          const body = JSON.stringify({ next_batch: "s2", rooms: { join: { ...others, placeholder: 0 } } });
          const whole = body.replace('"placeholder":0', `"${recorded.roomId}":${text}`);
          expect(await take(world, whole, originOf(ALICE, false))).not.toBeNull();
          for (const [roomId, section] of Object.entries(others)) {
            const { timeline } = section as { timeline: { events: { event_id: string }[] } };
            const ids = timeline.events.map(({ event_id }) => event_id);
            expect(world.timeline(roomId).slice(-ids.length)).toEqual(ids);
          }
          expect(world.stores.db.devices.get(JSON.stringify([ALICE, "DEV"]))?.since).toBe("s2");
        },
      ),
      { numRuns: RUNS },
    );
  }, 120_000);

  test("[POL-66] leave no poller stuck: an unreadable one is asked for again, any other one is stored", async () => {
    await fc.assert(
      fc.asyncProperty(mutated(RECORDED_LIVES.flatMap(({ alice }) => alice)), async (text) => {
        const harness = new PollerHarness();
        await harness.login("s1");
        await harness.start();
        harness.homeserver.nextSync().answer(text);
        await settlePromises();
        for (let minute = 0; minute < 5 && harness.homeserver.waitingCount === 0; minute++) {
          await harness.time.advance(60_000);
        }
        harness.homeserver.nextSync().answer({ next_batch: "good", to_device: { events: [{ type: "m.x" }] } });
        await settlePromises();
        expect(harness.stored.at(-1)?.since).toBe("good");
        const isReadable = typeof outlineSync(new TextEncoder().encode(text)) !== "string";
        expect(harness.stored.length > 1).toBe(isReadable);
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  test("[HEAL-13] of room state are refused or taken, and the right one mends whatever they did", async () => {
    await fc.assert(
      fc.asyncProperty(
        lifeAndText(({ state }) => [state]),
        async ([number, text]) => {
          const recorded = lifeOf(number);
          const world = await begun(recorded);
          const roomId = recorded.roomId as RoomId;
          const repair = async (body: string): Promise<void> => {
            const read = readRoomState(new TextEncoder().encode(body), roomId);
            if (typeof read === "string") return;
            const isWhole = read.rejected.length === 0;
            await world.apply({
              ...repairBatch(ALICE, snapshotSection(roomId, read.state, world.head, { isWhole })),
              rejected: read.rejected,
            });
          };
          await repair(text);
          await repair(JSON.stringify(recorded.state));
          const { nid } = world.meta(roomId);
          const rows = (await world.stores.ingest.loadRoomState(nid)).map((row) => row.eventId);
          const ids = (recorded.state as { event_id: string }[]).map(({ event_id }) => event_id);
          expect(rows.toSorted()).toEqual(ids.toSorted());
          expect(world.standing(ALICE, roomId).membership).toBe("join");
          expect(world.standing(BOB, roomId).membership).toBe("ban");
        },
      ),
      { numRuns: RUNS },
    );
  }, 120_000);
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
