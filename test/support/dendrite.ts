import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.ts";
import { SynapseUser, whenAnswering } from "./synapse.ts";
import type { Synapse } from "./synapse.ts";

const DENDRITE_VERSION = "0.15.2";
const MODULE = "github.com/element-hq/dendrite";
const HOME = join(import.meta.dir, `../../.tools/dendrite-${DENDRITE_VERSION}`);
const PROGRAMS = ["dendrite", "generate-config", "generate-keys"];
/** Compiling takes minutes, and its tests are worth them only now and then. */
const WISH = "GLISSADE_TEST_DENDRITE";

async function run(command: string[], cwd: string): Promise<string> {
  const child = Bun.spawn(command, { cwd, stdout: "pipe", stderr: "pipe", env: { ...process.env, CGO_ENABLED: "1" } });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed: ${err}`);
  return out;
}

/** Why there can be no Dendrite here; null when there can. */
export function dendriteProblem(): string | null {
  if (existsSync(HOME)) return null;
  if (process.env[WISH] !== "1") return `compiling Dendrite takes minutes: set ${WISH}=1 once`;
  return Bun.which("go") === null ? "go is not installed" : null;
}

/** From the module proxy of Go, into the checkout's tool folder. */
async function install(): Promise<void> {
  if (existsSync(HOME)) return;
  const workshop = await mkdtemp(join(tmpdir(), "glissade-dendrite-build-"));
  try {
    const told = await run(["go", "mod", "download", "-json", `${MODULE}@v${DENDRITE_VERSION}`], workshop);
    const { Dir } = JSON.parse(told) as { Dir: string };
    await cp(Dir, join(workshop, "source"), { recursive: true });
    await run(["chmod", "-R", "u+w", "source"], workshop);
    await mkdir(join(workshop, "programs"));
    const packages = PROGRAMS.map((name) => `./cmd/${name}`);
    await run(["go", "build", "-buildvcs=false", "-o", "../programs/", ...packages], join(workshop, "source"));
    await mkdir(join(HOME, ".."), { recursive: true });
    await rename(join(workshop, "programs"), HOME);
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

/** Starts a Dendrite of its own with SQLite on a free port of the loopback interface. */
export async function startDendrite(): Promise<Synapse> {
  await install();
  const dir = await mkdtemp(join(tmpdir(), "glissade-dendrite-"));
  await run([join(HOME, "generate-keys"), "--private-key", "matrix_key.pem"], dir);
  // Its own settings for tests: registration, no rate limits, passwords that are hashed quickly.
  const config = await run([join(HOME, "generate-config"), "-ci", "-server", "localhost", "-dir", dir], dir);
  await writeFile(join(dir, "dendrite.yaml"), config.replace("level: trace", "level: warning"));
  const port = await freePort();
  const child = Bun.spawn(
    [
      join(HOME, "dendrite"),
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
