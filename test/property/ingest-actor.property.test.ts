import { expect, test } from "bun:test";
import fc from "fast-check";
import { MEMBERSHIPS } from "#src/protocol/events.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import { MODEL_ROOM, ModelHomeserver, type RoomAction } from "#test/support/ingest-homeserver.ts";
import { type CommitFate, IngestRig, type Sent } from "#test/support/ingest-rig.ts";

const USERS = 8;
const POLLED = 3;

type Step =
  | { do: "act"; action: RoomAction }
  | { do: "send"; user: number }
  | { do: "poll"; user: number }
  | { do: "fate"; fate: CommitFate }
  | { do: "hold" }
  | { do: "release" }
  | { do: "wait" }
  | { do: "crash"; isAlone: boolean; hasLanded: boolean };

const other = fc.integer({ min: POLLED, max: USERS - 1 });
const polled = fc.integer({ min: 0, max: POLLED - 1 });
const membership = fc.constantFrom(...MEMBERSHIPS.filter((one) => one !== "knock"));
const action: fc.Arbitrary<RoomAction> = fc.oneof(
  fc.record({ do: fc.constant("message" as const), user: fc.integer({ min: 0, max: USERS - 1 }) }),
  fc.record({ do: fc.constant("name" as const) }),
  fc.record({ do: fc.constant("member" as const), user: other, membership }),
);
const only = <T extends Step["do"]>(name: T): fc.Arbitrary<{ do: T }> => fc.record({ do: fc.constant(name) });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("act" as const), action }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("send" as const), user: polled }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant("poll" as const), user: polled }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("fate" as const),
        fate: fc.constantFrom("down", "refuse", "lose-answer"),
      }),
    },
    { weight: 2, arbitrary: only("hold") },
    { weight: 3, arbitrary: only("release") },
    { weight: 2, arbitrary: only("wait") },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant("crash" as const), isAlone: fc.boolean(), hasLanded: fc.boolean() }),
    },
  ),
  { maxLength: 60, size: "max" },
);

/** Pollers as they are: one batch at a time, and the next token only after its answer. */
class Pollers {
  readonly rig = new IngestRig();
  readonly hs = new ModelHomeserver(USERS, { isStateAfter: false, timelineLimit: 1000 });
  readonly #open = new Map<string, { sent: Sent; batch: PollBatch }>();
  readonly #sinces = new Map<string, string | null>();

  poll(index: number): void {
    const user = this.hs.users[index] ?? "";
    const open = this.#open.get(user);
    if (open?.sent.outcome === "waiting") return;
    if (open?.sent.outcome === "actor_stopped") {
      this.#open.set(user, { sent: this.rig.send(open.batch), batch: open.batch });
      return;
    }
    if (open !== undefined) this.#sinces.set(user, open.batch.since);
    const batch = this.hs.poll(user, this.#sinces.get(user) ?? this.#storedSince(user));
    this.#open.set(user, { sent: this.rig.send(batch), batch });
  }

  /**
   * Ingest crashes, alone: its pollers send the same again. Or everything crashes, and pollers read their tokens from storage.
   * A commit in the making lands or does not.
   */
  async crash({ isAlone, hasLanded }: { isAlone: boolean; hasLanded: boolean }): Promise<void> {
    if (hasLanded) await this.rig.release();
    await this.rig.restart();
    await this.rig.release();
    for (const { sent } of this.#open.values()) if (sent.outcome === "waiting") sent.outcome = "actor_stopped";
    if (isAlone) return;
    this.#open.clear();
    this.#sinces.clear();
  }

  #storedSince(user: string): string | null {
    return [...this.rig.stores.db.devices.values()].find(({ userId }) => userId === user)?.since ?? null;
  }
}

async function run(world: Pollers, step: Step): Promise<void> {
  const { rig, hs } = world;
  switch (step.do) {
    case "act":
      return hs.act(step.action);
    case "send":
      return hs.sendToDevice(hs.users[step.user] ?? "");
    case "poll":
      world.poll(step.user);
      return rig.settle();
    case "fate":
      // What is refused again and again is poison, and another test's matter.
      rig.fates.push(step.fate, "ok");
      return;
    case "hold":
      return rig.hold();
    case "release":
      return rig.release();
    case "wait":
      return rig.time.advance(6_000);
    case "crash":
      return world.crash(step);
  }
}

test("[ING-40] outages, refusals, lost answers and crashes neither lose nor double anything", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const world = new Pollers();
      const { rig, hs } = world;
      for (let user = 0; user < POLLED; user++) hs.act({ do: "member", user, membership: "join" });
      for (const step of all) await run(world, step);
      rig.fates = [];
      await rig.release();
      await rig.time.advance(60_000);
      for (let round = 0; round < 2; round++) {
        for (let user = 0; user < POLLED; user++) world.poll(user);
        await rig.time.advance(60_000);
      }
      const { db } = rig.stores;
      expect([...db.eventsById.keys()].sort()).toEqual(hs.events.map(({ id }) => id as string).sort());
      for (const user of hs.users.slice(0, POLLED)) {
        const ids = db.toDevice
          .filter(({ userId }) => userId === user)
          .map(({ json }) => (JSON.parse(new TextDecoder().decode(json)) as { id: number }).id);
        expect(ids).toEqual(hs.toDeviceOf(user));
      }
      const told = rig.delivered.map(({ updates }) => [updates.fromPos, updates.toPos]);
      expect(told).toEqual(told.toSorted(([a = 0], [b = 0]) => a - b));
      const meta = [...db.rooms.values()].find(({ roomId }) => roomId === MODEL_ROOM);
      const joined = hs.users.filter((user) => hs.standing(user, hs.now).membership === "join");
      expect(meta?.joinedCount).toBe(joined.length);
    }),
    { numRuns: 100 },
  );
}, 60_000);
