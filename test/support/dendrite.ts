import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GoPrograms, goProgramsProblem, installGoPrograms, runGoProgram } from "./go-programs.ts";
import { freePort } from "./ports.ts";
import { SynapseUser, whenAnswering } from "./synapse.ts";
import type { Synapse } from "./synapse.ts";

const DENDRITE: GoPrograms = {
  module: "github.com/element-hq/dendrite",
  version: "v0.15.2",
  packages: ["./cmd/dendrite", "./cmd/generate-config", "./cmd/generate-keys"],
  name: "dendrite",
  wish: "GLISSADE_TEST_DENDRITE",
  needsC: true,
};

/** Why there can be no Dendrite here; null when there can. */
export const dendriteProblem = (): string | null => goProgramsProblem(DENDRITE);

/** Starts a Dendrite of its own with SQLite on a free port of the loopback interface. */
export async function startDendrite(): Promise<Synapse> {
  const home = await installGoPrograms(DENDRITE);
  const dir = await mkdtemp(join(tmpdir(), "glissade-dendrite-"));
  await runGoProgram([join(home, "generate-keys"), "--private-key", "matrix_key.pem"], dir);
  // Its own settings for tests: registration, no rate limits, passwords that are hashed quickly.
  const config = await runGoProgram([join(home, "generate-config"), "-ci", "-server", "localhost", "-dir", dir], dir);
  await writeFile(join(dir, "dendrite.yaml"), config.replace("level: trace", "level: warning"));
  const port = await freePort();
  const child = Bun.spawn(
    [
      join(home, "dendrite"),
      "--really-enable-open-registration",
      `--http-bind-address=127.0.0.1:${port}`,
      "--config=dendrite.yaml",
    ],
    { cwd: dir, stdout: Bun.file(join(dir, "out")), stderr: Bun.file(join(dir, "out")) },
  );
  const url = `http://127.0.0.1:${port}`;
  try {
    await whenAnswering(url, child);
  } catch (error) {
    throw new Error(await readFile(join(dir, "out"), "utf8"), { cause: error });
  }
  return {
    url,
    pid: child.pid,
    register: (localpart) => SynapseUser.register(url, localpart),
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
