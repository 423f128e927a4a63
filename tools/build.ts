import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ROOT, buildExecutable, commit, makeAssets, version } from "./executable.ts";

const SMOKE_LIMIT_MS = 60_000;

const { values } = parseArgs({
  options: {
    outfile: { type: "string", default: "dist/glissade" },
    /** For example `bun-linux-arm64`; the smoke test is left out, as the result may not run here. */
    target: { type: "string" },
    "no-smoke-test": { type: "boolean", default: false },
  },
});

const outfile = resolve(ROOT, values.outfile);
const workshop = mkdtempSync(join(tmpdir(), "glissade-build-"));
try {
  makeAssets(workshop);
  buildExecutable({ outfile, target: values.target, workshop });
} finally {
  rmSync(workshop, { recursive: true, force: true });
}
console.log(`${values.outfile}: ${(statSync(outfile).size / 1e6).toFixed(1)} MB, version ${version()} ${commit()}`);

if (values.target === undefined && !values["no-smoke-test"]) {
  const smoke = Bun.spawnSync({
    cmd: [outfile, "--smoke-test"],
    stdio: ["ignore", "inherit", "inherit"],
    timeout: SMOKE_LIMIT_MS,
  });
  if (smoke.exitCode !== 0) {
    console.error(`the executable failed its smoke test (code ${smoke.exitCode ?? "none: over time"})`);
    process.exit(1);
  }
}
