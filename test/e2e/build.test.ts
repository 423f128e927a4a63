import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const directory = mkdtempSync(join(tmpdir(), "glissade-build-"));
const executable = join(directory, "glissade");

type Ending = { code: number | null; out: string; err: string };

function run(cmd: readonly string[], cwd: string, env: Record<string, string | undefined> = {}): Ending {
  const { exitCode, stdout, stderr } = Bun.spawnSync({
    cmd: [...cmd],
    cwd,
    env: { PATH: process.env["PATH"], HOME: directory, ...env },
    stdin: "ignore",
    timeout: 280_000,
  });
  return { code: exitCode, out: stdout.toString(), err: stderr.toString() };
}

function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  return manifest.version;
}

beforeAll(() => {
  const built = run([process.execPath, "tools/build.ts", "--outfile", executable, "--no-smoke-test"], ROOT, {
    GLISSADE_COMMIT: "abc1234",
  });
  if (built.code !== 0) throw new Error(`the build failed: ${built.out}${built.err}`);
}, 300_000);

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe("the executable", () => {
  test("[BUILD-1] starts every part of itself from nothing but its own file", () => {
    const empty = join(directory, "empty");
    mkdirSync(empty);
    const { code, err } = run([executable, "--smoke-test"], empty, { PATH: "/nowhere" });
    expect({ code, err }).toMatchObject({ code: 0 });
  }, 300_000);

  test("[BUILD-2] says the version of package.json and the commit it was built of", () => {
    expect(run([executable, "--version"], directory).out.trim()).toBe(`glissade ${packageVersion()} (abc1234)`);
  });

  test("[BUILD-3] obeys no bunfig.toml and no .env of the directory it is started in", () => {
    const hostile = join(directory, "hostile");
    mkdirSync(hostile);
    writeFileSync(join(hostile, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
    writeFileSync(join(hostile, "preload.ts"), 'console.log("preload ran");\n');
    writeFileSync(join(hostile, ".env"), "SYNCV3_SERVER=https://elsewhere.test\n");
    expect(run([executable, "--version"], hostile).out).not.toContain("preload ran");
    const { code, out, err } = run([executable, "config", "check"], hostile);
    expect(code).toBe(2);
    expect(`${out}${err}`).toContain("SYNCV3_SERVER");
    expect(`${out}${err}`).not.toContain("elsewhere.test");
  });

  test("[BUILD-4] stays below 145 MB", () => {
    expect(statSync(executable).size).toBeLessThan(145e6);
  });
});

describe("with nothing but npm", () => {
  const start = (...args: string[]): Ending => run(["node", "tools/with-bun.mjs", "start", ...args], ROOT);

  test("[BUILD-5] arguments reach Glissade and its exit code comes back", () => {
    expect(start("--version").out).toContain(packageVersion());
    expect(start("no-such-command").code).toBe(2);
  }, 300_000);

  test("[BUILD-7] a start installs what running needs, and the next one nothing", () => {
    const checkout = join(directory, "checkout");
    mkdirSync(join(checkout, "tools"), { recursive: true });
    mkdirSync(join(checkout, "src"));
    for (const name of ["package.json", "bun.lock", ".bun-version", "tools/with-bun.mjs"])
      copyFileSync(join(ROOT, name), join(checkout, name));
    writeFileSync(join(checkout, "src/main.ts"), 'console.log("it runs");\n');
    const log = join(checkout, "installed");
    // In the place of Bun: an installation that brings what a real one for running brings, peers included.
    writeFileSync(
      join(checkout, "bun"),
      `#!/bin/sh
if [ "$1" = install ]; then echo "$@" >>"${log}"; mkdir -p node_modules/elysia node_modules/typescript; exit; fi
exec "${process.execPath}" "$@"
`,
      { mode: 0o755 },
    );
    const path = { PATH: `${checkout}:${process.env["PATH"]}` };
    for (const round of ["first", "second"]) {
      const { code, out } = run(["node", "tools/with-bun.mjs", "start", "anything"], checkout, path);
      expect([round, code, out]).toEqual([round, 0, "it runs\n"]);
    }
    expect(readFileSync(log, "utf8")).toBe("install --frozen-lockfile --production\n");
  }, 60_000);

  test("[BUILD-6] an unknown command says what there is", () => {
    const { code, err } = run(["node", "tools/with-bun.mjs", "fly"], ROOT);
    expect(code).toBe(1);
    expect(err).toContain("npm start");
  });
});
