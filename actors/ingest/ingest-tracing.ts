import {
  type Attributes,
  context,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  trace,
  TraceFlags,
} from "@opentelemetry/api";
import type { Context, Link } from "@opentelemetry/api";

/** The span context that a poller sent along; null when it is none, or nobody records it. */
function linkOf(traceparent: string | null): Link | null {
  if (traceparent === null || traceparent.length !== 55 || !traceparent.endsWith("-01")) return null;
  const span = {
    traceId: traceparent.slice(3, 35),
    spanId: traceparent.slice(36, 52),
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
  };
  return isSpanContextValid(span) ? { context: span } : null;
}

/** A span that may be recording, and the context for what is done inside it. */
export interface TracedStep {
  span: Span;
  context: Context;
}

/** Starts a span in the trace of the first poll that is recorded, linked to the others; null when none is. */
export function startStep(
  name: "ingest.commit" | "ingest.fan-out",
  traceparents: readonly (string | null)[],
  attributes: Attributes,
): TracedStep | null {
  const links = traceparents.map(linkOf).filter((link) => link !== null);
  const [parent] = links;
  if (parent === undefined) return null;
  const parentContext = trace.setSpanContext(ROOT_CONTEXT, parent.context);
  const span = trace.getTracer("glissade.ingest").startSpan(name, { attributes, links: links.slice(1) }, parentContext);
  return { span, context: trace.setSpan(parentContext, span) };
}

/**
 * Runs `work` inside the step, or outside of every trace: the turn that begins a group is often the one that ended the
 * group before, and under load each trace would go on for ever.
 */
export function inStep<T>(step: TracedStep | null, work: () => T): T {
  return inContext(step?.context ?? ROOT_CONTEXT, work);
}

/** Runs `work` in the trace of the first poll that is recorded, or outside of every trace. */
export function inTraceOfPolls<T>(traceparents: readonly (string | null)[], work: () => T): T {
  const first = traceparents.find((traceparent) => linkOf(traceparent) !== null) ?? null;
  const link = linkOf(first);
  return inContext(link === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, link.context), work);
}

function inContext<T>(wanted: Context, work: () => T): T {
  return context.active() === wanted ? work() : context.with(wanted, work);
}
