import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres, type TestPostgres } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { SimplifiedSdkClient } from "#test/support/simplified-sdk-client.ts";
import { startSynapse, type Synapse, type SynapseUser, synapseProblem } from "#test/support/synapse.ts";
import * as life from "./sdk-life.ts";

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
      let synapse: Synapse;
      let postgres: TestPostgres | null = null;
      let dataDir: string;
      let glissade: GlissadeProcess;
      let now: life.Life<SimplifiedSdkClient>;
      let early: string;

      beforeAll(async () => {
        // Its own simplified sliding sync is switched off: what answers is Glissade.
        synapse = await startSynapse({
          stateAfter: database === "PostgreSQL",
          features: { msc3575_enabled: false, msc4354_enabled: true },
        });
        dataDir = await mkdtemp(join(tmpdir(), "glissade-data-"));
        const settled = await life.settleDown(synapse);
        early = await stick(settled.bobUser, settled.rooms[0]);
        // Its room is the last of all again, of which the SDK hears before it has it.
        for (const roomId of [...settled.rooms.slice(1), settled.secretRoom])
          await settled.aliceUser.say(roomId, `second in ${roomId}`);
        const env: Record<string, string> = { SYNCV3_SERVER: synapse.url, SYNCV3_DATA: dataDir, SYNCV3_FORWARD: "1" };
        if (database === "PostgreSQL") {
          postgres = await startPostgres();
          env["SYNCV3_DB"] = await postgres.createDatabase();
          env["SYNCV3_SECRET"] = "a secret for tests";
        }
        glissade = await GlissadeProcess.create(env);
        await glissade.start();
        const favourites = { ...life.lifeList(5), filters: { tags: ["m.favourite"] } };
        const alice = new SimplifiedSdkClient(
          settled.aliceUser,
          glissade.url,
          new Map([
            ["all", life.lifeList(9)],
            ["favourites", favourites],
          ]),
        );
        const bob = new SimplifiedSdkClient(settled.bobUser, glissade.url, new Map([["all", life.lifeList(40)]]));
        now = { ...settled, glissade, alice, bob, isOrigin: true };
        await Promise.all([alice.start(), bob.start()]);
      }, STEP_MS * 2);

      afterAll(async () => {
        now?.alice.stop();
        now?.bob.stop();
        await glissade?.kill();
        await synapse?.stop();
        await postgres?.stop();
        if (dataDir !== undefined) await rm(dataDir, { recursive: true, force: true });
      }, STEP_MS);

      test("[SDK-1] a 30-room list comes in recency order, and its window grows", () => life.seesTheList(now), STEP_MS);
      test(
        "[SDK-2] a live message moves its room to the top and arrives once",
        () => life.hearsLiveMessages(now),
        STEP_MS,
      );
      test("[SDK-3] a subscription brings the timeline and all state of a room", () => life.opensARoom(now), STEP_MS);
      test("[SDK-4] tags arrive and put a room on the filtered list", () => life.tagsARoom(now), STEP_MS);
      test("[SDK-5] typing, a receipt and account data arrive", () => life.hearsWhatPasses(now), STEP_MS);
      test("[SDK-6] an invite comes, and goes when it is rejected", () => life.rejectsAnInvite(now), STEP_MS);
      test("[SDK-7] a room that is left leaves the list", () => life.leavesARoom(now), STEP_MS);
      test(
        "[SDK-8] encrypted messages are read both ways, in order, across a kill",
        () => life.speaksInSecret(now),
        STEP_MS,
      );
      test(
        "[SDK-10] sticky events arrive once, before and after a kill, those of rooms that the SDK did not know when they were told included",
        async () => {
          const { alice, bobUser, rooms } = now;
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
