import { afterAll, describe, expect, test } from "bun:test";
import { linkSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ALL_VARIABLES } from "#src/config/variables.ts";
import { DEBIAN_PACKAGES, debianPackages, systemProgram } from "#test/support/debian.ts";
import { debianRoot, machineProblem } from "#test/support/debian-machine.ts";
import { freePort } from "#test/support/ports.ts";

const ROOT = join(import.meta.dir, "../..");
const TOOLS = join(ROOT, ".tools");
mkdirSync(TOOLS, { recursive: true });
// Beside the archive of the root, which is linked into it.
const folder = mkdtempSync(join(TOOLS, "container-"));
const problem = (await machineProblem()) ?? (await debianPackages(DEBIAN_PACKAGES.images));
const composeProblem = await debianPackages(DEBIAN_PACKAGES.compose);

afterAll(() => rmSync(folder, { recursive: true, force: true }), 60_000);

describe.skipIf(problem !== null)(`the image${problem === null ? "" : ` (${problem})`}`, () => {
  test("[PKG-30] is built from the Dockerfile, runs as its own user on a read-only root, tells its health and ends when asked", async () => {
    linkSync(await debianRoot(), join(folder, "root.tar"));
    const port = await freePort();
    const check = Bun.spawn(["bash", "tools/container-check.sh"], {
      cwd: ROOT,
      stdout: "pipe",
      stderr: "pipe",
      env: {
        ...process.env,
        PATH: `${join(process.execPath, "..")}:${process.env["PATH"] ?? ""}`,
        CONTAINER_CHECK_DIR: folder,
        CONTAINER_CHECK_PORT: String(port),
      },
    });
    const [out, err] = await Promise.all([new Response(check.stdout).text(), new Response(check.stderr).text()]);
    if ((await check.exited) !== 0) throw new Error(`${out}\n${err}`);
    expect(out).toContain('"status":"ready"');
    expect(out).toContain("the container is sound");
  }, 400_000);
});

describe.skipIf(composeProblem !== null)(
  `compose files${composeProblem === null ? "" : ` (${composeProblem})`}`,
  () => {
    for (const files of [["compose"], ["embedded"], ["compose", "synapse"], ["compose", "dendrite"]]) {
      test(`[PKG-31] compose understands ${files.join(" with ")}, and Glissade every variable in it`, () => {
        const options = files.flatMap((name) => ["-f", `${name}.yaml`]);
        const { stdout, stderr, exitCode } = Bun.spawnSync({
          cmd: [systemProgram("docker-compose"), ...options, "config"],
          cwd: join(ROOT, "deploy/compose"),
          env: { PATH: "/usr/bin:/bin", SYNCV3_SERVER: "http://x", SYNCV3_SECRET: "s", POSTGRES_PASSWORD: "p" },
        });
        expect({ exitCode, err: stderr.toString() }).toMatchObject({ exitCode: 0 });
        const resolved = Bun.YAML.parse(stdout.toString()) as {
          services: Record<string, { environment?: Record<string, string>; image: string }>;
        };
        const names = Object.keys(resolved.services["glissade"]?.environment ?? {});
        const known = new Set<string>(ALL_VARIABLES.map(({ name }) => name));
        expect(names).toContain("SYNCV3_SERVER");
        expect(names.filter((name) => !known.has(name))).toEqual([]);
        for (const { image } of Object.values(resolved.services)) expect(image).toMatch(/^glissade$|:v?\d/);
      });
    }
  },
);
