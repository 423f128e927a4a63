import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SimplifiedSdkClient } from "#test/support/simplified-sdk-client.ts";
import { startSynapse, type SynapseUser, synapseProblem } from "#test/support/synapse.ts";
import * as life from "./sdk-life.ts";
import { liveSimplified } from "./simplified-steps.ts";

const STEP_MS = 240_000;
const problem = synapseProblem();

/** Sends an event that is sticky for an hour; its id. */
async function stick(user: SynapseUser, roomId = ""): Promise<string> {
  const path = `/rooms/${encodeURIComponent(roomId)}/send/org.example.sticky/${crypto.randomUUID()}`;
  const sent = await user.call<{ event_id: string }>(
    "PUT",
    `${path}?org.matrix.msc4354.sticky_duration_ms=3600000`,
    {},
  );
  return sent.event_id;
}

for (const database of ["PGlite", "PostgreSQL"] as const) {
  describe.skipIf(problem !== null)(
    `two matrix-js-sdk users of simplified sliding sync on Synapse, ${database}${problem === null ? "" : ` (${problem})`}`,
    () => {
      const cleanup = new AsyncDisposableStack();
      let now: life.Life<SimplifiedSdkClient>;
      let early: string;

      beforeAll(async () => {
        // Its own simplified sliding sync is switched off: what answers is Glissade.
        const synapse = await startSynapse({
          stateAfter: database === "PostgreSQL",
          features: { msc3575_enabled: false, msc4354_enabled: true },
        });
        cleanup.defer(() => synapse.stop());
        const plan: life.LifePlan<SimplifiedSdkClient> = {
          database,
          env: { SYNCV3_FORWARD: "1" },
          isOrigin: true,
          client: (...as) => new SimplifiedSdkClient(...as),
          before: async ({ aliceUser, bobUser, rooms, secretRoom }) => {
            early = await stick(bobUser, rooms[0]);
            // Its room is the last of all again, of which the SDK hears before it has it.
            for (const roomId of [...rooms.slice(1), secretRoom]) await aliceUser.say(roomId, `second in ${roomId}`);
          },
        };
        now = await life.beginLife(synapse, plan, cleanup);
      }, STEP_MS * 2);
      afterAll(() => cleanup.disposeAsync(), STEP_MS);

      liveSimplified(() => now, STEP_MS);

      test(
        "[SDK-10] sticky events arrive once, before and after a kill, those of rooms that the SDK did not know when they were told included",
        async () => {
          const { alice, bobUser, rooms, glissade } = now;
          await alice.until("what stuck early", () => alice.stickyIds(rooms[0] ?? "").includes(early));
          const ids = [early];
          for (const roomId of [rooms[0], rooms[5]]) {
            const eventId = await stick(bobUser, roomId);
            await alice.until("what sticks live", () => alice.stickyIds(roomId ?? "").includes(eventId));
            if (roomId === rooms[0]) ids.push(eventId);
          }
          await glissade.kill();
          await glissade.start();
          const later = await stick(bobUser, rooms[0]);
          await alice.until("what sticks later", () => alice.stickyIds(rooms[0] ?? "").includes(later));
          expect(alice.stickyIds(rooms[0] ?? "")).toEqual([...ids, later]);
        },
        STEP_MS,
      );
      test("[SDK-9] the server's output holds no token and no message", () => life.keptQuiet(now));
    },
  );
}
