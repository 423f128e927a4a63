import { context } from "@opentelemetry/api";
import { SyncError, invariant } from "#src/errors.ts";
import type { EventsMemo } from "#src/homeserver/events-memo.ts";
import { classifyNoAnswer } from "#src/homeserver/classify.ts";
import type { PollOrigin } from "#src/homeserver/sync-v2.ts";
import { outlineSync } from "#src/homeserver/sync-v2.ts";
import type { Cancel } from "#src/ports/basics.ts";
import type { UpstreamFailure } from "#src/ports/homeserver.ts";
import type { DeviceRecord } from "#src/ports/stores.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { GATEWAY, INGEST } from "#actors/addresses.ts";
import type { GatewayMessage } from "#actors/gateway/messages.ts";
import type { BatchApplied, IngestCommand, PollerSettled } from "#actors/ingest/messages.ts";
import type { Actor, ActorContext, Reply, StopReason } from "#actors/runtime/actor.ts";
import type { RetryCause } from "./decide.ts";
import { FAILURES_UNTIL_TOLD, LONG_POLL_MS, adviseOnFailure, isWorthLogging, retryDelayMs } from "./decide.ts";
import { DeviceSession } from "./device-session.ts";
import { Idleness } from "./idleness.ts";
import type { Slot } from "./first-sync-slots.ts";
import type { PollerMessage, PollingEnsured, StepEvent } from "./messages.ts";
import { PollWork } from "./poll-work.ts";
import { PollFilters } from "./poll-filters.ts";
import { Poll, requestOf } from "./poll.ts";
import type { PollerDeps } from "./poller-deps.ts";
import { loadDevice, prepareFilter } from "./poller-deps.ts";
import type { FailedPoll } from "./poller-stats.ts";
import { SpinWatch } from "./spin-watch.ts";
import { Throughs, Waiters } from "./waiters.ts";

/** Ingest answers when a batch is committed and applied; what takes longer is sent again, which is harmless. */
const STORE_DEADLINE_MS = 60_000;

/** A `since` that came with nothing else is stored this often, so that the stored one does not grow too old to be served. */
const QUIET_SINCE_MS = 5 * 60_000;

type PollerStopped = Extract<IngestCommand, { type: "poller-stopped" }>;
type SettlePoller = Omit<Extract<IngestCommand, { type: "settle-poller" }>, "reply">;

/**
 * loading ─▶ (queued ─▶) polling ─▶ storing ─▶ polling …, with `waiting` before whatever is tried again.
 * Parked, or without a valid token, it stops itself: the next message activates it anew, from the stored `since`.
 */
type Phase = "loading" | "queued" | "polling" | "storing" | "waiting" | "stopped";

/** What `waiting` ends with. */
type Resume = "load" | "poll" | "store";

/** Runs sync v2 for one device: see the phases above. */
export class PollerActor implements Actor<PollerMessage> {
  readonly #context: ActorContext<PollerMessage>;
  readonly #deps: PollerDeps;
  readonly #who: { readonly userId: UserId; readonly deviceId: DeviceId };
  readonly #memo: EventsMemo;
  readonly #waiters: Waiters;
  readonly #device = new DeviceSession();
  #phase: Phase = "loading";
  #resume: Resume = "load";
  /** No poll of this incarnation has been stored yet. */
  #isFirstPoll = true;
  /** The next poll asks the homeserver not to hold it. */
  #isHurried = false;
  readonly #filters = new PollFilters();
  /** Names the load that counts; results of earlier ones are of the past. */
  #loadId = 0;
  /** Names what is going on: a request, a batch, a wait. Results of anything else are of the past. */
  #stepId = 0;
  #cancelTimer: Cancel | null = null;
  #slot: Slot | null = null;
  #poll: Poll | null = null;
  #work: PollWork | null = null;
  /** Polls begun in this incarnation. */
  #sends = 0;
  readonly #throughs = new Throughs();
  #failures = 0;
  readonly #spins = new SpinWatch();
  /** When a `since` was last stored, and the keys that came with it. */
  #storedAtMs = Number.NEGATIVE_INFINITY;
  #storedKeys: string | null = null;
  readonly #idleness: Idleness;
  #drained: PromiseWithResolvers<void> | null = null;

