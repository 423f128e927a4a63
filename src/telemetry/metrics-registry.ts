import type { Metrics } from "#src/ports/basics.ts";
import { METRIC_SPECS } from "./metrics.ts";
import type { MetricSpec } from "./metrics.ts";
import type { MetricPoint, MetricsSnapshot } from "./metrics-snapshot.ts";

/** The metrics of one host. */
export interface MetricsRegistry {
  readonly metrics: Metrics;
  /** Everything counted so far, as plain data that crosses to another thread. */
  collect(): Promise<MetricsSnapshot>;
}

type Labels = Readonly<Record<string, string>>;

/** One time series as it is counted: of a histogram, `value` is the sum. */
interface Series {
  readonly labels: Labels;
  value: number;
  readonly counts: number[] | null;
}

/** More label values than this of one metric are a mistake, which must not fill the memory. */
const SERIES_LIMIT = 2000;
const NO_LABELS: Labels = {};

/** A counter or a histogram: its time series by the values of its labels, in the order of the table. */
class Counted {
  readonly spec: MetricSpec;
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, Series>();

  constructor(spec: MetricSpec) {
    this.spec = spec;
    this.#bounds = spec.buckets ?? [];
  }

  get points(): MetricPoint[] {
    return Array.from(this.#series.values(), ({ labels, value, counts }) =>
      counts === null ? { labels, value } : { labels, value, histogram: { bounds: this.#bounds, counts: [...counts] } },
    );
  }

  /** False when there are too many already. */
  add(by: number, labels: Labels): boolean {
    const series = this.#of(labels);
    if (series === null) return false;
    series.value += by;
    return true;
  }

  observe(value: number, labels: Labels): boolean {
    const series = this.#of(labels);
    if (series?.counts == null) return false;
    series.value += value;
    let at = 0;
    while (at < this.#bounds.length && value > (this.#bounds[at] ?? 0)) at += 1;
    series.counts[at] = (series.counts[at] ?? 0) + 1;
    return true;
  }

  #of(labels: Labels): Series | null {
    const key = this.#keyOf(labels);
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#series.size >= SERIES_LIMIT) return null;
    const counts = this.spec.type === "histogram" ? Array.from({ length: this.#bounds.length + 1 }, () => 0) : null;
    const series = { labels: { ...labels }, value: 0, counts };
    this.#series.set(key, series);
    return series;
  }

  /** Most metrics have one label or none: nothing is put together for these. */
  #keyOf(labels: Labels): string {
    const names = this.spec.labels;
    if (names === undefined) return "";
    if (names.length === 1) return labels[names[0] ?? ""] ?? "";
    return names.map((name) => labels[name] ?? "").join("\0");
  }
}

/**
 * Counts what the table names, and nothing else. Written here because it is called for every turn of every actor: the
 * SDK's own instruments cost ten times as much, and a tenth of what the server can deliver.
 */
export function createMetricsRegistry(options: { host: string; startedMs: number }): MetricsRegistry {
  const counted = new Map(
    METRIC_SPECS.filter(({ type }) => type !== "gauge").map((spec) => [spec.name, new Counted(spec)]),
  );
  const gauges = new Map(
    METRIC_SPECS.filter(({ type }) => type === "gauge").map(({ name }) => [
      name,
      new Map<string, { read: () => number; labels: Labels }>(),
    ]),
  );
  const unknown = (): void => void counted.get("telemetry_unknown_metrics_total")?.add(1, NO_LABELS);

  const metrics: Metrics = {
    count(name, by = 1, labels = NO_LABELS) {
      const counter = counted.get(name);
      if (counter?.spec.type !== "counter" || !counter.add(by, labels)) unknown();
    },
    observe(name, value, labels = NO_LABELS) {
      const histogram = counted.get(name);
      if (histogram?.spec.type !== "histogram" || !histogram.observe(value, labels)) unknown();
    },
    gauge(name, read, labels = NO_LABELS) {
      // The same labels again are a new incarnation of the same thing.
      const reads = gauges.get(name);
      if (reads === undefined) unknown();
      else reads.set(JSON.stringify(labels), { read, labels });
    },
  };

  return {
    metrics,
    async collect() {
      const series = METRIC_SPECS.map(({ name }) => {
        const reads = gauges.get(name)?.values() ?? [];
        const points =
          counted.get(name)?.points ?? Array.from(reads, ({ read, labels }) => ({ labels, value: read() }));
        return { name, points };
      });
      return { host: options.host, startedMs: options.startedMs, series };
    },
  };
}
