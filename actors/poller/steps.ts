import type { Cancel } from "#src/ports/basics.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import type { PollerMessage } from "./messages.ts";

/** Names what is going on: a request, a batch, a wait. Results and timers of anything else are of the past. */
export class Steps {
  readonly #context: Pick<ActorContext<PollerMessage>, "after">;
  #id = 0;
  #cancelTimer: Cancel | null = null;

  constructor(context: Pick<ActorContext<PollerMessage>, "after">) {
    this.#context = context;
  }

  /** The step that is under way. */
  get id(): number {
    return this.#id;
  }

  /** Another step begins, without a timer. */
  begin(): number {
    this.clearTimer();
    return ++this.#id;
  }

  /** The one timer of this step. */
  after(delayMs: number, type: "retry" | "check-idle"): void {
    this.#cancelTimer = this.#context.after(delayMs, { type, stepId: this.#id });
  }

  clearTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }
}
