import { SyncError, invariant } from "#src/errors.ts";
import type { PollerState } from "#src/admin/api.ts";
import type { EventsMemo } from "#src/homeserver/events-memo.ts";
import { outlineSync } from "#src/homeserver/sync-v2.ts";
import type { UpstreamFailure } from "#src/ports/homeserver.ts";
import type { DeviceRecord } from "#src/ports/stores.ts";
import type { DeviceId, StreamPos, UserId } from "#src/protocol/ids.ts";
import { INGEST } from "#actors/addresses.ts";
import type { IngestCommand } from "#actors/ingest/messages.ts";
import type { Actor, ActorContext, Reply, StopReason } from "#actors/runtime/actor.ts";
import { adviseOnFailure } from "./decide.ts";
import { Cover } from "./cover.ts";
import { Demand } from "./demand.ts";
import { DeviceLoading } from "./device-loading.ts";
import { PolledDevice } from "./polled-device.ts";
import { answerHistory, askHistory } from "./history.ts";
import type { Slot } from "./first-sync-slots.ts";
import type { PollerMessage, PollingEnsured, StepEvent } from "./messages.ts";
import { partOf } from "./poll-part.ts";
import type { PollerDeps } from "./poller-deps.ts";
import { type PollerDescription, PollerRecord } from "./poller-record.ts";
import type { FailedPoll } from "./poller-stats.ts";
import { Polling } from "./polling.ts";
import { type Setback, Setbacks } from "./setbacks.ts";
import { Steps } from "./steps.ts";
import { Storing } from "./storing.ts";

type PollerStopped = Extract<IngestCommand, { type: "poller-stopped" }>;

const PAUSED = "an operator has paused this device";

/**
 * Runs sync v2 for one device, in phases:
 * loading ─▶ (queued ─▶) polling ─▶ storing ─▶ polling …, with `waiting` before whatever is tried again, and `paused` for
 * as long as an operator wants. Parked, or without a valid token, it stops itself: the next message activates it anew, from
 * the stored `since`.
 */
export class PollerActor implements Actor<PollerMessage> {
  readonly #context: ActorContext<PollerMessage>;
  readonly #deps: PollerDeps;
  readonly #who: { readonly userId: UserId; readonly deviceId: DeviceId };
  readonly #storing: Storing;
  readonly #setbacks: Setbacks;
  readonly #demand: Demand;
  readonly #loading: DeviceLoading;
  readonly #device = new PolledDevice();
  readonly #record: PollerRecord;
  readonly #polling: Polling;
  readonly #steps: Steps;
  #slot: Slot | null = null;
  readonly #cover: Cover;
  #drained: PromiseWithResolvers<void> | null = null;

  /** `memo`: one for all pollers of the host. */
  constructor(actorContext: ActorContext<PollerMessage>, deps: PollerDeps, memo: EventsMemo) {
    const [userId, deviceId] = JSON.parse(actorContext.self.key) as [UserId, DeviceId];
    this.#context = actorContext;
    this.#deps = deps;
    this.#who = { userId, deviceId };
    this.#polling = new Polling(actorContext, deps, this.#who);
    this.#record = new PollerRecord(actorContext.clock, deps.stats);
    this.#steps = new Steps(actorContext, this.#record);
    this.#loading = new DeviceLoading(actorContext, deps.devices, this.#who);
    this.#storing = new Storing(actorContext, deps.stats, memo);
    this.#setbacks = new Setbacks(actorContext);
    this.#demand = new Demand(actorContext.clock, deps.config.idleMs, deps.stats);
    this.#cover = new Cover(actorContext, deps.companions, this.#who);
    deps.stats.pollerStarted();
    this.#load();
  }

