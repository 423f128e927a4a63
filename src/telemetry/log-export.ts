import { context, SeverityNumber } from "@opentelemetry/api";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import type { LogFields, Timers } from "#src/ports/basics.ts";
import type { LineSink } from "./logger.ts";
import { endExport, exporterOptions, resourceOf } from "./otlp.ts";
import type { OtlpTarget } from "./otlp.ts";

/** Log lines of one host on their way to a receiver. */
export interface LogExport {
  /** Takes a line that has been written and is free of secrets. */
  readonly sink: LineSink;
  /** Sends what is buffered; why it could not, or null. */
  shutdown(): Promise<string | null>;
}

const SEVERITIES = {
  trace: SeverityNumber.TRACE,
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
} as const;

/** Sends log lines to the receiver, each in the trace in which it was written. */
export function startLogExport(options: {
  target: OtlpTarget;
  host: string;
  version: string;
  timers: Timers;
}): LogExport {
  const exporter = new OTLPLogExporter(exporterOptions(options.target, "logs"));
  const provider = new LoggerProvider({
    resource: resourceOf(options.host, options.version),
    processors: [new BatchLogRecordProcessor({ exporter })],
  });
  const logger = provider.getLogger("glissade");
  return {
    sink: (level, fields, message) =>
      logger.emit({
        severityNumber: SEVERITIES[level],
        severityText: level,
        body: message,
        attributes: attributesOf(fields),
        context: context.active(),
      }),
    shutdown: () => endExport(() => provider.shutdown(), options.timers),
  };
}

function attributesOf(fields: LogFields): Record<string, string | number | boolean | string[]> {
  const attributes: Record<string, string | number | boolean | string[]> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === null || value === undefined) continue;
    attributes[name] = typeof value === "object" ? [...value] : value;
  }
  return attributes;
}
