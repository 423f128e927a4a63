import type { LogLevel } from "#src/config/values.ts";
import type { Logger, Metrics } from "#src/ports/basics.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { VERSION } from "#src/version.ts";
import { createLogger } from "./logger.ts";
import type { MetricsSnapshot } from "./metrics-snapshot.ts";
import type { OtlpSignal, OtlpTarget } from "./otlp.ts";

/** How a host tells of itself; plain data, sent to Workers. */
export interface TelemetryConfig {
  logLevel: LogLevel;
  /** null = nothing is sent anywhere. */
  otlp: OtlpTarget | null;
  /** False = nothing is counted, since nobody asks. */
  hasMetrics: boolean;
}

/** Log, metrics and tracing of one host, or of a thread. */
export interface Telemetry {
  readonly log: Logger;
  readonly metrics: Metrics;
  /** null when nothing is counted. */
  collectMetrics(): Promise<MetricsSnapshot | null>;
  /** Sends what is buffered; never rejects. */
  shutdown(): Promise<void>;
}

/** Counts nothing, at no cost. */
export const NO_METRICS: Metrics = {
  count() {},
  observe() {},
  gauge() {},
};

/** First thing in each thread: what the configuration does not ask for is not even loaded. `isGathering`: see the logger. */
export async function startTelemetry(
  { logLevel, otlp, hasMetrics }: TelemetryConfig,
  host: string,
  { isGathering = false }: { isGathering?: boolean } = {},
): Promise<Telemetry> {
  const local = createLogger({ level: logLevel, host, isGathering });
  const about = { host, version: VERSION, timers: systemTimers };
  if (otlp !== null) (await import("./sdk.ts")).reportFailures(local);
  const lines =
    otlp?.signals.logs === true ? (await import("./log-export.ts")).startLogExport({ target: otlp, ...about }) : null;
  const log = lines === null ? local : createLogger({ level: logLevel, host, isGathering, sink: lines.sink });
  const tracing =
    otlp?.signals.traces === true
      ? await (await import("./sdk.ts")).startTracing({ target: otlp, log: local, ...about })
      : null;
  const registry = hasMetrics
    ? (await import("./metrics-registry.ts")).createMetricsRegistry({ host, startedMs: systemClock.now() })
    : null;
  const sent =
    registry !== null && otlp?.signals.metrics === true
      ? (await import("./metric-export.ts")).startMetricExport({
          ...about,
          target: otlp,
          clock: systemClock,
          collect: () => registry.collect(),
        })
      : null;
  return {
    log,
    metrics: registry?.metrics ?? NO_METRICS,
    collectMetrics: async () => (await registry?.collect()) ?? null,
    shutdown: async () => {
      const [ofMetrics, ofLogs] = await Promise.all([sent?.shutdown(), lines?.shutdown(), tracing?.shutdown()]);
      for (const reason of [ofMetrics, ofLogs]) {
        if (typeof reason === "string") local.warn({ reason }, "telemetry not flushed");
      }
    },
  };
}

/** The same for some signals only: what is global in a thread is not started for each of its hosts. */
export const onlySignals = (config: TelemetryConfig, signals: readonly OtlpSignal[]): TelemetryConfig => {
  const { otlp } = config;
  if (otlp === null) return config;
  const isWanted = (signal: OtlpSignal): boolean => otlp.signals[signal] && signals.includes(signal);
  return {
    ...config,
    otlp: {
      ...otlp,
      signals: { traces: isWanted("traces"), metrics: isWanted("metrics"), logs: isWanted("logs") },
    },
  };
};
