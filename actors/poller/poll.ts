import type { Context, Span } from "@opentelemetry/api";
import { ROOT_CONTEXT, SpanStatusCode, trace } from "@opentelemetry/api";
import { traceparentOf } from "#src/homeserver/traceparent.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { SyncRequestParams } from "#src/ports/homeserver.ts";
import { pollDeadlineMs } from "./decide.ts";
import type { PollerStats } from "./poller-stats.ts";

/** What is polled for, and how. */
export interface PollPlan {
  userId: UserId;
  deviceId: DeviceId;
  /** How long the homeserver may hold the request. */
  timeoutMs: number;
  /** It is made without `since`. */
  isInitial: boolean;
  startedAtMs: number;
}

/** The request of a poll. */
export const requestOf = (
  poll: Poll,
  from: { accessToken: string; since: string | null; filter: string; configuredMs: number },
): SyncRequestParams => ({
  accessToken: from.accessToken,
  since: from.since,
  timeoutMs: poll.plan.timeoutMs,
  filter: from.filter,
  deadlineMs: pollDeadlineMs(from.configuredMs, poll.plan.timeoutMs),
  traceparent: poll.traceparent,
});

/** One poll from its request until its data is stored: the request, and the span that tells of all of it. */
export class Poll {
  readonly plan: PollPlan;
  readonly traceparent: string | null;
  /** In which the request is made: never that of the turn, or each poll would be a child of the one before, for ever. */
  readonly context: Context;
  readonly #stats: PollerStats;
  readonly #span: Span;
  #controller: AbortController | null = new AbortController();

  constructor(plan: PollPlan, stats: PollerStats) {
    this.plan = plan;
    this.#stats = stats;
    const attributes = {
      "sync.user_id": plan.userId,
      "sync.device_id": plan.deviceId,
      "sync.initial": plan.isInitial,
    };
    this.#span = trace.getTracer("glissade.actors").startSpan("poller.sync", { attributes }, ROOT_CONTEXT);
    this.traceparent = traceparentOf(this.#span);
    this.context = this.traceparent === null ? ROOT_CONTEXT : trace.setSpan(ROOT_CONTEXT, this.#span);
    stats.requestStarted();
  }

  get signal(): AbortSignal {
    return this.#controller?.signal ?? AbortSignal.abort();
  }

  /** The request is over; nothing of it is kept. */
  answered(): void {
    if (this.#controller === null) return;
    this.#controller = null;
    this.#stats.requestEnded();
  }

  /** Ends the poll, its request too when that is still under way. */
  end(error: string | null): void {
    this.#controller?.abort();
    this.answered();
    if (error !== null) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: error });
    this.#span.end();
  }
}
