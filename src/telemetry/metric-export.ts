import { type HrTime, ValueType } from "@opentelemetry/api";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import type { Clock, Timers } from "#src/ports/basics.ts";
import { METRIC_SPECS } from "./metrics.ts";
import type { MetricSeries, MetricsSnapshot } from "./metrics-snapshot.ts";
import { endExport, exporterOptions, resourceOf } from "./otlp.ts";
import type { OtlpTarget } from "./otlp.ts";

const EXPORT_TIMEOUT_MS = 10_000;
const SPECS = new Map(METRIC_SPECS.map((spec) => [spec.name, spec]));

/** Sends all metrics of one host to the receiver every now and then. */
export function startMetricExport(options: {
  target: OtlpTarget;
  host: string;
  version: string;
  clock: Pick<Clock, "now">;
  timers: Timers;
  collect: () => Promise<MetricsSnapshot>;
}): { shutdown(): Promise<string | null> } {
  const { target, timers } = options;
  const resource = resourceOf(options.host, options.version);
  const collect = async (): Promise<CollectionResult> => {
    const { startedMs, series } = await options.collect();
    const times = { startTime: hrTime(startedMs), endTime: hrTime(options.clock.now()) };
    const metrics = series.flatMap((metric) => metricData(metric, times));
    return { resourceMetrics: { resource, scopeMetrics: [{ scope: { name: "glissade" }, metrics }] }, errors: [] };
  };
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(exporterOptions(target, "metrics")),
    exportIntervalMillis: target.metricIntervalMs,
    exportTimeoutMillis: Math.min(target.metricIntervalMs, EXPORT_TIMEOUT_MS),
    metricProducers: [{ collect }],
  });
  const provider = new MeterProvider({ resource, readers: [reader] });
  return { shutdown: () => endExport(() => provider.shutdown(), timers) };
}

const hrTime = (ms: number): HrTime => [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];

function metricData({ name, points }: MetricSeries, times: { startTime: HrTime; endTime: HrTime }): MetricData[] {
  const spec = SPECS.get(name);
  if (spec === undefined || points.length === 0) return [];
  const shared = {
    descriptor: { name, description: spec.help, unit: "", valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  const plain = points.map(({ labels, value }) => ({ ...times, attributes: { ...labels }, value }));
  switch (spec.type) {
    case "counter":
      return [{ ...shared, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints: plain }];
    case "gauge":
      return [{ ...shared, dataPointType: DataPointType.GAUGE, dataPoints: plain }];
    case "histogram":
      return [
        {
          ...shared,
          dataPointType: DataPointType.HISTOGRAM,
          dataPoints: points.map(({ labels, value, histogram }) => {
            const { bounds, counts } = histogram ?? { bounds: [], counts: [0] };
            const buckets = { boundaries: [...bounds], counts: [...counts] };
            const count = counts.reduce((sum, n) => sum + n, 0);
            return { ...times, attributes: { ...labels }, value: { buckets, sum: value, count } };
          }),
        },
      ];
  }
}
