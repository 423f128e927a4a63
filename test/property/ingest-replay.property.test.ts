import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MEMBERSHIPS } from "#src/protocol/events.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import { HERO_LIMIT } from "#src/protocol/room-meta.ts";
import { MODEL_ROOM, ModelHomeserver, type RoomAction } from "#test/support/ingest-homeserver.ts";
import { IngestWorld } from "#test/support/ingest-world.ts";

const USERS = 10;
/** Users 0 to 3 have a device with us; user 0 never leaves. */
const POLLED = 4;

type Step =
  | { do: "act"; action: RoomAction }
  | { do: "send"; user: number }
  /** The homeserver answers; the answer is on its way. */
  | { do: "poll"; user: number }
  /** Answers on their way are stored as one group. The poller may not hear of it, and then reads its token back. */
  | { do: "store"; count: number; fate: "answered" | "lost-after-commit" | "lost-before-commit" }
  | { do: "restart" };

const other = fc.integer({ min: POLLED, max: USERS - 1 });
const polled = fc.integer({ min: 0, max: POLLED - 1 });

const actions = (movable: fc.Arbitrary<number>): fc.Arbitrary<RoomAction> =>
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant("message" as const), user: fc.integer({ min: 0, max: USERS - 1 }) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("name" as const) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("member" as const),
        user: movable,
        membership: fc.constantFrom(...MEMBERSHIPS.filter((membership) => membership !== "knock")),
      }),
    },
  );

const steps = (movable: fc.Arbitrary<number>): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant("act" as const), action: actions(movable) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("send" as const), user: polled }) },
      { weight: 5, arbitrary: fc.record({ do: fc.constant("poll" as const), user: polled }) },
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constant("store" as const),
          count: fc.integer({ min: 1, max: POLLED }),
          fate: fc.constantFrom("answered", "answered", "lost-after-commit", "lost-before-commit"),
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
    ),
    { maxLength: 60 },
  );

/** Pollers, the wire and ingest around a model homeserver. */
class Schedule {
  readonly world = new IngestWorld();
  readonly hs: ModelHomeserver;
  /** Tokens pollers hold in memory; absent = read from storage. */
  readonly #sinces = new Map<string, string | null>();
  #wire: PollBatch[] = [];

  constructor(options: { isStateAfter: boolean; timelineLimit: number }) {
    this.hs = new ModelHomeserver(USERS, options);
  }

  user(index: number): string {
    return this.hs.users[index] ?? "";
  }

  async start(): Promise<void> {
    for (let user = 0; user < POLLED; user++) this.hs.act({ do: "member", user, membership: "join" });
    for (let user = 0; user < POLLED; user++) {
      this.poll(user);
      await this.store(1, "answered");
    }
  }

  poll(index: number): void {
    const user = this.user(index);
    // One request of a poller at a time.
    if (this.#wire.some((batch) => batch.userId === user)) return;
    this.#wire.push(this.hs.poll(user, this.#sinces.get(user) ?? this.#storedSince(user)));
  }

  async store(count: number, fate: "answered" | "lost-after-commit" | "lost-before-commit"): Promise<void> {
    const group = this.#wire.splice(0, count);
    if (group.length === 0) return;
    for (const { userId } of group) this.#sinces.delete(userId);
    if (fate === "lost-before-commit") return;
    await this.world.apply(...group);
    if (fate === "answered") for (const { userId, since } of group) this.#sinces.set(userId, since);
  }

  async run(all: readonly Step[], isPrompt: boolean): Promise<void> {
    await this.start();
    for (const step of all) {
      if (step.do === "act") {
        // Answers do not lag behind what happens next.
        if (isPrompt) await this.store(POLLED, "answered");
        this.hs.act(step.action);
      } else if (step.do === "send") this.hs.sendToDevice(this.user(step.user));
      else if (step.do === "poll") this.poll(step.user);
      else if (step.do === "store") await this.store(step.count, step.fate);
      else {
        this.world.restart();
        this.#sinces.clear();
      }
    }
    await this.store(POLLED, "answered");
    for (let user = 0; user < POLLED; user++) this.poll(user);
    await this.store(POLLED, "answered");
  }

  #storedSince(user: string): string | null {
    return [...this.world.stores.db.devices.values()].find(({ userId }) => userId === user)?.since ?? null;
  }
}