  /** `memo`: one for all pollers of the host. */
  constructor(actorContext: ActorContext<PollerMessage>, deps: PollerDeps, memo: EventsMemo) {
    this.#memo = memo;
    const [userId, deviceId] = JSON.parse(actorContext.self.key) as [UserId, DeviceId];
    this.#context = actorContext;
    this.#deps = deps;
    this.#who = { userId, deviceId };
    this.#waiters = new Waiters(deps.stats);
    this.#idleness = new Idleness(deps.config.idleMs, actorContext.clock.mono());
    deps.stats.pollerStarted();
    this.#load();
  }

  receive(message: PollerMessage): void {
    if (this.#phase === "stopped") return;
    switch (message.type) {
      case "ensure-polling":
        this.#used();
        this.#ensure(message.reply);
        return;
      case "touch":
        this.#used();
        return;
      case "token-changed":
        this.#used();
        this.#pipeDevice(Promise.resolve());
        return;
      case "token-unused":
        if (this.#device.isUsing(message.tokenHash)) this.#tokenUnused();
        return;
      case "poll-through":
        this.#throughs.add(this.#sends, message.reply);
        this.#hurry();
        return;
      case "poll-now":
        this.#hurry();
        return;
      case "device-loaded":
        if (message.loadId === this.#loadId) this.#deviceLoaded(message.device);
        return;
      case "load-failed":
        if (message.loadId === this.#loadId) this.#loadFailed(message.error);
        return;
      case "filter-ready":
        this.#filters.id = message.filterId;
        return;
      default:
        if (message.stepId === this.#stepId) this.#stepEnded(message);
    }
  }

  stop(reason: StopReason): void {
    if (this.#phase !== "stopped") this.#halt();
    this.#waiters.forget();
    this.#deps.stats.pollerStopped();
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

  #stepEnded(event: StepEvent): void {
    switch (event.type) {
      case "slot-granted":
        this.#send();
        return;
      case "poll-ended":
        this.#clearTimer();
        this.#poll?.answered();
        if (event.result.ok) this.#bodyArrived(event.result.value);
        else this.#pollFailed(event.result.failure);
        return;
      case "send-batch":
        if (this.#drained === null) this.#sendBatch();
        return;
      case "batch-stored":
        this.#batchStored();
        return;
      case "batch-failed":
        this.#work?.rewind();
        this.#retry("storage", "storage", event.error.code, 0, "store");
        return;
      case "retry":
        if (this.#resume === "load") this.#load();
        else if (this.#resume === "store") this.#store();
        else this.#next();
        return;
      case "check-idle":
        if (this.#isIdle()) this.#park();
    }
  }

  #used(): void {
    this.#idleness.used(this.#context.clock.mono());
  }

  #ensure(reply: Reply<PollingEnsured>): void {
    const isReady = this.#device.hasSynced || (this.#device.accessToken !== null && this.#isCovered());
    if (isReady && this.#phase !== "loading") reply.resolve({ ok: true });
    else this.#waiters.add(reply);
  }

  /** Another device of the user brings all that is not this device's own: nobody has to wait for a first sync here. */
  #isCovered(): boolean {
    return this.#deps.companions.cover(this.#who.userId, this.#who.deviceId);
  }

  #hurry(): void {
    this.#isHurried = true;
    // A poll that is not held may have been answered before what is to be fetched: it is followed by another one.
    if (this.#phase !== "polling" || this.#poll?.plan.timeoutMs === 0) return;
    this.#next();
  }

  #load(): void {
    this.#phase = "loading";
    // What an earlier life sent to ingest may still be on its way: its `since` is read behind it.
    const settle: SettlePoller = { type: "settle-poller", ...this.#who };
    this.#pipeDevice(this.#context.ask<PollerSettled>(INGEST, settle, { deadlineMs: STORE_DEADLINE_MS }));
  }

  #pipeDevice(until: Promise<unknown>): void {
    const loadId = ++this.#loadId;
    const load = (): Promise<DeviceRecord | null> =>
      loadDevice(this.#deps, this.#who.userId, this.#who.deviceId, this.#device.deadTokenHash);
    this.#context.pipe(
      until.then(load),
      (device) => ({ type: "device-loaded", loadId, device }),
      (error) => ({ type: "load-failed", loadId, error }),
    );
  }

  #loadFailed(error: SyncError): void {
    // Elsewhere it was about a newer token: the one in use serves until it is refused.
    if (this.#phase === "loading") this.#retry("storage", "storage", error.code, 0, "load");
  }

  #deviceLoaded(device: DeviceRecord | null): void {
    if (this.#phase !== "loading") {
      this.#device.renewToken(device);
      return;
    }
    if (!this.#device.adopt(device)) {
      const code = this.#device.isSoftLogout ? "soft_logout" : "unknown_token";
      this.#waiters.rejectAll(new SyncError(code, "EnsurePolling failed: access token invalid or invalidated"));
      this.#halt();
      this.#context.stopSelf();
      return;
    }
    this.#failures = 0;
    if (this.#device.hasSynced) this.#synced();
    else if (this.#isCovered()) this.#waiters.resolveAll();
    this.#next();
  }

  /** Whatever is under way with the token is dropped. */
  #tokenUnused(): void {
    this.#beginStep("loading");
    this.#endPoll("stopped");
    this.#work = null;
    this.#tokenIsDead(this.#device.dropToken());
  }

  #tokenIsDead(tokenHash: string): void {
    this.#deps.companions.isUnwell(this.#who.userId, this.#who.deviceId);
    this.#context.log.info({ token_hash: tokenHash, soft_logout: this.#device.isSoftLogout }, "access token refused");
    this.#releaseSlot();
    const expired: GatewayMessage = { type: "token-expired", tokenHash, ...this.#who };
    this.#context.tell(GATEWAY, expired);
    // A newer token may be there already.
    this.#load();
  }

  /** Polls, after waiting for its turn when it is a first sync. */
  #next(): void {
    if (this.#isIdle()) {
      this.#park();
      return;
    }
    if (this.#device.hasSynced || this.#slot !== null || this.#isCovered()) {
      this.#send();
      return;
    }
    this.#phase = "queued";
    const stepId = ++this.#stepId;
    this.#slot = this.#deps.slots.request();
    const granted = () => ({ type: "slot-granted", stepId }) as const;
    this.#context.pipe(this.#slot.granted, granted, granted);
  }

  #send(): void {
    const { config, homeserver, stats } = this.#deps;
    const stepId = this.#beginStep("polling");
    this.#sends++;
    const { since } = this.#device;
    const timeoutMs = this.#isFirstPoll || this.#isHurried ? 0 : LONG_POLL_MS;
    this.#isHurried = false;
    this.#poll?.end("superseded");
    const startedAtMs = this.#context.clock.mono();
    const poll = new Poll({ ...this.#who, timeoutMs, isInitial: since === null, startedAtMs }, stats);
    this.#poll = poll;
    this.#watchIdleness(timeoutMs);
    const params = requestOf(poll, {
      accessToken: this.#device.tokenForPoll(),
      since,
      filter: this.#filters.choose({ since, hasSynced: this.#device.hasSynced, isCovered: this.#isCovered() }),
      configuredMs: this.#isFirstPoll ? config.firstPollDeadlineMs : config.pollDeadlineMs,
    });
    context.with(poll.context, () => {
      this.#context.pipe(
        homeserver.sync(params, poll.signal),
        (result) => ({ type: "poll-ended", stepId, result }),
        (error) => ({ type: "poll-ended", stepId, result: { ok: false, failure: classifyNoAnswer(error.code) } }),
      );
    });
  }

  #pollFailed(failure: UpstreamFailure): void {
    const usesFilterId = this.#filters.hasId && this.#poll?.plan.isInitial === false;
    const advice = adviseOnFailure(failure, usesFilterId);
    this.#endPoll(failure.kind);
    if (advice.do === "drop-token") {
      this.#deps.stats.pollFailed("auth");
      this.#tokenIsDead(this.#device.refusePolledToken(advice.isSoftLogout));
      return;
    }
    if (advice.do === "forget-filter") this.#filters.id = null;
    const reason = failure.kind === "auth" ? failure.kind : failure.reason;
    this.#retry(advice.cause, failure.kind, reason, advice.retryAfterMs, "poll");
  }

  #bodyArrived(body: Uint8Array): void {
    const poll = this.#poll;
    invariant(poll !== null, "a body belongs to a poll");
    const outline = outlineSync(body);
    if (typeof outline === "string") {
      // Never believed in part: without all of it, what lies between two `since` would be lost.
      this.#endPoll("unreadable");
      const cause = body.length === 0 ? "empty" : "hopeless";
      this.#retry(cause, "unreadable", `${outline} (${body.length} bytes)`, 0, "poll");
      return;
    }
    this.#failures = 0;
    const origin: PollOrigin = { ...this.#who, isFirstSync: poll.plan.isInitial, traceparent: poll.traceparent };
    if (this.#device.hasSynced) origin.hasSyncedBefore = true;
    const nowMs = this.#context.clock.mono();
    const work = new PollWork(outline, origin, this.#deps.stats, this.#memo, nowMs);
    this.#work = work;
    if (nowMs - this.#storedAtMs < QUIET_SINCE_MS && work.isQuiet(this.#storedKeys)) this.#nothingNew();
    else this.#store();
  }

  /** Only `since` has moved: it is kept in memory. Asked again from an older one, the homeserver has as little to say. */
  #nothingNew(): void {
    this.#pollStored();
    this.#goOn();
  }

  #goOn(): void {
    if (this.#drained !== null) this.#halt();
    else if (this.#spins.delayMs === 0) this.#next();
    else this.#wait(this.#spins.delayMs, "poll");
  }

  #store(): void {
    this.#beginStep("storing");
    this.#sendBatch();
  }

  /** Sends the next batch of the poll, if its turn has come. */
  #sendBatch(): void {
    const work = this.#work;
    invariant(work !== null, "a poll is at hand to be stored");
    const packed = work.take();
    if (packed === null) return;
    const stepId = this.#stepId;
    this.#context.pipe(
      this.#context.ask<BatchApplied>(
        INGEST,
        { type: "store-batch", packed },
        { deadlineMs: STORE_DEADLINE_MS, transfer: [packed.bytes.buffer] },
      ),
      () => ({ type: "batch-stored", stepId }),
      (error) => ({ type: "batch-failed", stepId, error }),
    );
    // The next one is read in a turn of its own: what was said in this one leaves at its end.
    const next: PollerMessage = { type: "send-batch", stepId };
    if (work.hasMore) this.#context.tell(this.#context.self, next);
  }

  /** Answers come in the order of the batches. */
  #batchStored(): void {
    this.#failures = 0;
    const work = this.#work;
    const isDone = work?.advance() ?? true;
    if (!isDone && this.#drained === null) {
      this.#sendBatch();
      return;
    }
    if (!isDone && work?.isUnderWay === true) return;
    if (isDone) {
      this.#storedAtMs = this.#context.clock.mono();
      this.#storedKeys = this.#work?.keys ?? null;
      this.#pollStored();
    }
    this.#goOn();
  }

  #pollStored(): void {
    const [work, poll] = [this.#work, this.#poll];
    invariant(work !== null && poll !== null, "a poll is at hand that was stored");
    const { clock, log } = this.#context;
    const { isInitial, startedAtMs, timeoutMs } = poll.plan;
    const nowMs = clock.mono();
    this.#deps.stats.pollStored(nowMs - work.receivedAtMs, isInitial, this.#isFirstPoll);
    if (!this.#device.hasSynced) {
      const { roomCount, byteCount, batchCount } = work;
      log.info({ rooms: roomCount, bytes: byteCount, batches: batchCount }, "first sync stored");
    }
    const hasAdvanced = this.#device.advance(work.nextBatch);
    this.#spins.stored({ timeoutMs, tookMs: nowMs - startedAtMs, hasAdvanced, hash: () => work.bodyHash });
    this.#work = null;
    this.#isFirstPoll = false;
    this.#deps.companions.isWell(this.#who.userId, this.#who.deviceId);
    this.#endPoll(null);
    this.#releaseSlot();
    this.#synced();
    this.#throughs.stored(this.#sends);
  }

  /** There is a `since`: those who wait are answered, and later polls may name a stored filter. */
  #synced(): void {
    this.#waiters.resolveAll();
    const { accessToken } = this.#device;
    if (accessToken === null || !this.#filters.takeAsking()) return;
    this.#context.pipe(
      prepareFilter(this.#deps, accessToken, this.#who.userId),
      (filterId) => ({ type: "filter-ready", filterId }),
      () => ({ type: "filter-ready", filterId: null }),
    );
  }

  #retry(cause: RetryCause, failed: FailedPoll, reason: string, retryAfterMs: number, resume: Resume): void {
    this.#failures++;
    this.#deps.companions.isUnwell(this.#who.userId, this.#who.deviceId);
    this.#deps.stats.pollFailed(failed);
    const delayMs = retryDelayMs(cause, this.#failures, retryAfterMs, this.#context.rng);
    if (isWorthLogging(this.#failures)) {
      this.#context.log.warn({ attempt: this.#failures, delay_ms: delayMs, reason, resume }, "poll failed");
    }
    if (this.#failures >= FAILURES_UNTIL_TOLD) {
      const code = cause === "storage" ? "storage_unavailable" : "homeserver_unreachable";
      const error = new SyncError(code, `polling keeps failing: ${reason}`);
      this.#waiters.rejectAll(error);
      this.#throughs.rejectAll(error);
    }
    // Others may sync meanwhile; one that is being stored is nearly through.
    if (resume !== "store") this.#releaseSlot();
    if (this.#drained === null) this.#wait(delayMs, resume);
    else this.#halt();
  }

  #wait(delayMs: number, resume: Resume): void {
    const stepId = this.#beginStep("waiting");
    this.#resume = resume;
    this.#cancelTimer = this.#context.after(delayMs, { type: "retry", stepId });
  }

  #beginStep(phase: Phase): number {
    this.#clearTimer();
    this.#phase = phase;
    return ++this.#stepId;
  }

  #isIdle(): boolean {
    const isWanted = !this.#waiters.isEmpty || !this.#throughs.isEmpty;
    return !isWanted && this.#idleness.leftMs(this.#context.clock.mono()) <= 0;
  }

  /** Only a poll during which the device may become idle needs a timer. */
  #watchIdleness(timeoutMs: number): void {
    const leftMs = this.#idleness.leftMs(this.#context.clock.mono());
    if (leftMs >= timeoutMs) return;
    this.#cancelTimer = this.#context.after(Math.max(leftMs, 0), { type: "check-idle", stepId: this.#stepId });
  }

  #park(): void {
    this.#context.log.debug({}, "poller parked");
    this.#halt();
    this.#context.stopSelf();
  }

  /** Ends everything that is under way, for good. */
  #halt(): void {
    this.#beginStep("stopped");
    this.#deps.companions.isUnwell(this.#who.userId, this.#who.deviceId);
    this.#endPoll("stopped");
    this.#releaseSlot();
    this.#work = null;
    this.#drained?.resolve();
  }

  #endPoll(error: string | null): void {
    this.#poll?.end(error);
    this.#poll = null;
  }

  #releaseSlot(): void {
    this.#slot?.release();
    this.#slot = null;
  }

  #clearTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }
}
