import { afterAll, beforeAll, describe, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres, type TestPostgres } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { SdkClient } from "#test/support/sdk-client.ts";
import { startSynapse, type Synapse, synapseProblem } from "#test/support/synapse.ts";
import * as life from "./sdk-life.ts";

const STEP_MS = 240_000;
const problem = synapseProblem();

for (const database of ["PGlite", "PostgreSQL"] as const) {
  describe.skipIf(problem !== null)(
    `two matrix-js-sdk users on Synapse, ${database}${problem === null ? "" : ` (${problem})`}`,
    () => {
      let synapse: Synapse;
      let postgres: TestPostgres | null = null;
      let dataDir: string;
      let glissade: GlissadeProcess;
      let now: life.Life<SdkClient>;

      beforeAll(async () => {
        synapse = await startSynapse({ stateAfter: database === "PostgreSQL" });
        dataDir = await mkdtemp(join(tmpdir(), "glissade-data-"));
        const settled = await life.settleDown(synapse);
        const env: Record<string, string> = { SYNCV3_SERVER: synapse.url, SYNCV3_DATA: dataDir };
        if (database === "PostgreSQL") {
          postgres = await startPostgres();
          env["SYNCV3_DB"] = await postgres.createDatabase();
          env["SYNCV3_SECRET"] = "a secret for tests";
        }
        glissade = await GlissadeProcess.create(env);
        await glissade.start();
        const all = { ...life.lifeList(9), sort: ["by_recency"] };
        const favourites = { ...life.lifeList(5), sort: ["by_recency"], filters: { tags: ["m.favourite"] } };
        const everything = { ...life.lifeList(40), sort: ["by_recency"] };
        const alice = new SdkClient(
          settled.aliceUser,
          glissade.url,
          new Map([
            ["all", all],
            ["favourites", favourites],
          ]),
        );
        const bob = new SdkClient(settled.bobUser, glissade.url, new Map([["all", everything]]));
        now = { ...settled, glissade, alice, bob, isOrigin: false };
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

      test(
        "[E2E-LIST] a 30-room list comes in recency order, and its window grows",
        () => life.seesTheList(now),
        STEP_MS,
      );
      test(
        "[E2E-LIVE] a live message moves its room to the top and arrives once",
        () => life.hearsLiveMessages(now),
        STEP_MS,
      );
      test("[E2E-SUB] a subscription brings the timeline and all state of a room", () => life.opensARoom(now), STEP_MS);
      test("[E2E-TAG] tags arrive and put a room on the filtered list", () => life.tagsARoom(now), STEP_MS);
      test("[E2E-EDU] typing, a receipt and account data arrive", () => life.hearsWhatPasses(now), STEP_MS);
      test("[E2E-INVITE] an invite comes, and goes when it is rejected", () => life.rejectsAnInvite(now), STEP_MS);
      test("[E2E-LEAVE] a room that is left leaves the list", () => life.leavesARoom(now), STEP_MS);
      test(
        "[E2E-CRYPTO] encrypted messages are read both ways, in order, across a kill",
        () => life.speaksInSecret(now),
        STEP_MS,
      );
      test("[E2E-QUIET] the server's output holds no token and no message", () => life.keptQuiet(now));
    },
  );
}
