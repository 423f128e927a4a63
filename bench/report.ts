import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { dirname } from "node:path";
import type { Target } from "./targets.ts";
import { TARGETS, isKept } from "./targets.ts";
import type { Figures } from "./workload.ts";

/** What one server did in one workload. */
export type Result =
  | { readonly server: string; readonly figures: Figures }
  | { readonly server: string; readonly failure: string };

/** All servers in one workload, in one run: compare these by ratio. */
export type WorkloadResults = { readonly at: string; readonly results: readonly Result[] };

function shownValue(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return "never";
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function shownTarget({ target, isRate, unit }: Target): string {
  return target === null ? "" : `${isRate ? "≥" : "≤"} ${target} ${unit}`.trim();
}

function cell(target: Target, result: Result, isJudged: boolean): string {
  if ("failure" in result) return "failed";
  const value = result.figures[target.figure];
  const text = `${shownValue(value)} ${target.unit}`.trim();
  if (!isJudged || target.target === null || value === undefined) return text;
  return `${isKept(target, value) ? "✓" : "✗"} ${text}`;
}

/** The figures of one workload beside their targets; only the first server is judged by them. */
export function workloadTable(name: string, { results }: WorkloadResults): string {
  const rows = [["", "target", ...results.map(({ server }) => server)]];
  for (const target of TARGETS.filter(({ workload }) => workload === name)) {
    rows.push([
      target.label,
      shownTarget(target),
      ...results.map((result, index) => cell(target, result, index === 0)),
    ]);
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const failures = results.flatMap((result) =>
    "failure" in result ? [`${result.server} failed: ${result.failure}`] : [],
  );
  return [`\n${name}`, ...lines, ...failures].join("\n");
}

/** The machine a run was made on; figures of different machines do not compare. */
function machine(database: string): Record<string, string | number> {
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? "unknown",
    memory_gb: Math.round(totalmem() / 1e9),
    system: `${process.platform} ${process.arch} ${release()}`,
    bun: Bun.version,
    database,
  };
}

type ResultsFile = { machine: Record<string, string | number>; workloads: Record<string, WorkloadResults> };

/** Writes a run; workloads that were not part of it keep what the file had. */
export function writeResults(file: string, database: string, ran: Readonly<Record<string, WorkloadResults>>): void {
  // a file this function wrote
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as ResultsFile) : null;
  const content: ResultsFile = { machine: machine(database), workloads: { ...before?.workloads, ...ran } };
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);
}
