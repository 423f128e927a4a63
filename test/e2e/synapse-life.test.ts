import { afterAll, beforeAll, describe, test } from "bun:test";
import { SdkClient } from "#test/support/sdk-client.ts";
import { startSynapse, synapseProblem } from "#test/support/synapse.ts";
import * as life from "./sdk-life.ts";

const STEP_MS = 240_000;
const problem = synapseProblem();

for (const database of ["PGlite", "PostgreSQL"] as const) {
  describe.skipIf(problem !== null)(
    `two matrix-js-sdk users on Synapse, ${database}${problem === null ? "" : ` (${problem})`}`,
    () => {
      const cleanup = new AsyncDisposableStack();
      let now: life.Life<SdkClient>;

      beforeAll(async () => {
        const synapse = await startSynapse({ stateAfter: database === "PostgreSQL" });
        cleanup.defer(() => synapse.stop());
        const client: life.LifePlan<SdkClient>["client"] = (...as) => new SdkClient(...as);
        now = await life.beginLife(synapse, { database, isOrigin: false, sort: ["by_recency"], client }, cleanup);
      }, STEP_MS * 2);
      afterAll(() => cleanup.disposeAsync(), STEP_MS);

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
