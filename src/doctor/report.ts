import type { Examination } from "./examine.ts";
import type { Finding, Level } from "./finding.ts";

const LABELS: Readonly<Record<Level, string>> = { ok: "ok", warn: "warn", fail: "FAIL", skip: "-" };
const COLOURS: Readonly<Record<Level, string>> = {
  ok: "\u001B[32m",
  warn: "\u001B[33m",
  fail: "\u001B[31m",
  skip: "\u001B[2m",
};
const RESET = "\u001B[0m";
const NAMES = 14;
const INDENT = " ".repeat(2 + 4 + 2 + NAMES);

/** How many there are of each. */
export function countsOf(findings: readonly Finding[]): Record<Level, number> {
  const counts: Record<Level, number> = { ok: 0, warn: 0, fail: 0, skip: 0 };
  for (const { level } of findings) counts[level] += 1;
  return counts;
}

/** For people: one line each, and below it what to do. */
export function reportText({ address, proxy, findings }: Examination, hasColours: boolean): string {
  const lines = findings.map((each) => entry(each, hasColours)).join("");
  const { fail, warn, ok, skip } = countsOf(findings);
  const skipped = skip === 0 ? "" : `, ${skip} not looked at`;
  return `${address}${proxy === null ? "" : `, behind ${proxy}`}\n\n${lines}\n${ok} ok, ${warn} to improve, ${fail} to mend${skipped}\n`;
}

function entry({ check, level, text, advice }: Finding, hasColours: boolean): string {
  const padded = LABELS[level].padEnd(4);
  const label = hasColours ? `${COLOURS[level]}${padded}${RESET}` : padded;
  const steps = advice.map((step) => `${INDENT}→ ${step}\n`).join("");
  return `  ${label}  ${check.padEnd(NAMES)}${text}\n${steps}`;
}

/** For programs; members are never taken away. */
export function reportJson({ address, proxy, findings }: Examination): string {
  return `${JSON.stringify({ address, proxy, counts: countsOf(findings), findings }, null, 2)}\n`;
}
