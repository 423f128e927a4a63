import { SyncError } from "#src/errors.ts";
import type { Logger, Rng } from "#src/ports/basics.ts";
import { FAILURES_UNTIL_TOLD, type RetryCause, isWorthLogging, retryDelayMs } from "./decide.ts";

/** What `waiting` ends with. */
export type Resume = "load" | "poll" | "store";

/** Something that failed and is tried again. */
export interface Setback {
  cause: RetryCause;
  reason: string;
  /** As the homeserver asked; 0 = it did not. */
  retryAfterMs: number;
  resume: Resume;
}

/** Failures in a row, and what follows from each. */
export class Setbacks {
  readonly #deps: { log: Logger; rng: Rng };
  #count = 0;
  #lastReason: string | null = null;

  constructor(deps: { log: Logger; rng: Rng }) {
    this.#deps = deps;
  }

  /** Something went well. */
  over(): void {
    this.#count = 0;
    this.#lastReason = null;
  }

  /** Failures in a row, and what the last one was. */
  get view(): { failures: number; lastFailure: string | null } {
    return { failures: this.#count, lastFailure: this.#lastReason };
  }

  /** When it is tried again, and what those who wait are told, if it is time to. */
  add({ cause, reason, retryAfterMs, resume }: Setback): { delayMs: number; told: SyncError | null } {
    this.#count++;
    this.#lastReason = reason;
    const delayMs = retryDelayMs(cause, this.#count, retryAfterMs, this.#deps.rng);
    if (isWorthLogging(this.#count)) {
      this.#deps.log.warn({ attempt: this.#count, delay_ms: delayMs, reason, resume }, "poll failed");
    }
    if (this.#count < FAILURES_UNTIL_TOLD) return { delayMs, told: null };
    const code = cause === "storage" ? "storage_unavailable" : "homeserver_unreachable";
    return { delayMs, told: new SyncError(code, `polling keeps failing: ${reason}`) };
  }
}
