import { diag, DiagLogLevel } from "@opentelemetry/api";
import type { Logger, Timers } from "#src/ports/basics.ts";

/** Where spans go. */
export interface TracingTarget {
  /** Base URL of an OTLP/HTTP receiver, without `/v1/traces`. */
  url: string;
  username: string | null;
  password: string | null;
}

/** How a thread's tracing is started. */
export interface TracingOptions {
  target: TracingTarget;
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

/** An export that takes longer is given up; its spans are lost, the request they tell of is not. */
const EXPORT_TIMEOUT_MS = 10_000;
/** At the end there is no time for the exporter's retries. */
const FLUSH_DEADLINE_MS = 2_000;
/** One line about a receiver that is away is enough for so many failed exports. */
const REPORT_EVERY = 20;

/**
 * Starts the OpenTelemetry SDK of this thread. To be called first thing in each thread, and only when spans have
 * somewhere to go: without it the API's functions do nothing, the SDK is not even loaded, and nothing global changes.
 */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { target, log } = options;
  const [{ NodeSDK }, { OTLPTraceExporter }] = await Promise.all([
    import("@opentelemetry/sdk-node"),
    import("@opentelemetry/exporter-trace-otlp-http"),
  ]);
  reportFailures(log);
  const sdk = new NodeSDK({
    traceExporter: new OTLPTraceExporter({
      url: tracesUrl(target.url),
      headers: authorizationOf(target),
      timeoutMillis: EXPORT_TIMEOUT_MS,
    }),
    // The only detector: machine and process would be described to whoever receives the spans otherwise.
    resourceDetectors: [
      {
        detect: () => ({
          attributes: {
            "service.name": "glissade",
            "service.version": options.version,
            "actor.host": options.host,
          },
        }),
      },
    ],
    // What is not given here, the SDK would take from the environment, or start by default.
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  return {
    async shutdown() {
      const late = Promise.withResolvers<never>();
      const cancel = options.timers.after(FLUSH_DEADLINE_MS, () => late.reject(new Error("receiver does not answer")));
      try {
        await Promise.race([sdk.shutdown(), late.promise]);
      } catch (error) {
        log.warn({ reason: error instanceof Error ? error.message : String(error) }, "spans not flushed");
      } finally {
        cancel();
      }
    },
  };
}

/** `<url>/v1/traces`, whether or not the operator wrote the end. */
export function tracesUrl(base: string): string {
  const trimmed = base.replace(/\/+$/, "");
  return trimmed.endsWith("/v1/traces") ? trimmed : `${trimmed}/v1/traces`;
}

function authorizationOf({ username, password }: TracingTarget): Record<string, string> {
  if (username === null || password === null) return {};
  const credentials = Buffer.from(`${username}:${password}`, "utf8").toString("base64");
  return { authorization: `Basic ${credentials}` };
}

/** The SDK's own complaints: a receiver that is away, mostly. */
function reportFailures(log: Logger): void {
  let reports = 0;
  const report = (message: string): void => {
    if (reports++ % REPORT_EVERY === 0) log.warn({ reason: message.slice(0, 300), reports }, "tracing has trouble");
  };
  const ignore = (): void => {};
  diag.setLogger(
    { error: report, warn: report, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}
