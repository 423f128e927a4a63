import { SyncError } from "#src/errors.ts";
import { type Packed, unpackPollBatch } from "#src/protocol/packed.ts";
import type { StreamPos } from "#src/protocol/ids.ts";
import type { Metrics } from "#src/ports/basics.ts";
import type { IngestStore } from "#src/ports/stores.ts";
import { pollerKey } from "#src/state/ingest-context.ts";
import { isOnlySinces, reduceGroup, type Reduction } from "#src/state/ingest-reducer.ts";
import type { Actor, ActorContext, ActorKind, Reply, StopReason } from "#actors/runtime/actor.ts";
import { ACTOR_BACKOFF, backoff } from "#actors/runtime/restart.ts";
import { Applying } from "./applying.ts";
import { loadContext } from "./context-loader.ts";
import { DeferredSinces } from "./deferred-sinces.ts";
import { announceHead } from "./fan-out.ts";
import { IngestMemory } from "./ingest-memory.ts";
import { type Group, isPlainBulk, narrow, newGroup, recover, roomsOf, traceparentsOf } from "./group.ts";
import { inStep, inTraceOfPolls, startStep } from "./ingest-tracing.ts";
import type { BatchApplied, IngestMessage, PollerSettled } from "./messages.ts";
import { PollingDevices } from "./polling-devices.ts";
import { PollerBook, withoutRepeated } from "./poller-book.ts";
import { countEvents, type Work } from "./work.ts";
import { WorkQueue } from "./work-queue.ts";

/** A `since` that came with nothing else is written within this time. */
const SINCE_DELAY_MS = 5_000;
/** Attempts to reach the database are never further apart. */
const RETRY_MAX_MS = 5_000;
/** Left for the host's own drain after this: what is not stored by then is polled again. */
const DRAIN_MS = 8_000;

/** What the ingest actor needs of the outside. */
export interface IngestDeps {
  store: IngestStore;
  metrics: Metrics;
  /** Sync hosts that updates go to. */
  syncHostCount: number;
}

/** The single writer: groups what pollers bring, stores it in one transaction, and tells the sync hosts in stream order. */
class IngestActor implements Actor<IngestMessage> {
  readonly #context: ActorContext<IngestMessage>;
  readonly #deps: IngestDeps;
  readonly #queue = new WorkQueue();
  readonly #book = new PollerBook();
  readonly #applying: Applying;
  readonly #polling = new PollingDevices();
  readonly #deferred = new DeferredSinces();
  #memory: IngestMemory | null = null;
  #head: StreamPos = 0;
  #maxRoomNid = 0;
  #headFailures = 0;
  #lastGroupId = 0;
  /** Being read, reduced or committed. */
  #current: Group | null = null;
  /** Being read and reduced while `#current` is committed: begins where that one ends. */
  #ahead: Group | null = null;
  #isFlushDue = false;
  #isFlushPlanned = false;
  #drained: (() => void)[] = [];
  /** Pollers that start and wait for what an earlier life of theirs brought. */
  #settling: { poller: string; reply: Reply<PollerSettled> }[] = [];

