/** Milliseconds. `now` is wall clock; `mono` never goes back and is for durations. */
export interface Clock {
  now(): number;
  mono(): number;
}

/** Uniform in [0, 1). */
export interface Rng {
  next(): number;
}

export type Cancel = () => void;

/** One-shot timers; `unref`'d, so that a timer alone never keeps the process up. */
export interface Timers {
  after(delayMs: number, run: () => void): Cancel;
}

export type LogFields = Record<string, string | number | boolean | null | undefined | readonly string[]>;

/** Message = lower-case event phrase; data in `snake_case` fields; never tokens, contents or bodies. */
export interface Logger {
  trace(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  child(fields: LogFields): Logger;
}

/** Counters and histograms by name; the names are listed in `src/telemetry/metrics.ts`. */
export interface Metrics {
  count(name: string, by?: number, labels?: Record<string, string>): void;
  observe(name: string, value: number, labels?: Record<string, string>): void;
  /** `read` is called at each scrape. */
  gauge(name: string, read: () => number, labels?: Record<string, string>): void;
}
