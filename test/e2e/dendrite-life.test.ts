import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { temporaryDirectory } from "#test/support/database.ts";
import { dendriteProblem, startDendrite } from "#test/support/dendrite.ts";
import { SimplifiedSdkClient } from "#test/support/simplified-sdk-client.ts";
import * as life from "./sdk-life.ts";
import { liveSimplified } from "./simplified-steps.ts";

const STEP_MS = 240_000;
const problem = dendriteProblem();

describe.skipIf(problem !== null)(
  `two matrix-js-sdk users of simplified sliding sync on Dendrite${problem === null ? "" : ` (${problem})`}`,
  () => {
    const cleanup = new AsyncDisposableStack();
    let now: life.Life<SimplifiedSdkClient>;

    beforeAll(async () => {
      const dendrite = await startDendrite();
      cleanup.defer(() => dendrite.stop());
      const plan: life.LifePlan<SimplifiedSdkClient> = {
        database: "PGlite",
        env: { SYNCV3_FORWARD: "1" },
        isOrigin: true,
        client: (...as) => new SimplifiedSdkClient(...as),
      };
      now = await life.beginLife(dendrite, plan, cleanup);
    }, STEP_MS * 5);
    afterAll(() => cleanup.disposeAsync(), STEP_MS);

    liveSimplified(() => now, STEP_MS);
    test("[SDK-9] the server's output holds no token and no message", () => life.keptQuiet(now));

    test(
      "[PKG-21] the doctor finds nothing to mend with Dendrite, and an account of it syncs in every dialect",
      async () => {
        const { glissade, synapse: dendrite } = now;
        const { accessToken } = await dendrite.register("patient");
        const file = join(cleanup.use(await temporaryDirectory()).path, "token");
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
      const { glissade, synapse: dendrite } = now;
      expect(await features(dendrite.url)).not.toHaveProperty(["org.matrix.simplified_msc3575"]);
      expect(await features(glissade.url)).toHaveProperty(["org.matrix.simplified_msc3575"], true);
    });
  },
);
