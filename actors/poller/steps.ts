import type { PollerState } from "#src/admin/api.ts";
import type { Cancel } from "#src/ports/basics.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import type { PollerMessage } from "./messages.ts";
import type { PollerRecord } from "./poller-record.ts";
import type { Resume } from "./setbacks.ts";

/** Names what is going on: a request, a batch, a wait. Results and timers of anything else are of the past. */
export class Steps {
  readonly #context: Pick<ActorContext<PollerMessage>, "after">;
  readonly #record: PollerRecord;
  #id = 0;
  #cancelTimer: Cancel | null = null;
  #resume: Resume = "load";

  constructor(context: Pick<ActorContext<PollerMessage>, "after">, record: PollerRecord) {
    this.#context = context;
    this.#record = record;
  }

  /** The step that is under way. */
  get id(): number {
    return this.#id;
  }

  get phase(): PollerState {
    return this.#record.phase;
  }

  /** What the wait that is under way ends with. */
  get resume(): Resume {
    return this.#resume;
  }

  /** Another step begins, without a timer. */
  begin(phase: PollerState): number {
    this.#record.enter(phase);
    this.clearTimer();
    return ++this.#id;
  }

  /** Waits before `resume`. */
  wait(delayMs: number, resume: Resume): void {
    this.begin("waiting");
    this.#resume = resume;
    this.#record.retriesIn(delayMs);
    this.#after(delayMs, "retry");
  }

  /** Has this step looked at once more when the device may be idle. */
  checkIdleIn(delayMs: number): void {
    this.#after(delayMs, "check-idle");
  }

  /** The one timer of this step. */
  #after(delayMs: number, type: "retry" | "check-idle"): void {
    this.#cancelTimer = this.#context.after(delayMs, { type, stepId: this.#id });
  }

  clearTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }
}
