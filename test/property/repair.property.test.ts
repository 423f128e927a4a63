import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { PollBatch, PolledRoom } from "#src/protocol/poll-batch.ts";
import { MODEL_ROOM, ModelHomeserver, type RoomAction } from "#test/support/ingest-homeserver.ts";
import { IngestWorld } from "#test/support/ingest-world.ts";
import { repairBatch, snapshotSection } from "#test/support/polls.ts";

const USERS = 8;
/** Users 0 to 2 have a device with us; user 0 never leaves. */
const POLLED = 3;
const RUNS = 400;

type Step =
  | { do: "act"; action: RoomAction }
  /** A poll of which something may be lost for good: everything, or all state events of its timeline or block. */
  | { do: "poll"; user: number; loses: "nothing" | "all" | "timeline" | "state" }
  | { do: "restart" };

const action: fc.Arbitrary<RoomAction> = fc.oneof(
  fc.record({ do: fc.constant("message" as const), user: fc.nat(USERS - 1) }),
  fc.record({ do: fc.constant("name" as const) }),
  fc.record({
    do: fc.constant("member" as const),
    user: fc.integer({ min: 1, max: USERS - 1 }),
    membership: fc.constantFrom("join", "leave", "ban", "invite"),
  }),
);

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant("act" as const), action }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("poll" as const),
        user: fc.nat(POLLED - 1),
        loses: fc.constantFrom("nothing", "nothing", "all", "timeline", "state"),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
  ),
  { maxLength: 50 },
);

function damage(batch: PollBatch, loses: Extract<Step, { do: "poll" }>["loses"]): PollBatch {
  if (loses === "nothing" || loses === "all") return loses === "all" ? { ...batch, rooms: [] } : batch;
  const rooms = batch.rooms.map((room): PolledRoom => {
    if (room.kind !== "join" && room.kind !== "leave") return room;
    const without = room[loses].filter((event) => event.stateKey === null);
    return { ...room, [loses]: without };
  });
  return { ...batch, rooms };
}

/** The one poll that tells of the ban skips the join before it. */
const BANNED_IN_A_GAP: Step[] = [
  { do: "act", action: { do: "member", user: 2, membership: "ban" } },
  { do: "act", action: { do: "message", user: 0 } },
];

describe("repairs", () => {
  test("[HEAL-14] whatever was lost on the way, after one comparison all is as the homeserver has it", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.integer({ min: 1, max: 6 }),
        steps,
        async (isStateAfter, timelineLimit, all) => {
          const hs = new ModelHomeserver(USERS, { isStateAfter, timelineLimit });
          const world = new IngestWorld();
          const user = (index: number): string => hs.users[index] ?? "";
          const sinces = new Map<string, string | null>();
          const poll = async (index: number, loses: Extract<Step, { do: "poll" }>["loses"]): Promise<void> => {
            const batch = hs.poll(user(index), sinces.get(user(index)) ?? null);
            sinces.set(user(index), batch.since);
            await world.apply(damage(batch, loses));
          };
          for (let index = 0; index < POLLED; index++) {
            hs.act({ do: "member", user: index, membership: "join" });
            await poll(index, "nothing");
          }
          for (const step of all) {
            if (step.do === "act") hs.act(step.action);
            else if (step.do === "restart") world.restart();
            else await poll(step.user, step.loses);
          }
          // As the repairs do it: read, then a whole poll of the reader, then what was read.
          const readAt = world.head;
          const state = hs.state(hs.now);
          await poll(0, "nothing");
          await world.apply(repairBatch(user(0), snapshotSection(MODEL_ROOM, [...state.values()], readAt)));
          const { nid, joinedCount, invitedCount } = world.meta(MODEL_ROOM);
          const rows = await world.stores.ingest.loadRoomState(nid);
          const ids = rows.map(({ type, stateKey, eventId }) => `${type}|${stateKey} ${eventId}`);
          expect(ids.toSorted()).toEqual([...state].map(([key, { id }]) => `${key} ${id}`).toSorted());
          const members = [...state.values()].filter(({ type }) => type === "m.room.member");
          const counted = (membership: string): number =>
            members.filter((event) => event.membership === membership).length;
          expect({ joinedCount, invitedCount }).toEqual({
            joinedCount: counted("join"),
            invitedCount: counted("invite"),
          });
          for (let index = 0; index < POLLED; index++) {
            const isJoined = hs.standing(user(index), hs.now).membership === "join";
            expect(world.findStanding(user(index), MODEL_ROOM)?.membership === "join").toBe(isJoined);
          }
        },
      ),
      { numRuns: RUNS, examples: [[true, 2, BANNED_IN_A_GAP]] },
    );
  }, 120_000);
});
