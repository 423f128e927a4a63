import type { Context, Span } from "@opentelemetry/api";
import { ROOT_CONTEXT, TraceFlags, isSpanContextValid, trace } from "@opentelemetry/api";

/** `traceparent` of a span that is recorded and sampled; null otherwise, so that no trace costs nothing. */
export function traceparentOf(span: Span): string | null {
  if (!span.isRecording()) return null;
  const { traceId, spanId, traceFlags } = span.spanContext();
  return (traceFlags & TraceFlags.SAMPLED) === 0 ? null : `00-${traceId}-${spanId}-01`;
}

/** The context in which spans become children of `traceparent`. */
export function contextOfTraceparent(traceparent: string | null): Context {
  if (traceparent?.length !== 55) return ROOT_CONTEXT;
  const [, traceId = "", spanId = ""] = traceparent.split("-");
  const parent = { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: false };
  return isSpanContextValid(parent) ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
}
