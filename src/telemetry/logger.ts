import { pino } from "pino";
import type { DestinationStream, Logger as PinoLogger } from "pino";
import type { LogLevel } from "#src/config/values.ts";
import type { LogFields, Logger } from "#src/ports/basics.ts";
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
}

/**
 * One JSON object a line on stdout, written synchronously: a line is out before what it tells of can crash us, and
 * pino's transports cannot be found inside a compiled executable.
 */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? pino.destination({ dest: 1, sync: true });
  const root = pino(
    {
      level: options.level,
      base: { host: options.host },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return new ScrubbingLogger(root);
}

/** The Logger port over pino; nothing secret passes. */
class ScrubbingLogger implements Logger {
  readonly #pino: PinoLogger;

  constructor(logger: PinoLogger) {
    this.#pino = logger;
  }

  trace(fields: LogFields, message: string): void {
    if (this.#pino.isLevelEnabled("trace")) this.#pino.trace(scrubFields(fields), scrub(message));
  }

  debug(fields: LogFields, message: string): void {
    if (this.#pino.isLevelEnabled("debug")) this.#pino.debug(scrubFields(fields), scrub(message));
  }

  info(fields: LogFields, message: string): void {
    if (this.#pino.isLevelEnabled("info")) this.#pino.info(scrubFields(fields), scrub(message));
  }

  warn(fields: LogFields, message: string): void {
    if (this.#pino.isLevelEnabled("warn")) this.#pino.warn(scrubFields(fields), scrub(message));
  }

  error(fields: LogFields, message: string): void {
    if (this.#pino.isLevelEnabled("error")) this.#pino.error(scrubFields(fields), scrub(message));
  }

  child(fields: LogFields): Logger {
    return new ScrubbingLogger(this.#pino.child(scrubFields(fields)));
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
