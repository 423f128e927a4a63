import { type Context, context, ROOT_CONTEXT, type Span, trace } from "@opentelemetry/api";
import { activeTraceparent } from "#actors/runtime/tracing.ts";

/** The trace of one request over all the turns that serve it; there is one only while somebody records it. */
export class RequestTrace {
  /** Of the turn that took the request in. */
  readonly context: Context;
  #wait: Span | null = null;

  private constructor(turn: Context) {
    this.context = turn;
  }

  /** Of the turn that is running; null when nobody records it, so that no trace costs nothing. */
  static ofTurn(): RequestTrace | null {
    return activeTraceparent() === "" ? null : new RequestTrace(context.active());
  }

  /** Waiting is a span of its own: slow work stays visible among polls of half a minute. */
  parked(): void {
    this.#wait ??= trace.getTracer("glissade.actors").startSpan("connection.wait", {}, this.context);
  }

  /** The turn that is running ends the wait: it and the request point at each other. False when nobody records it. */
  wokenByTurn(): boolean {
    const turn = activeTraceparent() === "" ? undefined : trace.getSpan(context.active());
    const request = trace.getSpanContext(this.context);
    if (turn !== undefined && request !== undefined) {
      turn.addLink({ context: request });
      this.#wait?.addLink({ context: turn.spanContext() });
    }
    this.ended();
    return turn !== undefined;
  }

  /** Waits no longer. */
  ended(): void {
    this.#wait?.end();
    this.#wait = null;
  }
}

/** Runs `work` as a part of a request, whatever the turn that is running is a part of. */
export function inTraceOf<T>(request: RequestTrace | null, work: () => T): T {
  const wanted = request?.context ?? ROOT_CONTEXT;
  return context.active() === wanted ? work() : context.with(wanted, work);
}
