import type { PollerState, PollerView } from "#src/admin/api.ts";
import type { Clock } from "#src/ports/basics.ts";
import type { PollerStats } from "./poller-stats.ts";

/** What a poller says of itself, but for its host. */
export type PollerDescription = Omit<PollerView, "host">;

/** What a poller is doing, and since when: for operators who ask. */
export class PollerRecord {
  readonly #clock: Clock;
  readonly #stats: Pick<PollerStats, "phaseChanged">;
  readonly #startedMs: number;
  #phase: PollerState = "loading";
  #phaseSinceMs: number;
  #storedMs: number | null = null;
  #retryMs: number | null = null;

  constructor(clock: Clock, stats: Pick<PollerStats, "phaseChanged">) {
    this.#clock = clock;
    this.#stats = stats;
    stats.phaseChanged(null, this.#phase);
    this.#startedMs = clock.mono();
    this.#phaseSinceMs = this.#startedMs;
  }

  get phase(): PollerState {
    return this.#phase;
  }

  enter(phase: PollerState): void {
    this.#stats.phaseChanged(this.#phase, phase);
    this.#phase = phase;
    this.#phaseSinceMs = this.#clock.mono();
    this.#retryMs = null;
  }

  /** The poller is no more. */
  end(): void {
    this.#stats.phaseChanged(this.#phase, null);
  }

  /** A poll is stored. */
  stored(): void {
    this.#storedMs = this.#clock.mono();
  }

  retriesIn(delayMs: number): void {
    this.#retryMs = this.#clock.mono() + delayMs;
  }

  view(
    rest: Omit<PollerDescription, "state" | "stateSinceAtMs" | "startedAtMs" | "lastStoredAtMs" | "retryAtMs">,
  ): PollerDescription {
    // The clock that never goes back knows no dates.
    const offsetMs = this.#clock.now() - this.#clock.mono();
    const dateOf = (monoMs: number): number => Math.round(monoMs + offsetMs);
    return {
      ...rest,
      state: this.#phase,
      stateSinceAtMs: dateOf(this.#phaseSinceMs),
      startedAtMs: dateOf(this.#startedMs),
      lastStoredAtMs: this.#storedMs === null ? null : dateOf(this.#storedMs),
      retryAtMs: this.#retryMs === null ? null : dateOf(this.#retryMs),
    };
  }
}