  receive(message: PollerMessage): void {
    if (this.#phase === "stopped") return;
    switch (message.type) {
      case "ensure-polling":
        this.#demand.used();
        this.#ensure(message.reply);
        return;
      case "touch":
        this.#demand.used();
        return;
      case "be-seen":
        // A poll that shows the user as somebody else is followed by another one at once.
        if (this.#polling.beSeen(message.connection, message.presence, message.forMs)) this.#hurry();
        return;
      case "token-changed":
        this.#demand.used();
        this.#loading.again(this.#device.deadTokenHash);
        return;
      case "token-unused":
        if (this.#device.isUsing(message.tokenHash)) this.#tokenUnused();
        return;
      case "pause-changed":
        this.#loadAnew();
        return;
      case "poll-through":
        if (this.#phase === "paused") message.reply.reject(new SyncError("homeserver_unreachable", PAUSED));
        else {
          this.#demand.forPollAfter(this.#polling.begun, message.reply);
          if (message.isPatient !== true) this.#hurry();
        }
        return;
      case "poll-now":
        this.#hurry();
        return;
      case "read-history": {
        // Nothing is asked of a homeserver that polls leave in peace.
        const token = this.#phase === "waiting" || this.#phase === "paused" ? null : this.#device.accessToken;
        askHistory(this.#context, this.#deps.homeserver, token, message);
        return;
      }
      case "history-read":
        answerHistory(message.reply, message.answer);
        return;
      case "device-loaded":
        if (this.#loading.isLatest(message.loadId)) this.#deviceLoaded(message.device);
        return;
      case "load-failed":
        // Elsewhere it was about a newer token: the one in use serves until it is refused.
        if (this.#loading.isLatest(message.loadId) && this.#phase === "loading")
          this.#retry("storage", { cause: "storage", reason: message.error.code, retryAfterMs: 0, resume: "load" });
        return;
      case "filter-ready":
        this.#polling.filters.id = message.filterId;
        return;
      case "companion-polled":
        this.#companionPolled(message.isThrough);
        return;
      case "patience-over":
        this.#cover.patienceOver();
        if (this.#cover.isEnough) this.#demand.roomsAreHere();
        return;
      default:
        if (message.stepId === this.#steps.id) this.#stepEnded(message);
    }
  }

  stop(reason: StopReason): void {
    if (this.#phase !== "stopped") this.#halt();
    this.#demand.forget();
    this.#deps.stats.pollerStopped();
    this.#record.end();
    // A crashed one is back in a moment: what it alone reported stays.
    if (reason === "crashed") return;
    const stopped: PollerStopped = { type: "poller-stopped", ...this.#who };
    this.#context.tell(INGEST, stopped);
  }

  drain(): Promise<void> {
    if (this.#phase !== "storing") {
      this.#halt();
      return Promise.resolve();
    }
    // The batch under way is worth its answer; the rest of the poll comes again after the start.
    this.#drained ??= Promise.withResolvers<void>();
    return this.#drained.promise;
  }

  get state(): string {
    return this.#phase;
  }

  describe(): PollerDescription {
    return this.#record.view({
      ...this.#who,
      ...this.#setbacks.view,
      hasSynced: this.#device.hasSynced,
      storing: this.#storing.work?.progress ?? null,
      waitingRequests: this.#demand.waitingRequests,
    });
  }

  get #phase(): PollerState {
    return this.#steps.phase;
  }

  #stepEnded(event: StepEvent): void {
    switch (event.type) {
      case "slot-granted":
        this.#send();
        return;
      case "poll-ended":
        this.#steps.clearTimer();
        this.#polling.current?.answered();
        if (event.result.ok) this.#bodyArrived(event.result.value);
        else this.#pollFailed(event.result.failure);
        return;
      case "send-batch":
        if (this.#drained === null) this.#storing.send(this.#steps.id);
        return;
      case "batch-stored":
        this.#batchStored(event.pos);
        return;
      case "batch-failed":
        this.#storing.rewind();
        this.#retry("storage", { cause: "storage", reason: event.error.code, retryAfterMs: 0, resume: "store" });
        return;
      case "retry":
        if (this.#steps.resume === "load") this.#load();
        else if (this.#steps.resume === "store") this.#storing.send(this.#steps.begin("storing"));
        else this.#next();
        return;
      case "check-idle":
        if (this.#demand.isOver) this.#park();
        else if (this.#phase === "paused") this.#watchIdleness(Infinity);
    }
  }

  #ensure(reply: Reply<PollingEnsured>): void {
    const isReady = this.#device.hasRooms || this.#cover.isEnough;
    if (this.#phase === "paused" || (isReady && this.#phase !== "loading")) reply.resolve({ ok: true });
    else this.#demand.forRooms(reply);
  }

  /** All that is older than this device's `since` is here, or this device reads the rooms itself. */
  #companionPolled(isThrough: boolean): void {
    this.#cover.ended(isThrough);
    if (!isThrough) {
      this.#hurry();
      return;
    }
    this.#device.covered();
    this.#synced();
  }

  #hurry(): void {
    if (this.#polling.hurry() && this.#phase === "polling") this.#next();
  }

  #load(): void {
    this.#steps.begin("loading");
    this.#loading.beginAnew(this.#device.deadTokenHash);
  }

  #deviceLoaded(device: DeviceRecord | null): void {
    if (this.#phase !== "loading") {
      this.#device.renewToken(device);
      return;
    }
    if (!this.#device.adopt(device)) {
      const code = this.#device.isSoftLogout ? "soft_logout" : "unknown_token";
      this.#demand.refuseRooms(new SyncError(code, "EnsurePolling failed: access token invalid or invalidated"));
      this.#halt();
      this.#context.stopSelf();
      return;
    }
    this.#setbacks.over();
    if (this.#device.isPaused) {
      this.#pause();
      return;
    }
    if (this.#device.hasRooms) this.#synced();
    else if (this.#cover.by !== null) this.#cover.begin();
    this.#next();
  }

  /** The homeserver is not asked for this device; its clients are answered from what is known. */
  #pause(): void {
    this.#context.log.info({}, "poller paused");
    this.#cover.isUnwell();
    this.#steps.begin("paused");
    this.#demand.roomsAreHere();
    this.#demand.refusePolls(new SyncError("homeserver_unreachable", PAUSED));
    this.#watchIdleness(Infinity);
  }

  /** Whatever is under way is dropped: it comes again from the stored `since`. */
  #dropWork(): void {
    this.#steps.begin("loading");
    this.#polling.end("stopped");
    this.#storing.end();
  }

  #loadAnew(): void {
    this.#dropWork();
    this.#releaseSlot();
    this.#load();
  }

  #tokenUnused(): void {
    this.#dropWork();
    this.#tokenIsDead(this.#device.dropToken());
  }

  #tokenIsDead(tokenHash: string): void {
    this.#cover.isUnwell();
    this.#releaseSlot();
    this.#loading.tokenRefused(tokenHash, this.#device.isSoftLogout);
    // A newer token may be there already.
    this.#load();
  }

  /** Polls, after waiting for its turn when it is a first sync. */
  #next(): void {
    if (this.#demand.isOver) {
      this.#park();
      return;
    }
    if (!this.#device.isWholeNext || this.#slot !== null || this.#cover.by !== null) {
      this.#send();
      return;
    }
    const stepId = this.#steps.begin("queued");
    this.#slot = this.#deps.slots.request(this.#who.userId);
    const granted = () => ({ type: "slot-granted", stepId }) as const;
    this.#context.pipe(this.#slot.granted, granted, granted);
  }

  #send(): void {
    const stepId = this.#steps.begin("polling");
    const other = this.#cover.by;
    if (other !== null && this.#device.isToBeCovered) this.#cover.await(other);
    this.#watchIdleness(this.#polling.send(stepId, this.#device, other !== null));
  }

  #pollFailed(failure: UpstreamFailure): void {
    const advice = adviseOnFailure(failure, this.#polling.namesFilter);
    this.#polling.end(failure.kind);
    if (advice.do === "drop-token") {
      this.#deps.stats.pollFailed("auth");
      this.#tokenIsDead(this.#device.refusePolledToken(advice.isSoftLogout));
      return;
    }
    if (advice.do === "forget-filter") this.#polling.filters.id = null;
    const reason = failure.kind === "auth" ? failure.kind : failure.reason;
    this.#retry(failure.kind, { cause: advice.cause, reason, retryAfterMs: advice.retryAfterMs, resume: "poll" });
  }

  #bodyArrived(body: Uint8Array): void {
    const poll = this.#polling.current;
    invariant(poll !== null, "a body belongs to a poll");
    const outline = outlineSync(body);
    if (typeof outline === "string") {
      // Never believed in part: without all of it, what lies between two `since` would be lost.
      this.#polling.end("unreadable");
      const cause = body.length === 0 ? "empty" : "hopeless";
      const reason = `${outline} (${body.length} bytes)`;
      this.#retry("unreadable", { cause, reason, retryAfterMs: 0, resume: "poll" });
      return;
    }
    this.#setbacks.over();
    const origin = poll.originOf(this.#device);
    if (this.#storing.begin(partOf(outline, poll.plan.part, this.#device.since), origin))
      this.#storing.send(this.#steps.begin("storing"));
    else {
      // Asked again from an older `since`, the homeserver has as little to say.
      this.#pollStored(null);
      this.#goOn();
    }
  }

  #goOn(): void {
    if (this.#drained !== null) this.#halt();
    else if (this.#polling.pauseMs === 0) this.#next();
    else this.#steps.wait(this.#polling.pauseMs, "poll");
  }

  #batchStored(pos: StreamPos): void {
    this.#setbacks.over();
    const isDone = this.#storing.batchStored();
    if (!isDone && this.#drained === null) {
      this.#storing.send(this.#steps.id);
      return;
    }
    // What was sent is worth its answer, even if the host ends.
    if (!isDone && this.#storing.work?.isUnderWay === true) return;
    if (isDone) this.#pollStored(pos);
    this.#goOn();
  }

  /** `pos`: where the stream stood then; null when nothing had to be stored. */
  #pollStored(pos: StreamPos | null): void {
    const { work } = this.#storing;
    invariant(work !== null, "a poll is at hand that was stored");
    const part = this.#polling.stored(work, this.#device, pos);
    this.#storing.end();
    this.#record.stored();
    this.#releaseSlot();
    if (this.#device.hasRooms) {
      this.#cover.isWell();
      this.#synced();
    }
    if (part === "all") this.#demand.pollStored(this.#polling.begun);
  }

  /** There is a `since`: those who wait are answered, and later polls may name a stored filter. */
  #synced(): void {
    this.#demand.roomsAreHere();
    this.#polling.filters.prepare(this.#context, this.#deps, this.#who.userId, this.#device.accessToken);
  }

  #retry(failed: FailedPoll, setback: Setback): void {
    const { resume } = setback;
    this.#cover.isUnwell();
    this.#deps.stats.pollFailed(failed);
    const { delayMs, told } = this.#setbacks.add(setback);
    if (told !== null) {
      this.#demand.refuseRooms(told);
      this.#demand.refusePolls(told);
    }
    // Others may sync meanwhile; one that is being stored is nearly through.
    if (resume !== "store") this.#releaseSlot();
    if (this.#drained === null) this.#steps.wait(delayMs, resume);
    else this.#halt();
  }

  /** Only a poll during which the device may become idle needs a timer. */
  #watchIdleness(timeoutMs: number): void {
    const { idleInMs } = this.#demand;
    if (idleInMs < timeoutMs) this.#steps.checkIdleIn(Math.max(idleInMs, 0));
  }

  #park(): void {
    this.#context.log.debug({}, "poller parked");
    this.#halt();
    this.#context.stopSelf();
  }

  /** Ends everything that is under way, for good. */
  #halt(): void {
    this.#steps.begin("stopped");
    this.#cover.isUnwell();
    this.#polling.end("stopped");
    this.#releaseSlot();
    this.#storing.end();
    this.#demand.refusePolls(new SyncError("actor_stopped", "the poller has stopped"));
    this.#drained?.resolve();
  }

  #releaseSlot(): void {
    this.#slot?.release();
    this.#slot = null;
  }
}