  constructor(context: ActorContext<IngestMessage>, deps: IngestDeps) {
    this.#context = context;
    this.#deps = deps;
    this.#applying = new Applying(context, deps, this.#book);
    deps.metrics.gauge("ingest_waiting_batches", () => this.#queue.size);
    deps.metrics.gauge("ingest_stream_position", () => this.#head);
    this.#loadHead();
  }

  receive(message: IngestMessage): void {
    switch (message.type) {
      case "store-batch":
        return this.#enqueue(message.packed, message.reply);
      case "settle-poller":
        this.#polling.heard(message.userId, message.deviceId, this.#context.clock.now());
        this.#settling.push({ poller: pollerKey(message.userId, message.deviceId), reply: message.reply });
        return this.#settle();
      case "pollers-run":
        for (const { userId, deviceId } of message.devices)
          this.#polling.heard(userId, deviceId, this.#context.clock.now());
        return;
      case "recall-typing":
        return message.reply.resolve({ rooms: this.#memory?.recallTyping() ?? [] });
      case "poller-stopped": {
        const poller = pollerKey(message.userId, message.deviceId);
        this.#polling.stopped(message.userId, message.deviceId);
        this.#memory?.release(poller);
        return this.#book.stopped(poller);
      }
      case "load-head":
        return this.#loadHead();
      case "head-loaded":
        return this.#takeHead(message.head, message.maxRoomNid);
      case "head-failed":
        return this.#retryHead(message.error);
      case "group-reduced":
        return this.#commit(message.groupId, message.reduction);
      case "group-stored":
        return this.#finishCommit(message.groupId);
      case "group-applied":
        this.#applying.applied(message.groupId, this.#head);
        return this.#pump();
      case "group-failed":
        return this.#fail(message.groupId, message.error);
      case "flush-sinces":
        this.#isFlushPlanned = false;
        this.#isFlushDue = true;
        return this.#pump();
      case "drain-timeout":
        this.#context.log.warn({ waiting: this.#queue.size }, "ingest did not drain in time");
        return this.#endDrain();
    }
  }

  drain(): Promise<void> {
    const drained = new Promise<void>((resolve) => this.#drained.push(resolve));
    this.#context.after(DRAIN_MS, { type: "drain-timeout" });
    this.#isFlushDue = true;
    this.#pump();
    return drained;
  }

  stop(_reason: StopReason): void {
    const groups = [...this.#applying.groups, this.#current, this.#ahead].filter((group) => group !== null);
    const works = [...groups.flatMap((group) => group.works), ...this.#queue.takeAll()];
    for (const { waiter } of works) waiter.reply.reject(new SyncError("actor_stopped", "ingest was stopped"));
    this.#endDrain();
  }

  // ------------------------------------------------------------ what waits

  #enqueue(packed: Packed, reply: Reply<BatchApplied>): void {
    const batch = unpackPollBatch(packed);
    const poller = pollerKey(batch.userId, batch.deviceId);
    const isFinal = batch.since !== null;
    // Repairs are of no device, and tell nothing of any.
    if (batch.deviceId !== "") this.#polling.heard(batch.userId, batch.deviceId, this.#context.clock.now());
    const superseded = isFinal ? this.#queue.takeSuperseded(poller) : null;
    superseded?.waiter.reply.reject(new SyncError("ask_timeout", "a newer poll of the device took this one's place"));
    this.#queue.add({
      batch,
      poller,
      waiter: { reply, openParts: 1, arrivedMs: this.#context.clock.mono() },
      bytes: packed.bytes.length + packed.head.length,
      events: countEvents(batch.rooms),
      isAlone: false,
      ...this.#book.arrive(poller, isFinal, superseded),
      replaces: null,
      refusals: 0,
    });
    this.#pump();
  }

  /** Answers starting pollers of which nothing is on its way to the database. */
  #settle(): void {
    // Before the head is read, a commit of the life before may still be on its way.
    if (this.#memory === null) return;
    const isOpen = (poller: string): boolean =>
      this.#queue.has(poller) ||
      [this.#current, this.#ahead].some((group) => group?.works.some((work) => work.poller === poller));
    const [open, settled] = [new Set<string>(), this.#settling];
    for (const { poller } of settled) if (isOpen(poller)) open.add(poller);
    this.#settling = settled.filter(({ poller }) => open.has(poller));
    for (const { poller, reply } of settled) if (!open.has(poller)) reply.resolve({ ok: true });
  }

  /** Starts the next group when nothing is in its way. */
  #pump(): void {
    if (this.#settling.length > 0) this.#settle();
    const memory = this.#memory;
    if (memory === null || this.#applying.isFull) return;
    if (this.#current !== null) return this.#lookAhead(this.#current, memory);
    const works = this.#queue.takeGroup();
    const isFlush = works.length === 0 && this.#isFlushDue && this.#deferred.size > 0;
    if (works.length === 0 && !isFlush) {
      this.#isFlushDue = false;
      if (this.#applying.groups.length === 0) this.#endDrain();
      return;
    }
    this.#lastGroupId += 1;
    this.#current = newGroup(this.#lastGroupId, works, isFlush, this.#context.clock.mono());
    this.#reduce(this.#current, memory, this.#head, this.#maxRoomNid);
  }

  /** Rooms of a first sync that the group being committed does not touch need not wait for it. */
  #lookAhead(current: Group, memory: IngestMemory): void {
    const { reduction, isCommitting } = current;
    if (this.#ahead !== null || !isCommitting || reduction === null || !isPlainBulk(current)) return;
    const works = this.#queue.takeAhead(roomsOf(current.works));
    if (works.length === 0) return;
    this.#lastGroupId += 1;
    this.#ahead = newGroup(this.#lastGroupId, works, false, this.#context.clock.mono());
    this.#reduce(this.#ahead, memory, reduction.transaction.head, reduction.learned.maxRoomNid);
  }

  /** What it rests on did not come about. */
  #dropAhead(): void {
    if (this.#ahead === null) return;
    this.#queue.putBack(this.#ahead.works);
    this.#ahead = null;
  }

  #reduce(group: Group, memory: IngestMemory, head: StreamPos, maxRoomNid: number): void {
    const { id, works } = group;
    const loadable = works.map(({ batch, poller }) => ({
      batch,
      createdAfter: this.#book.createdAfter(poller),
    }));
    const base = { head, maxRoomNid, nowMs: this.#context.clock.now(), polling: this.#polling };
    const batches = works.map((work) => {
      const toDevice = withoutRepeated(work);
      return toDevice === work.batch.toDevice ? work.batch : Object.assign({}, work.batch, { toDevice });
    });
    group.isCommitting = false;
    inTraceOfPolls(traceparentsOf(group), () =>
      this.#context.pipe(
        loadContext(this.#deps.store, memory, loadable, base).then((context) => reduceGroup(batches, context)),
        (reduction) => ({ type: "group-reduced", groupId: id, reduction }),
        (error) => ({ type: "group-failed", groupId: id, error }),
      ),
    );
  }

  // ------------------------------------------------------------ commit

  #commit(groupId: number, reduction: Reduction): void {
    if (this.#ahead?.id === groupId) this.#ahead.reduction = reduction;
    const group = this.#current;
    if (group?.id !== groupId) return;
    group.reduction = reduction;
    const { transaction } = reduction;
    const isAlone = group.works[0]?.isAlone === true;
    if (!group.isFlush && !isAlone && isOnlySinces(transaction)) {
      for (const since of transaction.sinces) this.#deferred.add(since);
      this.#planFlush();
      this.#memory?.learn(reduction);
      this.#current = null;
      this.#send(group, reduction);
      return;
    }
    // While poison is looked for, nothing else may be in the way.
    if (group.isFlush || (this.#isFlushDue && group.faults === 0 && !isAlone)) this.#deferred.addTo(transaction);
    group.isCommitting = true;
    group.step ??= startStep("ingest.commit", traceparentsOf(group), {
      "ingest.batches": group.works.length,
      "ingest.events": transaction.events.length,
    });
    inStep(group.step, () =>
      this.#context.pipe(
        this.#deps.store.commit(transaction),
        () => ({ type: "group-stored", groupId }),
        (error) => ({ type: "group-failed", groupId, error }),
      ),
    );
    this.#pump();
  }

  #finishCommit(groupId: number): void {
    const group = this.#current;
    if (group?.id !== groupId || group.reduction === null) return;
    const { reduction } = group;
    const { metrics } = this.#deps;
    group.step?.span.end();
    this.#head = reduction.transaction.head;
    this.#maxRoomNid = reduction.learned.maxRoomNid;
    this.#deferred.stored(reduction.transaction.sinces);
    this.#memory?.learn(reduction);
    const next = this.#ahead;
    this.#current = next;
    this.#ahead = null;
    metrics.observe("ingest_commit_duration_secs", (this.#context.clock.mono() - group.startedMs) / 1000);
    this.#send(group, reduction);
    if (next !== null && next.reduction !== null) this.#commit(next.id, next.reduction);
  }

  #send(group: Group, reduction: Reduction): void {
    this.#applying.send(group, reduction, this.#head);
    this.#pump();
  }

  // ------------------------------------------------------------ failures

  /** The group stays; what to do about it depends on where the database stands, which is asked for first. */
  #fail(groupId: number, error: SyncError): void {
    // It is tried again in its turn, when nothing else can be the cause.
    if (this.#ahead?.id === groupId) this.#dropAhead();
    const group = this.#current;
    if (group?.id !== groupId) return;
    this.#dropAhead();
    if (error.code === "storage_unavailable") group.outages += 1;
    else group.faults += 1;
    this.#deps.metrics.count("ingest_failures_total", 1, { code: error.code });
    this.#context.log.warn(
      {
        code: error.code,
        reason: error.cause instanceof Error ? error.cause.name : error.message,
        batches: group.works.length,
        outages: group.outages,
        faults: group.faults,
      },
      "group not stored",
    );
    if (error.code === "storage_unavailable") this.#context.after(this.#delay(group.outages), { type: "load-head" });
    else this.#loadHead();
  }

  #loadHead(): void {
    this.#context.pipe(
      this.#deps.store.loadHead(),
      ({ head, maxRoomNid }) => ({ type: "head-loaded", head, maxRoomNid }),
      (error) => ({ type: "head-failed", error }),
    );
  }

  #retryHead(error: SyncError): void {
    this.#headFailures += 1;
    this.#context.log.warn({ code: error.code, attempt: this.#headFailures }, "stream position not read");
    this.#context.after(this.#delay(this.#headFailures), { type: "load-head" });
  }

  #takeHead(head: StreamPos, maxRoomNid: number): void {
    this.#headFailures = 0;
    const group = this.#current;
    if (group === null) {
      this.#head = head;
      this.#maxRoomNid = maxRoomNid;
      if (this.#memory === null) {
        this.#memory = new IngestMemory(head);
        announceHead(this.#context, this.#deps.syncHostCount, head);
      }
      this.#pump();
      return;
    }
    const recovery = recover(group, head, this.#head);
    this.#head = head;
    this.#maxRoomNid = maxRoomNid;
    switch (recovery) {
      case "take-as-stored":
        return this.#finishCommit(group.id);
      case "isolate":
        return this.#isolate(group);
      case "commit-again":
        if (group.reduction !== null) this.#commit(group.id, group.reduction);
        return;
      case "forget-and-reduce":
        this.#memory?.clear(head);
        break;
      case "reduce-again":
        break;
    }
    if (this.#memory !== null) this.#reduce(group, this.#memory, this.#head, this.#maxRoomNid);
  }

  #isolate(group: Group): void {
    group.step?.span.end();
    if (group.isFlush) {
      this.#context.log.error({ sinces: this.#deferred.size }, "tokens not stored");
      this.#deferred.clear();
    } else {
      const narrowed = narrow(group.works);
      if ("later" in narrowed) return this.#retryLater(group, narrowed.later);
      const { works, lost } = narrowed;
      if (lost !== null) this.#logQuarantine(lost);
      this.#queue.addAlone(works);
    }
    this.#current = null;
    this.#pump();
  }

  #retryLater(group: Group, refused: Work): void {
    const work = { ...refused, refusals: refused.refusals + 1 };
    this.#current = { ...newGroup(group.id, [work], false, group.startedMs), outages: work.refusals };
    this.#context.log.error({ attempt: work.refusals }, "database refuses data");
    this.#context.after(this.#delay(work.refusals), { type: "load-head" });
  }

  #logQuarantine({ batch }: Work): void {
    this.#context.log.error({ user_id: batch.userId, room_id: batch.rooms[0]?.roomId }, "data quarantined");
  }

  /** Never immediate: a database that has just gone is not back at once. */
  #delay(attempt: number): number {
    return Math.min(RETRY_MAX_MS, backoff(ACTOR_BACKOFF, attempt + 1, this.#context.rng));
  }

  // ------------------------------------------------------------ tokens and the end

  #planFlush(): void {
    if (this.#isFlushPlanned || this.#deferred.size === 0) return;
    this.#isFlushPlanned = true;
    this.#context.after(SINCE_DELAY_MS, { type: "flush-sinces" });
  }

  #endDrain(): void {
    for (const resolve of this.#drained) resolve();
    this.#drained = [];
  }
}

/** How a host runs the ingest actor. Its senders wait for their answers, so its mailbox needs no bound. */
export function ingestKind(deps: IngestDeps): ActorKind<IngestMessage> {
  return {
    factory: (context) => new IngestActor(context, deps),
    mailboxLimit: "unbounded",
    onCrash: "restart",
    // Nothing works without it: a host in which it keeps crashing is better replaced.
    restartBudget: { intensity: 10, periodMs: 60_000 },
  };
}
