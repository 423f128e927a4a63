import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { type MetricReader, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { exporterOptions } from "./otlp.ts";
import type { OtlpTarget } from "./otlp.ts";

/** A reader that sends all metrics to the receiver every now and then. */
export function metricExport(target: OtlpTarget): MetricReader {
  return new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(exporterOptions(target, "metrics")),
    exportIntervalMillis: target.metricIntervalMs,
    exportTimeoutMillis: Math.min(target.metricIntervalMs, EXPORT_TIMEOUT_MS),
  });
}

const EXPORT_TIMEOUT_MS = 10_000;
