import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { Attributes, Span, TextMapGetter } from "@opentelemetry/api";

const headersGetter: TextMapGetter<Headers> = {
  keys: (headers) => [...headers.keys()],
  get: (headers, key) => headers.get(key) ?? undefined,
};

/**
 * Runs `handle` inside a server span that continues the client's trace. Attributes are given one by one by their
 * writer: no header, no query, no body is ever copied into a span (T3).
 */
export function traceRequest<T>(
  name: string,
  headers: Headers,
  attributes: Attributes,
  handle: (span: Span) => Promise<T>,
): Promise<T> {
  const parent = propagation.extract(context.active(), headers, headersGetter);
  const tracer = trace.getTracer("glissade");
  return tracer.startActiveSpan(name, { kind: SpanKind.SERVER, attributes }, parent, async (span) => {
    try {
      return await handle(span);
    } finally {
      span.end();
    }
  });
}

/** Marks the outcome; a client's own mistakes do not make a span an error. */
export function setSpanStatus(span: Span, status: number, errorCode: string | null): void {
  span.setAttribute("http.response.status_code", status);
  if (errorCode !== null) span.setAttribute("error.type", errorCode);
  if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
}

/** For the log line; null when nothing is recorded. */
export function traceIdOf(span: Span): string | null {
  return span.isRecording() ? span.spanContext().traceId : null;
}
