// Runs Glissade or its tests on a machine that has nothing but Node's npm: brings the pinned Bun and the
// dependencies from the npm registry on first use, then hands over. Plain Node 18, no dependencies.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const TOOLS = join(ROOT, ".tools");
const STAMP = join(TOOLS, "installed.json");
const BUN_VERSION = readFileSync(join(ROOT, ".bun-version"), "utf8").trim();
/** Is there where somebody develops. Not the compiler, which dependencies bring along as their peer. */
const DEVELOPMENT_ONLY = "oxlint";
/** An npm or bun that hangs on a dead registry must not hang the newcomer. */
const INSTALL_LIMIT_MS = 10 * 60_000;

function say(text) {
  process.stderr.write(`[glissade] ${text}\n`);
}

function fail(problem, advice) {
  say(`${problem}\n           ${advice}`);
  process.exit(1);
}

function isPinnedBun(path) {
  const answer = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 20_000 });
  return answer.status === 0 && answer.stdout.trim() === BUN_VERSION;
}

/** The package's own launcher first; the platform packages too, for machines where npm runs no install scripts. */
function bunIn(directory) {
  const modules = join(directory, "node_modules");
  const candidates = [join(modules, ".bin", "bun"), join(modules, "bun", "bin", "bun.exe")];
  const platforms = join(modules, "@oven");
  if (existsSync(platforms)) {
    for (const name of readdirSync(platforms)) candidates.push(join(platforms, name, "bin", "bun"));
  }
  return candidates.find((path) => existsSync(path) && isPinnedBun(path)) ?? null;
}

function runNpm(args) {
  const underNpm = process.env["npm_execpath"];
  const isNpm = underNpm !== undefined && underNpm.endsWith("npm-cli.js");
  const [command, first] = isNpm ? [process.execPath, [underNpm]] : ["npm", []];
  return spawnSync(command, [...first, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
    timeout: INSTALL_LIMIT_MS,
  });
}

/** A registry may not answer once. */
function twice(install) {
  const first = install();
  return first.status === 0 ? first : install();
}

function ensureBun() {
  const home = join(TOOLS, `bun-${BUN_VERSION}`);
  const found = bunIn(home) ?? (isPinnedBun("bun") ? "bun" : null);
  if (found !== null) return found;

  say(`installing Bun ${BUN_VERSION} from npm into .tools (once, about 100 MB)`);
  // Made beside and renamed: an interrupted or a second, simultaneous run never leaves half a Bun behind.
  const staging = `${home}.${process.pid}`;
  mkdirSync(staging, { recursive: true });
  writeFileSync(join(staging, "package.json"), '{ "private": true }\n');
  const options = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", "--prefix", staging];
  const installed = twice(() => runNpm(["install", `bun@${BUN_VERSION}`, ...options]));
  if (installed.status !== 0) {
    rmSync(staging, { recursive: true, force: true });
    fail(
      `npm could not install bun@${BUN_VERSION}${installed.error === undefined ? "" : `: ${installed.error.message}`}`,
      "Check that this machine reaches its npm registry (`npm ping`), or put Bun of that version on PATH, then run the command again.",
    );
  }
  try {
    renameSync(staging, home);
  } catch {
    rmSync(staging, { recursive: true, force: true }); // another run was faster
  }
  const bun = bunIn(home);
  if (bun === null) {
    rmSync(home, { recursive: true, force: true });
    fail(
      `Bun ${BUN_VERSION} was installed but does not run on this machine (${process.platform} ${process.arch})`,
      "Glissade runs on Linux and macOS, x64 and arm64. `npm view bun@" + BUN_VERSION + "` lists the platforms of Bun.",
    );
  }
  return bun;
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(STAMP, "utf8"));
  } catch {
    return {};
  }
}

/** Running needs the dependencies, testing the development ones too; what a developer has installed stays. */
function ensureDependencies(bun, needed) {
  const scope = existsSync(join(ROOT, "node_modules", DEVELOPMENT_ONLY)) ? "all" : needed;
  const hash = createHash("sha256");
  for (const name of ["package.json", "bun.lock"]) hash.update(readFileSync(join(ROOT, name)));
  const wanted = hash.digest("hex");
  const stamp = readStamp();
  const isInstalled = stamp.hash === wanted && (stamp.scope === "all" || stamp.scope === scope);
  if (isInstalled && existsSync(join(ROOT, "node_modules"))) return;

  say("installing dependencies from npm (bun install --frozen-lockfile)");
  const args = ["install", "--frozen-lockfile", ...(scope === "all" ? [] : ["--production"])];
  const installed = twice(() => spawnSync(bun, args, { cwd: ROOT, encoding: "utf8", timeout: INSTALL_LIMIT_MS }));
  if (installed.status !== 0) {
    process.stderr.write(`${installed.stdout ?? ""}${installed.stderr ?? ""}`);
    fail(
      "the dependencies could not be installed",
      "Check that this machine reaches its npm registry; if node_modules is damaged, delete it and run the command again.",
    );
  }
  mkdirSync(TOOLS, { recursive: true });
  writeFileSync(STAMP, `${JSON.stringify({ hash: wanted, scope })}\n`);
}

/** Ends as the child ended: same exit code, or 128 + signal number as a shell would say. */
function handOver(bun, args) {
  // Tools started by the child (`oxlint`, `knip`) and Workers find the same Bun first.
  const path = [
    ...(bun === "bun" ? [] : [dirname(bun)]),
    join(ROOT, "node_modules", ".bin"),
    process.env["PATH"] ?? "",
  ];
  const child = spawn(bun, args, { cwd: ROOT, stdio: "inherit", env: { ...process.env, PATH: path.join(":") } });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole group; passing it on would make the server see it twice.
      if (signal === "SIGINT" && process.stdin.isTTY === true) return;
      child.kill(signal);
    });
  }
  child.on("error", (error) =>
    fail(`Bun could not be started: ${error.message}`, "Delete .tools and run the command again."),
  );
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

function hasHomeserver() {
  if (process.env["SYNCV3_SERVER"] !== undefined || process.env["SYNCV3_SERVER_FILE"] !== undefined) return true;
  const dotenv = join(ROOT, ".env"); // read by Bun at start
  return existsSync(dotenv) && /^\s*(?:export\s+)?SYNCV3_SERVER\s*=/m.test(readFileSync(dotenv, "utf8"));
}

const [verb, ...rest] = process.argv.slice(2);
if (verb !== "start" && verb !== "test") {
  fail(`unknown command ${verb ?? "(none)"}`, "Use `npm start` to run Glissade, `npm test` to test it.");
}
const bun = ensureBun();
ensureDependencies(bun, verb === "test" ? "all" : "production");
if (verb === "test") {
  handOver(bun, ["tools/test.ts", ...rest]);
} else if (rest.length > 0 || hasHomeserver()) {
  handOver(bun, ["src/main.ts", ...rest]);
} else {
  say("SYNCV3_SERVER is not set: starting the demonstration. To serve a homeserver: SYNCV3_SERVER=https://… npm start");
  handOver(bun, ["src/main.ts", "demo"]);
}
