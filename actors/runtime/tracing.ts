import { type Context, context, isSpanContextValid, ROOT_CONTEXT, trace, TraceFlags } from "@opentelemetry/api";
import type { Address } from "./actor.ts";

/** The active trace as it travels in an envelope: "" unless somebody records it, so that no trace costs nothing. */
export function activeTraceparent(): string {
  const active = context.active();
  if (active === ROOT_CONTEXT) return "";
  const span = trace.getSpanContext(active);
  if (span === undefined || (span.traceFlags & TraceFlags.SAMPLED) === 0 || !isSpanContextValid(span)) return "";
  return `00-${span.traceId}-${span.spanId}-01`;
}

/** Runs `work` outside of the trace that the caller's stack, or the timer that began it, happens to be a part of. */
export function outsideTraces(work: () => void): void {
  if (context.active() === ROOT_CONTEXT) work();
  else context.with(ROOT_CONTEXT, work);
}

/** `00-` trace id `-` span id `-01`; anything else, unsampled included, is no trace. */
function contextOf(traceparent: string): Context | null {
  if (traceparent.length !== 55 || !traceparent.startsWith("00-") || !traceparent.endsWith("-01")) return null;
  const span = {
    traceId: traceparent.slice(3, 35),
    spanId: traceparent.slice(36, 52),
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
  };
  return isSpanContextValid(span) ? trace.setSpanContext(ROOT_CONTEXT, span) : null;
}

/** Runs one turn as the span `kind.message-type` of the trace it came with. */
export function runTraced(
  traceparent: string,
  kind: Address["kind"],
  type: string,
  host: string,
  turn: () => void,
): void {
  const parent = contextOf(traceparent);
  if (parent === null) {
    turn();
    return;
  }
  const attributes = { "actor.kind": kind, "actor.host": host };
  const span = trace.getTracer("glissade.actors").startSpan(`${kind}.${type}`, { attributes }, parent);
  try {
    context.with(trace.setSpan(parent, span), turn);
  } finally {
    span.end();
  }
}
