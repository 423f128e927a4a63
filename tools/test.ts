import { existsSync, readFileSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Counts } from "./junit.ts";
import { readJunit } from "./junit.ts";

const ROOT = join(import.meta.dir, "..");
/** Checked code; `oxlint` and `oxfmt` take explicit folders so that nothing generated is looked at. */
const FOLDERS = ["src", "actors", "db", "web", "test", "bench", "tools"].filter((name) => existsSync(join(ROOT, name)));
const MINUTE_MS = 60_000;

type Check = { readonly name: string; readonly command: readonly string[]; readonly limitMs: number };
type Suite = {
  readonly name: string;
  readonly folder: string;
  /** It ends what hangs, and takes no machine that is slow or busy for that. */
  readonly limitMs: number;
  /** Processes that share its files. What waits more than it computes gets more than there are cores. */
  readonly processes: number;
  /** Whether it has to wait for what `test/support/prepare.ts` brings. */
  readonly isPrepared?: true;
};

const node = (script: string): string[] => [process.execPath, "--bun", join(ROOT, "node_modules", script)];

/** Each counts as one test. */
const CHECKS: readonly Check[] = [
  { name: "formatting", command: [...node("oxfmt/bin/oxfmt"), "--check", ...FOLDERS], limitMs: 10 * MINUTE_MS },
  { name: "lint", command: [...node("oxlint/bin/oxlint"), ...FOLDERS], limitMs: 10 * MINUTE_MS },
  { name: "types", command: [...node("typescript/bin/tsc")], limitMs: 10 * MINUTE_MS },
  { name: "types of the console", command: [...node("typescript/bin/tsc"), "-p", "web"], limitMs: 10 * MINUTE_MS },
  { name: "unused code", command: [...node("knip/bin/knip-bun.js")], limitMs: 10 * MINUTE_MS },
  { name: "build of the executable", command: [process.execPath, "tools/build.ts"], limitMs: 10 * MINUTE_MS },
];

const SUITES: readonly Suite[] = [
  { name: "unit", folder: "test/unit", limitMs: 15 * MINUTE_MS, processes: 1 },
  { name: "property", folder: "test/property", limitMs: 15 * MINUTE_MS, processes: 2 },
  { name: "contract", folder: "test/contract", limitMs: 15 * MINUTE_MS, processes: 2 },
  { name: "integration", folder: "test/integration", limitMs: 20 * MINUTE_MS, processes: 2 },
  { name: "blackbox", folder: "test/blackbox", limitMs: 15 * MINUTE_MS, processes: 2 },
  { name: "e2e", folder: "test/e2e", limitMs: 30 * MINUTE_MS, processes: 3, isPrepared: true },
  { name: "system", folder: "test/system", limitMs: 40 * MINUTE_MS, processes: 3, isPrepared: true },
];

/** Of a test that names no limit of its own. It ends what hangs; how long something may take is said by tests about that. */
const TEST_LIMIT_MS = 60_000;
/** Real servers come from package indexes, and that may take its time. */
const PREPARE_LIMIT_MS = 12 * MINUTE_MS;

type Ending = { readonly code: number; readonly isOverTime: boolean };

async function run(command: readonly string[], limitMs: number): Promise<Ending> {
  const child = Bun.spawn({ cmd: [...command], cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  let isOverTime = false;
  const timer = setTimeout(() => {
    isOverTime = true;
    child.kill("SIGKILL");
  }, limitMs);
  const code = await child.exited;
  clearTimeout(timer);
  return { code, isOverTime };
}

function endingText({ code, isOverTime }: Ending, limitMs: number): string {
  return isOverTime ? `stopped after ${limitMs / MINUTE_MS} minutes` : `ended with code ${code}`;
}

async function runCheck({ name, command, limitMs }: Check): Promise<Counts> {
  const ending = await run(command, limitMs);
  if (ending.code === 0) return { passed: 1, failed: 0, skipped: [], failures: [] };
  return { passed: 0, failed: 1, skipped: [], failures: [`${name}: ${endingText(ending, limitMs)}`] };
}

function testFiles(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return [...new Bun.Glob(`${folder}/**/*.test.ts`).scanSync({ cwd: ROOT })].sort();
}

/** Counts come from the report, never from the exit code alone: a test that calls `process.exit(0)` leaves no report. */
async function runSuite({ name, folder, limitMs, processes }: Suite, scratch: string): Promise<Counts> {
  const files = testFiles(folder);
  if (files.length === 0) return { passed: 0, failed: 0, skipped: [], failures: [] };
  const report = join(scratch, `${name}.xml`);
  // Files of one process share its database servers: no file may have globals of its own.
  const sharing = processes === 1 ? [] : [`--parallel=${processes}`, "--no-isolate"];
  const options = [`--timeout=${TEST_LIMIT_MS}`, "--reporter=junit", `--reporter-outfile=${report}`, ...sharing];
  const ending = await run([process.execPath, "test", ...options, `./${folder}`], limitMs);
  if (!existsSync(report)) {
    return { passed: 0, failed: 1, skipped: [], failures: [`${name}: no report, ${endingText(ending, limitMs)}`] };
  }
  const counts = readJunit(readFileSync(report, "utf8"), files);
  if (ending.code === 0 || counts.failed > 0) return counts;
  const failure = `${name}: ${endingText(ending, limitMs)} though no test failed`;
  return { ...counts, failed: 1, failures: [failure] };
}

/** Brings what slow suites need while quick ones run, and behind them in line for the processor. */
async function prepare(): Promise<void> {
  const { code, isOverTime } = await run(
    ["nice", "-n", "10", process.execPath, "test/support/prepare.ts"],
    PREPARE_LIMIT_MS,
  );
  if (code !== 0) console.log(`[prepare] ${endingText({ code, isOverTime }, PREPARE_LIMIT_MS)}`);
}

/** Runs the named steps, or all of them, and returns what they add up to. */
async function runAll(names: readonly string[]): Promise<Counts> {
  const scratch = await mkdtemp(join(tmpdir(), "glissade-test-"));
  const total: Counts[] = [];
  const step = async (name: string, work: () => Promise<Counts>): Promise<void> => {
    if (names.length > 0 && !names.includes(name)) return;
    console.log(`\n=== ${name}`);
    const startedAt = performance.now();
    const counts = await work();
    total.push(counts);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    console.log(`=== ${name}: ${counts.passed} passed, ${counts.failed} failed (${seconds} s)`);
  };
  const suites = SUITES.filter(({ name }) => names.length === 0 || names.includes(name));
  const preparing = suites.some(({ isPrepared }) => isPrepared) ? prepare() : null;
  try {
    for (const check of CHECKS) await step(check.name, () => runCheck(check));
    for (const suite of suites) {
      if (suite.isPrepared && preparing !== null) await preparing;
      await step(suite.name, () => runSuite(suite, scratch));
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return {
    passed: total.reduce((sum, counts) => sum + counts.passed, 0),
    failed: total.reduce((sum, counts) => sum + counts.failed, 0),
    skipped: total.flatMap((counts) => counts.skipped),
    failures: total.flatMap((counts) => counts.failures),
  };
}

const names = process.argv.slice(2);
const known = [...CHECKS, ...SUITES].map(({ name }) => name);
const unknown = names.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`unknown step ${unknown.join(", ")}; the steps are: ${known.join(", ")}`);
  process.exit(2);
}
const { passed, failed, skipped, failures } = await runAll(names);
console.log("");
for (const title of skipped) console.log(`skipped: ${title}`);
for (const title of failures) console.log(`FAILED: ${title}`);
console.log(`${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
