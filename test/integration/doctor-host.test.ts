import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readConfig } from "#src/config.ts";
import type { Config } from "#src/config.ts";
import type { Finding } from "#src/doctor/finding.ts";
import { runDoctor } from "#src/hosts/doctor-host.ts";
import { temporaryDirectory, withPostgres } from "#test/support/database.ts";
import { FrontRig } from "#test/support/front-rig.ts";

const LIMIT_MS = 120_000;

function configOf(env: Record<string, string>): Config {
  const read = readConfig(env, () => "", 2);
  if ("problems" in read) throw new Error(JSON.stringify(read.problems));
  return read.config;
}

const examined = async (config: Config, check: Finding["check"]): Promise<Finding[]> => {
  const { findings } = await runDoctor({
    target: null,
    token: null,
    extraCa: null,
    addresses: new Map(),
    proxy: null,
    isQuick: true,
    config,
  });
  return findings.filter((finding) => finding.check === check);
};

describe("a doctor beside the server", () => {
  let rig: FrontRig;
  let env: Record<string, string>;
  beforeAll(async () => {
    rig = await FrontRig.start();
    env = {
      SYNCV3_SERVER: rig.node.homeserver.url,
      SYNCV3_BINDADDR: new URL(rig.url).host,
      SYNCV3_SECRET: "a secret that nobody else has",
    };
  }, LIMIT_MS);
  afterAll(() => rig.stop());

  test(
    "[DCT-78] looks at PostgreSQL, and says when it is not there",
    async () => {
      const database = await (await withPostgres()).createDatabase();
      const [found] = await examined(configOf({ ...env, SYNCV3_DB: database }), "database");
      // The server of the tests may do without fsync; it is told of then.
      if (found?.level === "ok") expect(found.text).toMatch(/^PostgreSQL \d+\.\d+, UTF8, \d+ MiB, .* free$/);
      else expect(found?.text).toContain("fsync");
      const away = configOf({ ...env, SYNCV3_DB: "postgres://nobody@127.0.0.1:1/nothing" });
      expect(await examined(away, "database")).toMatchObject([
        { level: "fail", text: expect.stringContaining("cannot be reached") },
      ]);
    },
    LIMIT_MS,
  );

  test(
    "[DCT-79] looks at the embedded database's directory and at the homeserver itself",
    async () => {
      await using dir = await temporaryDirectory();
      const config = configOf({ ...env, SYNCV3_DATA: dir.path });
      expect(await examined(config, "database")).toMatchObject([
        { level: "ok", text: expect.stringContaining(`embedded, in ${dir.path}`) },
      ]);
      expect(await examined(config, "homeserver")).toMatchObject([{ level: "ok" }]);
      const loop = configOf({ ...env, SYNCV3_DATA: dir.path, SYNCV3_SERVER: rig.url });
      expect(await examined(loop, "homeserver")).toMatchObject([
        { level: "fail", text: "SYNCV3_SERVER leads back to Glissade" },
      ]);
    },
    LIMIT_MS,
  );
});
