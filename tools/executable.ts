import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { embeddedPartOf } from "#src/console/embedded-name.ts";
import { TEMPLATE_NAME } from "#db/embedded-engine.ts";

/** The top of the checkout. */
export const ROOT = join(import.meta.dir, "..");

/** What an executable is made of. */
export interface ExecutableOptions {
  outfile: string;
  /** A target of Bun's, for example `bun-linux-arm64`; without it, this machine. */
  target?: string | undefined;
  /** A folder with what `makeAssets` made. */
  workshop: string;
  /** Where to write which files went into it. */
  metafile?: string | undefined;
}

/** The version of package.json. */
export function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
  throw new Error("package.json has no version");
}

/** Empty where there is neither a git checkout nor `GLISSADE_COMMIT` (set by the container build, which has no `.git`). */
export function commit(): string {
  const given = process.env["GLISSADE_COMMIT"];
  if (given !== undefined && given !== "") return given;
  return git("rev-parse", "--short=7", "HEAD");
}

/** What git says of this checkout; empty where there is none. */
export function git(...args: string[]): string {
  if (!existsSync(join(ROOT, ".git")) || Bun.which("git") === null) return "";
  const asked = Bun.spawnSync({ cmd: ["git", ...args], cwd: ROOT, stderr: "ignore" });
  return asked.exitCode === 0 ? asked.stdout.toString().trim() : "";
}

/** What is embedded besides code: an empty database, which the first start unpacks instead of having one made, and the console. */
export function makeAssets(workshop: string): void {
  run([process.execPath, join(ROOT, "tools/empty-database.ts"), join(workshop, TEMPLATE_NAME)]);
  run([process.execPath, join(ROOT, "tools/console-files.ts"), workshop]);
}

/** Compiles one executable. The same sources, commit and Bun make the same bytes, wherever the checkout lies. */
export function buildExecutable({ outfile, target, workshop, metafile }: ExecutableOptions): void {
  mkdirSync(dirname(outfile), { recursive: true });
  run([
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
    // Packages in CommonJS would carry the folder they were built in: another one, other bytes.
    '--define=__dirname="/glissade"',
    '--define=__filename="/glissade"',
    ...(target === undefined ? [] : [`--target=${target}`]),
    ...(metafile === undefined ? [] : [`--metafile=${metafile}`]),
    `--asset=${join(workshop, TEMPLATE_NAME)}`,
    ...readdirSync(workshop)
      .filter((name) => embeddedPartOf(name) !== null)
      .sort()
      .map((name) => `--asset=${join(workshop, name)}`),
    "src/main.ts",
    `--outfile=${outfile}`,
  ]);
}

/** Runs a tool at the top of the checkout; throws when it fails. */
export function run(cmd: readonly string[], env: Record<string, string> = {}): void {
  const ended = Bun.spawnSync({
    cmd: [...cmd],
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (ended.exitCode !== 0) throw new Error(`${cmd[0] ?? ""} ${cmd[1] ?? ""} ended with code ${ended.exitCode}`);
}