/** What must hold of the stored world, computed naively from what survived. */
function checkWorld({ world, hs }: Schedule): void {
  const { db } = world.stores;
  const expected = hs.state(hs.now);
  const rows = [...db.state.values()];
  expect(new Map(rows.map((row) => [`${row.type}|${row.stateKey}`, row.eventId]))).toEqual(
    new Map([...expected].map(([key, event]) => [key, event.id as string])),
  );
  const meta = world.meta(MODEL_ROOM);
  const members = rows.filter(({ type }) => type === "m.room.member").sort((a, b) => a.pos - b.pos);
  const active = members.filter(({ membership }) => membership === "join" || membership === "invite");
  expect(meta.joinedCount).toBe(active.filter(({ membership }) => membership === "join").length);
  expect(meta.invitedCount).toBe(active.filter(({ membership }) => membership === "invite").length);
  const heroes = meta.heroes.filter(({ membership }) => membership === "join" || membership === "invite");
  expect(heroes.map(({ userId, displayName }) => [userId, displayName])).toEqual(
    active.slice(0, HERO_LIMIT).map(({ stateKey, eventId }) => {
      const content = JSON.parse(new TextDecoder().decode(world.event(eventId).json)).content as {
        displayname?: string;
      };
      return [stateKey, content.displayname ?? null];
    }),
  );
  const name = expected.get("m.room.name|");
  expect(meta.name).toBe(name === undefined ? null : `name ${name.id.slice(1)}`);
  const last = [...db.events.values()]
    .filter(({ inTimeline }) => inTimeline)
    .sort((a, b) => a.pos - b.pos)
    .at(-1);
  expect(meta.latestPos).toBe(last?.pos ?? -1);
  for (let index = 0; index < POLLED; index++) checkUser(world, hs, hs.users[index] ?? "");
}

function checkUser(world: IngestWorld, hs: ModelHomeserver, user: string): void {
  const { db } = world.stores;
  const { membership } = hs.standing(user, hs.now);
  const standing = world.standing(user, MODEL_ROOM);
  expect([user, standing.membership]).toEqual([user, membership ?? "leave"]);
  if (membership === "join") expect(standing.leftPos).toBeNull();
  else if (standing.joinPos > 0) expect(standing.leftPos).toBeGreaterThanOrEqual(standing.joinPos);
  const ids = db.toDevice
    .filter(({ userId }) => userId === user)
    .map(({ json }) => (JSON.parse(new TextDecoder().decode(json)) as { id: number }).id);
  expect(ids).toEqual(hs.toDeviceOf(user));
}

describe("ingest", () => {
  for (const isStateAfter of [false, true]) {
    const mode = isStateAfter ? "state_after" : "classic state";

    test(`[POL-26] any lag, grouping, loss and restart gives the homeserver's state and all its events (${mode})`, async () => {
      await fc.assert(
        fc.asyncProperty(steps(other), async (all) => {
          const schedule = new Schedule({ isStateAfter, timelineLimit: 1000 });
          await schedule.run(all, false);
          checkWorld(schedule);
          const stored = [...schedule.world.stores.db.eventsById.keys()].sort();
          expect(stored).toEqual(schedule.hs.events.map(({ id }) => id as string).sort());
        }),
        { numRuns: 150 },
      );
    }, 240_000);

    test(`[POL-27] gaps, rejoins, kicks and invites give the homeserver's state (${mode})`, async () => {
      await fc.assert(
        fc.asyncProperty(
          steps(fc.integer({ min: 1, max: USERS - 1 })),
          fc.integer({ min: 1, max: 5 }),
          async (all, timelineLimit) => {
            const schedule = new Schedule({ isStateAfter, timelineLimit });
            await schedule.run(all, true);
            checkWorld(schedule);
          },
        ),
        { numRuns: 150 },
      );
    }, 240_000);
  }
});
