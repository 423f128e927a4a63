import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { packDirectory } from "#db/directory-archive.ts";
import { TEMPLATE_NAME, createDatabase } from "#db/embedded-engine.ts";

const ROOT = join(import.meta.dir, "..");
const SMOKE_LIMIT_MS = 60_000;

const { values } = parseArgs({
  options: {
    outfile: { type: "string", default: "dist/glissade" },
    /** For example `bun-linux-arm64`; the smoke test is left out, as the result may not run here. */
    target: { type: "string" },
    "no-smoke-test": { type: "boolean", default: false },
  },
});

/** Empty where there is neither a git checkout nor `GLISSADE_COMMIT` (set by the container build, which has no `.git`). */
function commit(): string {
  const given = process.env["GLISSADE_COMMIT"];
  if (given !== undefined && given !== "") return given;
  if (!existsSync(join(ROOT, ".git")) || Bun.which("git") === null) return "";
  const asked = Bun.spawnSync({ cmd: ["git", "rev-parse", "--short=7", "HEAD"], cwd: ROOT, stderr: "ignore" });
  return asked.exitCode === 0 ? asked.stdout.toString().trim() : "";
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
  throw new Error("package.json has no version");
}

/** Embedded, so that the first start unpacks an empty database instead of having the engine make one. */
async function makeTemplate(workshop: string): Promise<string> {
  const [directory, template] = [join(workshop, "database"), join(workshop, TEMPLATE_NAME)];
  await createDatabase(directory);
  writeFileSync(template, packDirectory(directory));
  return template;
}

const outfile = resolve(ROOT, values.outfile);
mkdirSync(join(outfile, ".."), { recursive: true });
const workshop = mkdtempSync(join(tmpdir(), "glissade-build-"));
process.on("exit", () => rmSync(workshop, { recursive: true, force: true }));
const command = [
  process.execPath,
  "build",
  "--compile",
  // A compiled executable would otherwise obey the bunfig.toml and .env of whatever directory it is started in.
  "--no-compile-autoload-bunfig",
  "--no-compile-autoload-dotenv",
  "--minify",
  // Stack traces keep names and lines; actor and error names stay readable in logs.
  "--sourcemap=linked",
  "--keep-names",
  // 6 MB more on disk, a third of the start-up time of every Worker.
  "--bytecode",
  "--format=esm",
  `--define=GLISSADE_VERSION=${JSON.stringify(version())}`,
  `--define=GLISSADE_COMMIT=${JSON.stringify(commit())}`,
  ...(values.target === undefined ? [] : [`--target=${values.target}`]),
  `--asset=${await makeTemplate(workshop)}`,
  "src/main.ts",
  `--outfile=${outfile}`,
];
const built = Bun.spawnSync({ cmd: command, cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
if (built.exitCode !== 0) process.exit(1);
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
