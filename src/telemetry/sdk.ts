import { diag, DiagLogLevel } from "@opentelemetry/api";
import type { Logger, Timers } from "#src/ports/basics.ts";
import { endExport, exporterOptions, resourceOf } from "./otlp.ts";
import type { OtlpTarget } from "./otlp.ts";

/** How a thread's tracing is started. */
export interface TracingOptions {
  target: OtlpTarget;
  host: string;
  version: string;
  log: Logger;
  timers: Timers;
}

/** Tracing of this thread, running. */
export interface Tracing {
  /** Sends what is buffered, and stops; never rejects, and never takes long. */
  shutdown(): Promise<void>;
}

/** One line about a receiver that is away is enough for so many failed exports. */
const REPORT_EVERY = 20;

/**
 * Starts the OpenTelemetry SDK of this thread. To be called first thing in each thread, and only when spans have
 * somewhere to go: without it the API's functions do nothing, the SDK is not even loaded, and nothing global changes.
 * Sampler, limits and propagators are what the standard `OTEL_*` variables say.
 */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { target, log } = options;
  const [{ NodeSDK }, { OTLPTraceExporter }] = await Promise.all([
    import("@opentelemetry/sdk-node"),
    import("@opentelemetry/exporter-trace-otlp-http"),
  ]);
  const sdk = new NodeSDK({
    traceExporter: new OTLPTraceExporter(exporterOptions(target, "traces")),
    // Machine and process would be described to whoever receives the spans otherwise.
    resource: resourceOf(options.host, options.version),
    autoDetectResources: false,
    // What is not given here, the SDK would start by default.
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  return {
    async shutdown() {
      const reason = await endExport(() => sdk.shutdown(), options.timers);
      if (reason !== null) log.warn({ reason }, "spans not flushed");
    },
  };
}

/** The SDK's own complaints: a receiver that is away, mostly. `log` must not send its lines there. */
export function reportFailures(log: Logger): void {
  let reports = 0;
  const report = (message: string): void => {
    if (reports++ % REPORT_EVERY === 0)
      log.warn({ reason: message.slice(0, 300), reports }, "telemetry export has trouble");
  };
  const ignore = (): void => {};
  diag.setLogger(
    { error: report, warn: report, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}
