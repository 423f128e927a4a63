import type { Context, Span } from "@opentelemetry/api";
import { ROOT_CONTEXT, SpanStatusCode, context, trace } from "@opentelemetry/api";
import { classifyNoAnswer } from "#src/homeserver/classify.ts";
import type { PollOrigin } from "#src/homeserver/sync-v2.ts";
import { traceparentOf } from "#src/homeserver/traceparent.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Presence } from "#src/protocol/presence.ts";
import type { Homeserver } from "#src/ports/homeserver.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import { pollDeadlineMs } from "./decide.ts";
import type { PollerMessage } from "./messages.ts";
import type { PollPart } from "./poll-part.ts";
import type { PolledDevice } from "./polled-device.ts";
import type { PollerStats } from "./poller-stats.ts";

/** What is polled for, and how. */
export interface PollPlan {
  userId: UserId;
  deviceId: DeviceId;
  /** How long the homeserver may hold the request. */
  timeoutMs: number;
  /** How the user is seen meanwhile. */
  presence: Presence;
  /** It is made without `since`. */
  isInitial: boolean;
  /** What of the answer is taken. */
  part: PollPart;
  startedAtMs: number;
}

/** With what a poll is made. */
export interface PollRequest {
  accessToken: string;
  since: string | null;
  filter: string;
  /** How long it may take, as configured. */
  configuredMs: number;
}

/** One poll from its request until its data is stored: the request, and the span that tells of all of it. */
export class Poll {
  readonly plan: PollPlan;
  readonly traceparent: string | null;
  /** In which the request is made: never that of the turn, or each poll would be a child of the one before, for ever. */
  readonly #context: Context;
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
    this.#context = this.traceparent === null ? ROOT_CONTEXT : trace.setSpan(ROOT_CONTEXT, this.#span);
    stats.requestStarted();
  }

  /** Makes the request. The answer comes as the end of step `stepId`. */
  send(
    actorContext: ActorContext<PollerMessage>,
    homeserver: Pick<Homeserver, "sync">,
    stepId: number,
    { configuredMs, ...from }: PollRequest,
  ): void {
    const { timeoutMs, presence } = this.plan;
    const { traceparent } = this;
    const controller = this.#controller;
    // It was ended before it began.
    if (controller === null) return;
    const params = { ...from, timeoutMs, presence, deadlineMs: pollDeadlineMs(configuredMs, timeoutMs), traceparent };
    context.with(this.#context, () => {
      actorContext.pipe(
        homeserver.sync(params, controller),
        (result) => ({ type: "poll-ended", stepId, result }),
        (error) => ({ type: "poll-ended", stepId, result: { ok: false, failure: classifyNoAnswer(error.code) } }),
      );
    });
  }

  /** Whose answer it is, for a device that has synced before. */
  originOf({
    hasSynced,
    roomsAreDue,
    polledAt,
  }: Pick<PolledDevice, "hasSynced" | "roomsAreDue" | "polledAt">): PollOrigin {
    const { userId, deviceId, isInitial, part } = this.plan;
    const origin: PollOrigin = { userId, deviceId, isFirstSync: isInitial, traceparent: this.traceparent };
    if (hasSynced && part !== "rooms") origin.hasSyncedBefore = true;
    if (part === "device" || (part === "all" && roomsAreDue)) origin.roomsAreDue = true;
    if (polledAt !== null) origin.polledAt = polledAt;
    return origin;
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
