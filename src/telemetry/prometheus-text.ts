import type { ProcessUsage } from "#src/system.ts";
import { METRIC_SPECS } from "./metrics.ts";
import type { MetricPoint, MetricSeries } from "./metrics-snapshot.ts";

/** The process's own metrics, by the names every Prometheus client library uses. */
export const PROCESS_METRICS = [
  {
    name: "process_resident_memory_bytes",
    type: "gauge",
    help: "Resident memory size in bytes.",
    read: (usage: ProcessUsage) => usage.residentBytes,
  },
  {
    name: "process_cpu_seconds_total",
    type: "counter",
    help: "Total user and system CPU time spent in seconds.",
    read: (usage: ProcessUsage) => usage.cpuSeconds,
  },
  {
    name: "process_start_time_seconds",
    type: "gauge",
    help: "Start time of the process since unix epoch in seconds.",
    read: (usage: ProcessUsage) => usage.startedAtSeconds,
  },
] as const;

/**
 * Prometheus' text format. Written here because the serializer of the OpenTelemetry SDK renames counters to end in
 * `_total`, under which the boards made for the Go proxy do not find them.
 */
export function prometheusText(series: readonly MetricSeries[], usage: ProcessUsage): string {
  const points = new Map(series.map((metric) => [metric.name, metric.points]));
  const blocks = METRIC_SPECS.map((spec) => {
    const lines = (points.get(spec.name) ?? []).flatMap((point) => pointLines(spec.name, point));
    // An alert on the first of something needs to have seen that there was none.
    if (lines.length === 0 && spec.type === "counter" && spec.labels === undefined && spec.isPerHost === undefined)
      lines.push(`${spec.name} 0`);
    return `${headLines(spec.name, spec.type, spec.help)}${lines.map((line) => `${line}\n`).join("")}`;
  });
  const ofProcess = PROCESS_METRICS.map(
    ({ name, type, help, read }) => `${headLines(name, type, help)}${name} ${numberText(read(usage))}\n`,
  );
  return [...blocks, ...ofProcess].join("");
}

const headLines = (name: string, type: string, help: string): string =>
  `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n# TYPE ${name} ${type}\n`;

function pointLines(name: string, point: MetricPoint): string[] {
  if (point.histogram === undefined) return [`${name}${labelText(point.labels)} ${numberText(point.value)}`];
  const { bounds, counts } = point.histogram;
  let below = 0;
  const lines = counts.map((count, index) => {
    below += count;
    const bound = bounds[index];
    const le = bound === undefined ? "+Inf" : numberText(bound);
    return `${name}_bucket${labelText({ ...point.labels, le })} ${below}`;
  });
  lines.push(`${name}_sum${labelText(point.labels)} ${numberText(point.value)}`);
  lines.push(`${name}_count${labelText(point.labels)} ${below}`);
  return lines;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escapeLabel = (value: string): string =>
  value
    .replaceAll("\\", "\\\\")
    .replaceAll('"', String.raw`\"`)
    .replaceAll("\n", String.raw`\n`);

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}
