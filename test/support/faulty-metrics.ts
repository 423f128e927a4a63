import { RecordingMetrics } from "./recording.ts";

/** Metrics that can throw: the one port every actor calls in the middle of its turns. */
export class FaultyMetrics extends RecordingMetrics {
  readonly #crashes: string[] = [];

  /** The next time this is counted or observed, the turn it happens in crashes. */
  crashAt(name: string): void {
    this.#crashes.push(name);
  }

  override count(name: string, by = 1, labels: Record<string, string> = {}): void {
    this.#maybeCrash(name);
    super.count(name, by, labels);
  }

  override observe(name: string, value: number, labels: Record<string, string> = {}): void {
    this.#maybeCrash(name);
    super.observe(name, value, labels);
  }

  #maybeCrash(name: string): void {
    const index = this.#crashes.indexOf(name);
    if (index === -1) return;
    this.#crashes.splice(index, 1);
    throw new Error(`made up: a bug at ${name}`);
  }
}
