import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEBIAN_PACKAGES, debianPackages } from "#test/support/debian.ts";
import { machineProblem } from "#test/support/debian-machine.ts";
import { ROOT, buildExecutable, makeAssets, version } from "../../tools/executable.ts";
import { smokeTest } from "../../tools/foreign-root.ts";
import { TARGETS } from "../../tools/targets.ts";

const problem = (await machineProblem()) ?? (await debianPackages(DEBIAN_PACKAGES.releases));
const folder = mkdtempSync(join(tmpdir(), "glissade-packages-"));
const release = join(folder, "release");
const LIMIT_MS = 400_000;

interface Ended {
  code: number | null;
  text: string;
}

function run(cmd: string[]): Ended {
  const { exitCode, stdout, stderr } = Bun.spawnSync({
    cmd,
    cwd: ROOT,
    stdin: "ignore",
  });
  return { code: exitCode, text: `${stdout.toString()}${stderr.toString()}` };
}

afterAll(() => rmSync(folder, { recursive: true, force: true }), 60_000);

describe.skipIf(problem !== null)(`releases${problem === null ? "" : ` (${problem})`}`, () => {
  let built: Ended;
  const names = [
    `glissade-${version()}-linux-x64.tar.gz`,
    `glissade_${version()}_amd64.deb`,
    `glissade-${version()}.cdx.json`,
  ];

  beforeAll(() => {
    built = run([process.execPath, "tools/release.ts", "--dirty", "--fast", "--target=linux-x64", `--out=${release}`]);
    if (built.code !== 0) throw new Error(built.text);
  }, LIMIT_MS);

  test(
    "[PKG-1] every target's executable passes its smoke test before it is packed",
    async () => {
      expect(built.text).toContain("smoke test passed");
      const workshop = join(folder, "workshop");
      mkdirSync(workshop);
      makeAssets(workshop);
      for (const target of TARGETS.filter(({ name }) => name !== "linux-x64")) {
        const executable = join(workshop, target.name, "glissade");
        buildExecutable({ outfile: executable, target: target.bun, workshop });
        await smokeTest(target, executable, join(folder, `root-${target.name}`));
      }
    },
    LIMIT_MS,
  );

  test("[PKG-2] a release is an archive and a package for each target, a bill of materials, and their sums", () => {
    expect(readdirSync(release).toSorted()).toEqual(["SHA256SUMS", ...names].toSorted());
    const lines = readFileSync(join(release, "SHA256SUMS"), "utf8").trim().split("\n");
    expect(lines.map((line) => line.slice(66)).toSorted()).toEqual(names.toSorted());
    for (const line of lines) {
      const hash = createHash("sha256").update(readFileSync(join(release, line.slice(66))));
      expect(hash.digest("hex")).toBe(line.slice(0, 64));
    }
  });

  test("[PKG-3] an archive holds the executable, the licence and the licences of what is inside", () => {
    const listed = run(["tar", "-tzf", join(release, `glissade-${version()}-linux-x64.tar.gz`)])
      .text.trim()
      .split("\n");
    const top = `glissade-${version()}/`;
    expect(listed).toEqual([top, `${top}LICENSE`, `${top}THIRD-PARTY-LICENSES.txt`, `${top}glissade`]);
  });

  test(
    "[PKG-4] the same sources make the same bytes in another checkout",
    () => {
      const other = join(folder, "elsewhere");
      const files = run(["git", "ls-files", "-co", "--exclude-standard"]).text.trim().split("\n");
      run(["mkdir", "-p", other]);
      Bun.spawnSync({ cmd: ["cp", "--parents", "-t", other, ...files], cwd: ROOT });
      run(["cp", "-al", realpathSync(join(ROOT, "node_modules")), join(other, "node_modules")]);
      const epoch = run(["git", "log", "-1", "--format=%ct"]).text.trim();
      const commit = run(["git", "rev-parse", "--short=7", "HEAD"]).text.trim();
      const again = Bun.spawnSync({
        cmd: [
          process.execPath,
          "tools/release.ts",
          "--dirty",
          "--fast",
          "--untested",
          "--target=linux-x64",
          "--out=again",
        ],
        cwd: other,
        env: { ...process.env, SOURCE_DATE_EPOCH: epoch, GLISSADE_COMMIT: commit },
      });
      expect(again.exitCode).toBe(0);
      expect(readFileSync(join(other, "again/SHA256SUMS"), "utf8")).toBe(
        readFileSync(join(release, "SHA256SUMS"), "utf8"),
      );
      rmSync(other, { recursive: true });
    },
    LIMIT_MS,
  );
});
