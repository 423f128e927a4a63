import type { LogFields, Logger, Metrics } from "#src/ports/basics.ts";

/** One line as it was logged. */
export interface LoggedLine {
  level: string;
  fields: LogFields;
  message: string;
}

/** A logger that keeps its lines. */
export function recordingLogger(lines: LoggedLine[] = []): Logger & { lines: LoggedLine[] } {
  const at =
    (level: string) =>
    (fields: LogFields, message: string): void => {
      lines.push({ level, fields, message });
    };
  return {
    lines,
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => recordingLogger(lines),
  };
}

/** Metrics that keep what was counted, by name and labels. */
export class RecordingMetrics implements Metrics {
  readonly counts = new Map<string, number>();
  readonly gauges = new Map<string, () => number>();

  count(name: string, by = 1, labels: Record<string, string> = {}): void {
    const key = RecordingMetrics.#key(name, labels);
    this.counts.set(key, (this.counts.get(key) ?? 0) + by);
  }

  observe(name: string, _value: number, labels: Record<string, string> = {}): void {
    this.count(name, 1, labels);
  }

  gauge(name: string, read: () => number): void {
    this.gauges.set(name, read);
  }

  /** How often, for these very labels. */
  of(name: string, labels: Record<string, string> = {}): number {
    return this.counts.get(RecordingMetrics.#key(name, labels)) ?? 0;
  }

  static #key(name: string, labels: Record<string, string>): string {
    return `${name}${JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))}`;
  }
}
