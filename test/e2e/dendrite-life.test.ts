import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dendriteProblem, startDendrite } from "#test/support/dendrite.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { SimplifiedSdkClient } from "#test/support/simplified-sdk-client.ts";
import type { Synapse } from "#test/support/synapse.ts";
import * as life from "./sdk-life.ts";

const STEP_MS = 240_000;
const problem = dendriteProblem();

describe.skipIf(problem !== null)(
  `two matrix-js-sdk users of simplified sliding sync on Dendrite${problem === null ? "" : ` (${problem})`}`,
  () => {
    let dendrite: Synapse;
    let dataDir: string;
    let glissade: GlissadeProcess;
    let now: life.Life<SimplifiedSdkClient>;

    beforeAll(async () => {
      dendrite = await startDendrite();
      dataDir = await mkdtemp(join(tmpdir(), "glissade-data-"));
      const settled = await life.settleDown(dendrite);
      glissade = await GlissadeProcess.create({
        SYNCV3_SERVER: dendrite.url,
        SYNCV3_DATA: dataDir,
        SYNCV3_FORWARD: "1",
      });
      await glissade.start();
      const favourites = { ...life.lifeList(5), filters: { tags: ["m.favourite"] } };
      const lists = new Map([
        ["all", life.lifeList(9)],
        ["favourites", favourites],
      ]);
      const alice = new SimplifiedSdkClient(settled.aliceUser, glissade.url, lists);
      const bob = new SimplifiedSdkClient(settled.bobUser, glissade.url, new Map([["all", life.lifeList(40)]]));
      now = { ...settled, glissade, alice, bob, isOrigin: true };
      await Promise.all([alice.start(), bob.start()]);
    }, STEP_MS * 5);

    afterAll(async () => {
      now?.alice.stop();
      now?.bob.stop();
      await glissade?.kill();
      await dendrite?.stop();
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
    test("[SDK-9] the server's output holds no token and no message", () => life.keptQuiet(now));

    test(
      "[PKG-21] the doctor finds nothing to mend with Dendrite, and an account of it syncs in every dialect",
      async () => {
        const { accessToken } = await dendrite.register("patient");
        const file = join(dataDir, "token");
        await Bun.write(file, accessToken);
        const { out } = await glissade.command("doctor", glissade.url, "--quick", "--json", "--token-file", file);
        const { findings } = JSON.parse(out) as { findings: { check: string; level: string; text: string }[] };
        // Between the two there is no TLS in a test.
        expect(
          findings.filter(({ level, check }) => level !== "ok" && check !== "tls" && check !== "long-polls"),
        ).toEqual([]);
        const of = (check: string): string | undefined => findings.find((finding) => finding.check === check)?.text;
        expect(of("homeserver")).toStartWith("Dendrite ");
        expect(of("account")).toContain("syncs in every dialect");
      },
      STEP_MS,
    );

    test("[PKG-20] clients that ask Dendrite's address for sliding sync find Glissade's", async () => {
      const features = async (base: string): Promise<unknown> =>
        ((await (await fetch(`${base}/_matrix/client/versions`)).json()) as Record<string, unknown>)[
          "unstable_features"
        ];
      expect(await features(dendrite.url)).not.toHaveProperty(["org.matrix.simplified_msc3575"]);
      expect(await features(glissade.url)).toHaveProperty(["org.matrix.simplified_msc3575"], true);
    });
  },
);
