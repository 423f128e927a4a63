import type { Attributes, Counter, Histogram } from "@opentelemetry/api";
import { DataPointType, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import type { HistogramMetricData, MetricData } from "@opentelemetry/sdk-metrics";
import type { Metrics, Timers } from "#src/ports/basics.ts";
import { METRIC_SPECS } from "./metrics.ts";
import { endExport, resourceOf } from "./otlp.ts";
import type { MetricPoint, MetricSeries, MetricsSnapshot } from "./metrics-snapshot.ts";

/** The metrics of one thread. */
export interface MetricsRegistry {
  readonly metrics: Metrics;
  /** Everything counted so far, as plain data that crosses to another thread. */
  collect(): Promise<MetricsSnapshot>;
  /** Lets other readers send what they have; why they could not, or null. */
  shutdown(timers: Timers): Promise<string | null>;
}

/** How a registry is made. */
export interface RegistryOptions {
  host: string;
  version?: string;
  startedMs: number;
  /** Besides who asks `collect`. */
  readers?: readonly MetricReader[];
}

/** Collects when asked, and only then. */
class PullReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {
    // Nothing is kept open.
  }

  protected override async onForceFlush(): Promise<void> {
    // Nothing is held back.
  }
}

/** A registry over the OpenTelemetry SDK that knows the metrics of the table and no others. */
export function createMetricsRegistry(options: RegistryOptions): MetricsRegistry {
  const reader = new PullReader();
  const { host, version = "", readers = [] } = options;
  const provider = new MeterProvider({ resource: resourceOf(host, version), readers: [reader, ...readers] });
  const meter = provider.getMeter("glissade");
  const counters = new Map<string, Counter>();
  const histograms = new Map<string, Histogram>();
  const gauges = new Map<string, Map<string, { read: () => number; labels: Attributes }>>();

  for (const spec of METRIC_SPECS) {
    switch (spec.type) {
      case "counter":
        counters.set(spec.name, meter.createCounter(spec.name));
        break;
      case "histogram":
        histograms.set(
          spec.name,
          meter.createHistogram(spec.name, { advice: { explicitBucketBoundaries: [...(spec.buckets ?? [])] } }),
        );
        break;
      case "gauge": {
        const reads = new Map<string, { read: () => number; labels: Attributes }>();
        gauges.set(spec.name, reads);
        meter.createObservableGauge(spec.name).addCallback((result) => {
          for (const { read, labels } of reads.values()) result.observe(read(), labels);
        });
        break;
      }
    }
  }
  const unknown = (): void => counters.get("telemetry_unknown_metrics_total")?.add(1);

  const metrics: Metrics = {
    count(name, by = 1, labels) {
      const counter = counters.get(name);
      if (counter === undefined) unknown();
      else counter.add(by, labels);
    },
    observe(name, value, labels) {
      const histogram = histograms.get(name);
      if (histogram === undefined) unknown();
      else histogram.record(value, labels);
    },
    gauge(name, read, labels = {}) {
      // The same labels again are a new incarnation of the same thing.
      const reads = gauges.get(name);
      if (reads === undefined) unknown();
      else reads.set(JSON.stringify(labels), { read, labels });
    },
  };

  return {
    metrics,
    async collect() {
      const { resourceMetrics } = await reader.collect();
      const series = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics.map(seriesOf));
      return { host: options.host, startedMs: options.startedMs, series };
    },
    shutdown: (timers) => endExport(() => provider.shutdown(), timers),
  };
}

function seriesOf(data: MetricData): MetricSeries {
  const { name } = data.descriptor;
  switch (data.dataPointType) {
    case DataPointType.SUM:
    case DataPointType.GAUGE:
      return {
        name,
        points: data.dataPoints.map(({ attributes, value }) => ({ labels: labelsOf(attributes), value })),
      };
    case DataPointType.HISTOGRAM:
      return { name, points: data.dataPoints.map(histogramPoint) };
    case DataPointType.EXPONENTIAL_HISTOGRAM:
      // Made by no instrument of ours.
      return { name, points: [] };
  }
}

function histogramPoint({ attributes, value }: HistogramMetricData["dataPoints"][number]): MetricPoint {
  return {
    labels: labelsOf(attributes),
    value: value.sum ?? 0,
    histogram: { bounds: value.buckets.boundaries, counts: value.buckets.counts },
  };
}

const labelsOf = (attributes: Attributes): Record<string, string> =>
  Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, String(value)]));
