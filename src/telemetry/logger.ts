import { pino } from "pino";
import type { DestinationStream, Logger as PinoLogger } from "pino";
import type { LogLevel } from "#src/config/values.ts";
import type { LogFields, Logger } from "#src/ports/basics.ts";
import { gatherLines } from "./gathered-lines.ts";
import { scrub } from "./scrub.ts";

/** Never written, whatever the code around it believes. */
const FORBIDDEN_FIELDS = new Set([
  "access_token",
  "accessToken",
  "token",
  "authorization",
  "password",
  "secret",
  "body",
  "content",
  "key",
]);

/** How a thread's logger is made. */
export interface LoggerOptions {
  level: LogLevel;
  /** Bound to every line: which host of the process wrote it. */
  host: string;
  /** Where lines go; stdout unless given. */
  destination?: DestinationStream;
  /** Gets every line too that is written, with what is bound to it. */
  sink?: LineSink;
  /** Lines of one round of the event loop are written together; for a thread that lives until the process exits. */
  isGathering?: boolean;
}

/** Takes a line that has been written; nothing secret is in it. */
export type LineSink = (level: LineLevel, fields: LogFields, message: string) => void;

type LineLevel = "trace" | "debug" | "info" | "warn" | "error";

/**
 * One JSON object a line on stdout, written synchronously: a warning is out before what it tells of can crash us, and
 * pino's transports cannot be found inside a compiled executable.
 */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? standardOutput(options.isGathering === true);
  const root = pino(
    {
      level: options.level,
      base: { host: options.host },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return new ScrubbingLogger(root, options.sink ?? null, {});
}

function standardOutput(isGathering: boolean): DestinationStream {
  const output = pino.destination({ dest: 1, sync: true });
  if (!isGathering) return output;
  const lines = gatherLines(output, (run) => void setImmediate(run));
  process.on("exit", () => lines.flush());
  return lines;
}

/** The Logger port over pino; nothing secret passes. */
class ScrubbingLogger implements Logger {
  readonly #pino: PinoLogger;
  readonly #sink: LineSink | null;
  /** What is bound to every line, for the sink: pino has its own. */
  readonly #bound: LogFields;

  constructor(logger: PinoLogger, sink: LineSink | null, bound: LogFields) {
    this.#pino = logger;
    this.#sink = sink;
    this.#bound = bound;
  }

  trace(fields: LogFields, message: string): void {
    this.#write("trace", fields, message);
  }

  debug(fields: LogFields, message: string): void {
    this.#write("debug", fields, message);
  }

  info(fields: LogFields, message: string): void {
    this.#write("info", fields, message);
  }

  warn(fields: LogFields, message: string): void {
    this.#write("warn", fields, message);
  }

  error(fields: LogFields, message: string): void {
    this.#write("error", fields, message);
  }

  child(fields: LogFields): Logger {
    const scrubbed = scrubFields(fields);
    return new ScrubbingLogger(this.#pino.child(scrubbed), this.#sink, { ...this.#bound, ...scrubbed });
  }

  #write(level: LineLevel, fields: LogFields, message: string): void {
    if (!this.#pino.isLevelEnabled(level)) return;
    const scrubbed = scrubFields(fields);
    const text = scrub(message);
    this.#pino[level](scrubbed, text);
    this.#sink?.(level, { ...this.#bound, ...scrubbed }, text);
  }
}

function scrubFields(fields: LogFields): LogFields {
  const scrubbed: LogFields = {};
  for (const name in fields) {
    const value = fields[name];
    if (FORBIDDEN_FIELDS.has(name)) scrubbed[name] = "[redacted]";
    else if (typeof value === "string") scrubbed[name] = scrub(value);
    else if (Array.isArray(value)) scrubbed[name] = value.map(String).map(scrub);
    else scrubbed[name] = value;
  }
  return scrubbed;
}
