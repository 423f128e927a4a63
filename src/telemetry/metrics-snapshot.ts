import { METRIC_SPECS } from "./metrics.ts";
import type { MetricSpec } from "./metrics.ts";

/** Buckets of a histogram: how many observations lie at or below each bound, and how many above the last. */
export interface HistogramCounts {
  bounds: readonly number[];
  /** One more than `bounds`; not cumulative. */
  counts: readonly number[];
}

/** One time series at one moment. */
export interface MetricPoint {
  labels: Readonly<Record<string, string>>;
  /** The sum of all observations in a histogram. */
  value: number;
  histogram?: HistogramCounts;
}

/** All time series of one metric. */
export interface MetricSeries {
  name: string;
  points: readonly MetricPoint[];
}

/** The metrics of one host at one moment; plain data. */
export interface MetricsSnapshot {
  host: string;
  /** Tells one life of a host from the next. */
  startedMs: number;
  series: readonly MetricSeries[];
}

const SPECS: ReadonlyMap<string, MetricSpec> = new Map(METRIC_SPECS.map((spec) => [spec.name, spec]));

/**
 * Adds up the metrics of all hosts. Remembers what crashed hosts had counted: a counter that falls looks like a restart
 * to Prometheus, which would then take everything the other hosts ever counted for news.
 */
export class MetricsMerger {
  readonly #latest = new Map<string, MetricsSnapshot>();
  readonly #retired = new Totals();

  /** `snapshots` of the hosts that answered this time; the others keep what they said last, but for their gauges. */
  merge(snapshots: readonly MetricsSnapshot[]): MetricSeries[] {
    for (const snapshot of snapshots) {
      const before = this.#latest.get(snapshot.host);
      if (before !== undefined && before.startedMs !== snapshot.startedMs) this.#retired.add(before, "without-gauges");
      this.#latest.set(snapshot.host, snapshot);
    }
    const present = new Set(snapshots);
    const totals = new Totals(this.#retired);
    for (const snapshot of this.#latest.values()) {
      totals.add(snapshot, present.has(snapshot) ? "all" : "without-gauges");
    }
    return totals.series();
  }
}

/** Sums by metric and labels. */
class Totals {
  readonly #metrics = new Map<string, Map<string, MetricPoint>>();

  constructor(from?: Totals) {
    if (from === undefined) return;
    for (const [name, points] of from.#metrics) this.#metrics.set(name, new Map(points));
  }

  add(snapshot: MetricsSnapshot, which: "all" | "without-gauges"): void {
    for (const { name, points } of snapshot.series) {
      const spec = SPECS.get(name);
      if (spec === undefined || (which === "without-gauges" && spec.type === "gauge")) continue;
      const sums = this.#metrics.get(name) ?? new Map<string, MetricPoint>();
      this.#metrics.set(name, sums);
      for (const point of points) {
        const labels = spec.isPerHost ? { ...point.labels, host: snapshot.host } : point.labels;
        const key = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
        sums.set(key, addPoints(sums.get(key), { ...point, labels }));
      }
    }
  }

  /** In the order of the table. */
  series(): MetricSeries[] {
    return METRIC_SPECS.map(({ name }) => ({ name, points: [...(this.#metrics.get(name)?.values() ?? [])] }));
  }
}

function addPoints(sum: MetricPoint | undefined, point: MetricPoint): MetricPoint {
  if (sum === undefined) return point;
  const value = sum.value + point.value;
  if (sum.histogram === undefined || point.histogram === undefined) return { labels: sum.labels, value };
  const added = point.histogram.counts;
  const counts = sum.histogram.counts.map((count, index) => count + (added[index] ?? 0));
  return { labels: sum.labels, value, histogram: { bounds: sum.histogram.bounds, counts } };
}
