import type { LogLevel } from "#src/config/values.ts";
import type { Logger, Metrics } from "#src/ports/basics.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { VERSION } from "#src/version.ts";
import { createLogger } from "./logger.ts";
import type { MetricsSnapshot } from "./metrics-snapshot.ts";
import { startTracing } from "./sdk.ts";
import type { TracingTarget } from "./sdk.ts";

/** How a thread tells of itself; plain data, sent to Workers. */
export interface TelemetryConfig {
  logLevel: LogLevel;
  /** null = no tracing. */
  tracing: TracingTarget | null;
  /** False = nothing is counted, since nobody asks. */
  hasMetrics: boolean;
}

/** Log, metrics and tracing of one thread. */
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

/** First thing in each thread: what the configuration does not ask for is not even loaded. */
export async function startTelemetry(config: TelemetryConfig, host: string): Promise<Telemetry> {
  const log = createLogger({ level: config.logLevel, host });
  const tracing =
    config.tracing === null
      ? null
      : await startTracing({ target: config.tracing, host, version: VERSION, log, timers: systemTimers });
  const registry = config.hasMetrics
    ? (await import("./metrics-registry.ts")).createMetricsRegistry({ host, startedMs: systemClock.now() })
    : null;
  return {
    log,
    metrics: registry?.metrics ?? NO_METRICS,
    collectMetrics: async () => (await registry?.collect()) ?? null,
    shutdown: async () => tracing?.shutdown(),
  };
}
