import { SyncError } from "#src/errors.ts";
import { encodeMsc3575 } from "#src/protocol/dialects/msc3575-response.ts";
import { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import { type CursorSnapshot, EMPTY_SNAPSHOT, lifeOf, newLife } from "#src/protocol/engine/proof.ts";
import { type KeptResponse, ResponseLog } from "#src/protocol/engine/response-log.ts";
import { DIRTY_USER } from "#src/protocol/engine/world.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import { decodePos, encodePos, type PosClaims } from "#src/protocol/pos.ts";
import type { SyncRequest } from "#src/protocol/request.ts";
import type { Cancel, Metrics } from "#src/ports/basics.ts";
import type { ConnectionStore, StoredConnection } from "#src/ports/stores.ts";
import { userAddress } from "#actors/addresses.ts";
import type { Actor, ActorContext, Reply, StopReason } from "#actors/runtime/actor.ts";
import type { UserLink } from "#actors/user/user-link.ts";
import type { ConnectionCommand, ConnectionMessage, SyncAnswer } from "./messages.ts";
import { inTraceOf, RequestTrace } from "./request-trace.ts";
import { CONNECTION_TOUCH_MS, ConnectionRecord, type Written } from "./connection-record.ts";
import { type BuiltResponse, receivedToDevice, ResponseWork, type ResponseWorkDeps } from "./response-work.ts";
import { ParamsHistory } from "./stored-params.ts";

/** Memory of a connection goes after this without a request; it comes back from storage with its `pos`. */
const CONNECTION_IDLE_MS = CONNECTION_TOUCH_MS;
/** What the client holds is written down this long after it changed. */
const CURSOR_FLUSH_MS = 2000;

/** Labels of a request's metrics: with `pos` or without. */
const FIRST = { initial: "1" };
const LATER = { initial: "0" };

/** Work ids of what is not a response: the stored connection being read, and deletions and saves nobody waits for. */
const LOAD_WORK = -1;
const BACKGROUND_WORK = -2;

export interface ConnectionDeps extends ResponseWorkDeps {
  store: ConnectionStore;
  metrics: Pick<Metrics, "observe">;
  /** Seals what a `pos` claims. */
  mac: (text: string) => string;
}

type SyncCommand = Extract<ConnectionCommand, { type: "sync-request" }>;

/** A request as it came in. */
interface Arrival {
  command: SyncCommand;
  trace: RequestTrace | null;
}

/** The one request being served. */
interface Current extends Arrival {
  /** What its `pos` says; null when it has none, or one that is not ours. */
  claims: PosClaims | null;
  startedMs: number;
  /** Since when it is parked, and how long it was before that. */
  parkedAtMs: number;
  waitedMs: number;
  /** `loading`: before it was processed; `working`: a response is being read together; `parked`: waiting for news. */
  phase: "loading" | "working" | "parked";
  /** Must be answered with what there is, without waiting. */
  isUrgent: boolean;
  /** An older response that has to go out first. */
  replay: KeptResponse | null;
  cancelTimeout: Cancel | null;
}

/** A connection's memory while it is awake. */
interface Awake extends Written {
  log: ResponseLog;
}

/** One sliding sync connection: a thin shell around `ConnectionEngine` that waits, reads and answers. */
export class ConnectionActor implements Actor<ConnectionMessage> {
  readonly #context: ActorContext<ConnectionMessage>;
  readonly #deps: ConnectionDeps;
  readonly #userId: UserId;
  readonly #deviceId: DeviceId;
  readonly #connId: ConnId;
  readonly #record: ConnectionRecord;
  #link: UserLink | null = null;
  #isAttaching = false;
  #awake: Awake | null = null;
  #current: Current | null = null;
  /** Arrived while a response was being read together; served after it. */
  #next: Arrival | null = null;
  #work: { id: number; work: ResponseWork; release: () => void } | null = null;
  #saving: { id: number; built: BuiltResponse; seq: number } | null = null;
  #workIds = 0;
  #lastRequestMs: number;
  #isFlushScheduled = false;

  constructor(context: ActorContext<ConnectionMessage>, deps: ConnectionDeps) {
    this.#context = context;
    this.#deps = deps;
    const [userId, deviceId, connId] = JSON.parse(context.self.key) as [UserId, DeviceId, ConnId];
    this.#userId = userId;
    this.#deviceId = deviceId;
    this.#connId = connId;
    this.#record = new ConnectionRecord(userId, deviceId, connId);
    this.#lastRequestMs = context.clock.mono();
    context.after(CONNECTION_IDLE_MS, { type: "idle-check" });
  }

  receive(message: ConnectionMessage): void {
    switch (message.type) {
      case "sync-request":
        this.#arrive({ command: message, trace: RequestTrace.ofTurn() });
        return;
      case "cancel-request":
        this.#cancel(message.requestId);
        return;
      case "device-expired":
        if (this.#current?.phase === "parked") this.#answerNow();
        return;
      case "user-ready":
        this.#isAttaching = false;
        this.#link = message.link;
        inTraceOf(this.#current?.trace ?? null, () => this.#begin());
        return;
      case "user-failed":
        this.#userFailed(message.error);
        return;
      case "updates-applied":
        this.#link?.consumed(message.pos);
        for (const [nid, bits] of message.rooms) this.#awake?.engine.markDirty(nid, bits);
        if (message.bits !== 0) this.#awake?.engine.markUserDirty(message.bits);
        message.barrier?.leave();
        if (this.#current?.phase === "parked") this.#wake(this.#current);
        return;
      case "stored-loaded":
        this.#restore(message.stored);
        return;
      case "work-ready":
        if (this.#work?.id === message.workId) this.#continueWork();
        else if (this.#saving?.id === message.workId) this.#finish();
        return;
      case "work-failed":
        this.#workFailed(message.workId, message.error);
        return;
      case "poll-timeout":
        this.#timeIsUp(message.requestId);
        return;
      case "flush-cursors":
        this.#isFlushScheduled = false;
        this.#flush();
        return;
      case "idle-check":
        this.#idleCheck();
    }
  }

  async drain(): Promise<void> {
    if (this.#current?.phase === "parked") this.#answerNow();
    const row = this.#row();
    if (row !== null) await this.#deps.store.save(row);
  }

  stop(reason: StopReason): void {
    this.#work?.release();
    const error = new SyncError("actor_stopped", `connection stopped: ${reason}`);
    this.#current?.trace?.ended();
    this.#current?.command.reply.reject(error);
    this.#next?.command.reply.reject(error);
    this.#context.tell(userAddress(this.#userId), { type: "detach", connection: this.#context.self });
  }

  // ------------------------------------------------------------------ requests

  #arrive(arrival: Arrival): void {
    this.#lastRequestMs = this.#context.clock.mono();
    if (this.#current?.phase === "working") {
      if (this.#next !== null) this.#supersede(this.#next.command, 0);
      this.#next = arrival;
      return;
    }
    if (this.#current !== null) this.#supersedeCurrent();
    const { pos } = arrival.command;
    this.#current = {
      claims: pos === null ? null : decodePos(pos, this.#deps.mac),
      ...arrival,
      startedMs: this.#lastRequestMs,
      parkedAtMs: 0,
      waitedMs: 0,
      phase: "loading",
      isUrgent: false,
      replay: null,
      cancelTimeout: null,
    };
    this.#begin();
  }

  /** Takes the current request as far as it goes without waiting. */
  #begin(): void {
    const current = this.#current;
    if (current === null || current.phase !== "loading") return;
    if (this.#link === null) {
      this.#attach();
      return;
    }
    const { claims } = current;
    if (current.command.pos === null) {
      this.#startOver(this.#link);
      this.#process(current, 0, this.#link);
      return;
    }
    if (claims === null) {
      this.#reject(new SyncError("unknown_pos", "pos is not one of ours"));
      return;
    }
    const awake = this.#awake;
    if (awake === null || (awake.incarnation === claims.incarnation && isOtherLife(awake, claims))) this.#loadStored();
    else if (awake.incarnation !== claims.incarnation)
      this.#reject(new SyncError("unknown_pos", "connection was started over"));
    else this.#process(current, claims.seq, this.#link);
  }

  #process(current: Current, posSeq: number, link: UserLink): void {
    const awake = this.#awake;
    if (awake === null) return;
    const { request, pos } = current.command;
    const setupMs = this.#context.clock.mono() - current.startedMs;
    this.#deps.metrics.observe("sliding_sync_api_setup_duration_secs", setupMs / 1000, pos === null ? FIRST : LATER);
    const resolution = awake.log.resolve(posSeq, JSON.stringify({ ...request, txn_id: undefined }));
    switch (resolution.kind) {
      case "unknown":
        this.#reject(new SyncError("unknown_pos", "pos was acknowledged before"));
        return;
      case "rewind":
        this.#forget();
        this.#loadStored();
        return;
      case "replay":
        this.#answerWith(resolution.response);
        return;
      case "process":
        current.replay = resolution.replay;
        current.isUrgent = resolution.replay !== null;
        if (!this.#takeParams(awake, link, request)) return;
        this.#acknowledge(current, awake, link);
        if (this.#hasNothingToSay(awake, link)) this.#parkOrAnswer(current);
        else this.#startWork();
    }
  }

  /** True when no response would have anything in it: the usual case of a request that waits for news. */
  #hasNothingToSay({ engine }: Awake, link: UserLink): boolean {
    if (engine.isDirty || engine.isFirst || engine.hasUnheardExtensions) return false;
    if (!engine.params.extensions.to_device.enabled) return true;
    const device = link.user.device(this.#deviceId);
    return device !== null && device.toDevicePos <= (receivedToDevice(engine, this.#deps) ?? 0);
  }

  #parkOrAnswer(current: Current): void {
    const leftMs = current.command.timeoutMs - (this.#context.clock.mono() - current.startedMs);
    if (current.isUrgent || leftMs <= 0) this.#startWork();
    else this.#park(current, leftMs);
  }

  /** False when the connection would have to remember too much: the request is refused, and nothing of it is kept. */
  #takeParams(awake: Awake, link: UserLink, request: SyncRequest): boolean {
    try {
      awake.engine.applyRequest(link.user, request);
      return true;
    } catch (error) {
      // Anything else is a bug, and the turn's to report.
      if (!(error instanceof SyncError) || error.code !== "invalid_param") throw error;
      awake.log.forgetRequest();
      this.#reject(error);
      return false;
    }
  }

  /** What the client's request says it has received is deleted. */
  #acknowledge({ claims }: Current, { engine }: Awake, link: UserLink): void {
    const { to_device: toDevice, e2ee } = engine.params.extensions;
    const received = toDevice.enabled ? receivedToDevice(engine, this.#deps) : null;
    if (received !== null) this.#inBackground(link.user.acknowledgeToDevice(this.#deviceId, received));
    const toldSince = e2ee.enabled ? engine.extensionSince("e2ee") : null;
    // Responses before the extension spoke told nothing, whatever their position.
    if (claims !== null && toldSince !== null && toldSince <= claims.seq) {
      this.#inBackground(link.user.acknowledgeDeviceLists(this.#deviceId, claims.streamPos));
    }
  }

  #startOver(link: UserLink): void {
    this.#awake = {
      incarnation: Math.floor(this.#context.rng.next() * 2 ** 48).toString(36),
      engine: new ConnectionEngine(link.position, newLife(this.#context.rng.next())),
      log: new ResponseLog(0),
      params: new ParamsHistory(),
    };
  }

  #attach(): void {
    if (this.#isAttaching) return;
    this.#isAttaching = true;
    this.#context.tell(userAddress(this.#userId), {
      type: "attach",
      deviceId: this.#deviceId,
      connection: this.#context.self,
    });
  }

  #userFailed(error: SyncError): void {
    this.#isAttaching = false;
    // Its memory was made from the user's: it comes back from storage, as after any crash.
    if (this.#link !== null) this.#flush();
    this.#link = null;
    this.#forget();
    if (error.code === "actor_stopped" && this.#current !== null) {
      this.#countWait(this.#current);
      this.#current.trace?.ended();
      this.#current.phase = "loading";
      this.#begin();
      return;
    }
    if (this.#current !== null) this.#reject(error);
    this.#serveNext();
  }

  #loadStored(): void {
    this.#context.pipe(
      this.#deps.store.load(this.#userId, this.#deviceId, this.#connId),
      (stored) => ({ type: "stored-loaded", stored }),
      (error) => ({ type: "work-failed", workId: LOAD_WORK, error }),
    );
  }

  /** Takes the connection up again from what is stored and what the client's `pos` proves. */
  #restore(stored: StoredConnection | null): void {
    const current = this.#current;
    const link = this.#link;
    if (current === null || current.phase !== "loading") return;
    if (link === null) {
      this.#begin();
      return;
    }
    const { claims } = current;
    if (claims === null) {
      this.#begin();
      return;
    }
    const params = stored?.incarnation === claims.incarnation ? ParamsHistory.parse(stored.params) : null;
    const sticky = params?.at(claims.seq) ?? null;
    if (stored === null || params === null || sticky === null) {
      this.#reject(new SyncError("unknown_pos", "connection is not known"));
      return;
    }
    // A position ahead of the database is of a database that was set back: it proves nothing.
    const isAhead = claims.streamPos > link.position;
    const engine = new ConnectionEngine(link.position, newLife(this.#context.rng.next()));
    const cursors = isAhead ? EMPTY_SNAPSHOT : (JSON.parse(stored.cursors) as CursorSnapshot);
    engine.restore(link.user, sticky, cursors, isAhead ? { ...claims, streamPos: link.position } : claims);
    engine.markUserDirty(DIRTY_USER.accountData | DIRTY_USER.device | DIRTY_USER.toDevice);
    this.#awake = { incarnation: claims.incarnation, engine, log: new ResponseLog(claims.seq), params };
    this.#record.forget();
    this.#process(current, claims.seq, link);
  }

  // ------------------------------------------------------------------ responses

  #startWork(): void {
    const { current, awake, link } = { current: this.#current, awake: this.#awake, link: this.#link };
    if (current === null || awake === null || link === null) return;
    current.phase = "working";
    this.#workIds += 1;
    const draft = awake.engine.collect(link.user, link.position);
    const release = this.#deps.directory.hold();
    const work = new ResponseWork(awake.engine, draft, link.user, this.#deviceId, this.#deps);
    this.#work = { id: this.#workIds, work, release };
    this.#continueWork();
  }

  #continueWork(): void {
    const running = this.#work;
    if (running === null) return;
    const wait = running.work.advance();
    if (wait !== null) {
      this.#wait(running.id, wait);
      return;
    }
    const built = running.work.build();
    this.#dropWork();
    this.#conclude(built);
  }

  /** Answers, or parks the request when there is nothing to say yet. */
  #conclude(built: BuiltResponse): void {
    const { current, awake } = { current: this.#current, awake: this.#awake };
    if (awake === null) return;
    const leftMs = current === null ? 0 : current.command.timeoutMs - (this.#context.clock.mono() - current.startedMs);
    if (!built.hasData && current !== null && !current.isUrgent && leftMs > 0 && this.#next === null) {
      this.#park(current, leftMs);
      return;
    }
    const seq = awake.log.nextSeq;
    awake.engine.noteSent(built.draft, seq, built.entries.heads);
    built.entries.noteMembers();
    const answerSeq = current?.replay?.seq ?? seq;
    const isNewParams = awake.params.record(seq, awake.engine.params, awake.log.ackedSeq, answerSeq);
    this.#workIds += 1;
    this.#saving = { id: this.#workIds, built, seq };
    const row = isNewParams ? this.#row() : null;
    if (row === null) this.#finish();
    else this.#wait(this.#workIds, this.#deps.store.save(row));
  }

  #park(current: Current, leftMs: number): void {
    current.cancelTimeout ??= this.#context.after(leftMs, {
      type: "poll-timeout",
      requestId: current.command.requestId,
    });
    if (this.#awake?.engine.isDirty === true) {
      this.#startWork();
      return;
    }
    current.phase = "parked";
    current.parkedAtMs = this.#context.clock.mono();
    current.trace?.parked();
  }

  /** Goes on with a parked request: in the trace of what woke it, or else in its own. */
  #wake(current: Current): void {
    this.#countWait(current);
    if (current.trace === null || current.trace.wokenByTurn()) this.#startWork();
    else inTraceOf(current.trace, () => this.#startWork());
  }

  #countWait(current: Current): void {
    if (current.phase !== "parked") return;
    const nowMs = this.#context.clock.mono();
    current.waitedMs += nowMs - current.parkedAtMs;
    current.parkedAtMs = nowMs;
  }

  #timeIsUp(requestId: number): void {
    const current = this.#current;
    if (current?.command.requestId !== requestId) return;
    // Should it be parked once more, as after its user was read anew, a timer is needed again.
    current.cancelTimeout = null;
    if (current.phase === "parked") this.#answerNow();
  }

  /** The time is up, or waiting has become pointless. */
  #answerNow(): void {
    if (this.#current === null) return;
    this.#current.isUrgent = true;
    this.#wake(this.#current);
  }

  /** Writes the response out; everything it rests on is stored. */
  #finish(): void {
    const { saving, awake, link, current } = {
      saving: this.#saving,
      awake: this.#awake,
      link: this.#link,
      current: this.#current,
    };
    this.#saving = null;
    if (saving === null || awake === null || link === null) return;
    const { built, seq } = saving;
    const pos = encodePos(
      {
        incarnation: awake.incarnation,
        seq,
        streamPos: built.draft.upTo,
        generation: awake.engine.generation,
        behind: built.behind,
      },
      this.#deps.mac,
    );
    const body = encodeMsc3575(
      {
        pos,
        txnId: current?.command.request.txn_id,
        lists: built.draft.lists,
        rooms: built.rooms,
        extensions: built.extensions,
      },
      (nid) => link.user.meta(nid)?.roomId ?? "",
    );
    const ops = built.draft.lists.reduce((sum, list) => sum + list.ops.length, 0);
    const kept: KeptResponse = { seq, pos, body, rooms: built.rooms.length, ops };
    awake.log.add(kept);
    if (built.rooms.some((room) => room.isInitial) || this.#record.isOutdated(awake.engine)) this.#scheduleFlush();
    this.#answerWith(current?.replay ?? kept);
  }

  #answerWith(response: KeptResponse): void {
    const current = this.#current;
    if (current !== null) {
      this.#dropCurrent();
      this.#send(current.command.reply, response, current.waitedMs);
    }
    this.#serveNext();
  }

  #send(reply: Reply<SyncAnswer>, response: KeptResponse, waitedMs: number): void {
    // The log keeps its own copy: a client that lost the answer asks again.
    const body = response.body.slice();
    reply.resolve({ body, posOut: response.pos, rooms: response.rooms, ops: response.ops, waitedMs }, [body.buffer]);
  }

  #serveNext(): void {
    const next = this.#next;
    if (next === null || this.#current !== null) return;
    this.#next = null;
    inTraceOf(next.trace, () => this.#arrive(next));
  }

  /** A newer request has taken this one's place; its client, if it still listens, may go on from where it was. */
  #supersede(command: SyncCommand, waitedMs: number): void {
    const pos =
      command.pos ?? encodePos({ incarnation: "0", seq: 0, streamPos: 0, generation: 0, behind: [] }, this.#deps.mac);
    const lists = (this.#awake?.engine.lists() ?? []).map(({ key, count }) => ({ key, count, ops: [] }));
    const body = encodeMsc3575({ pos, txnId: undefined, lists, rooms: [], extensions: {} }, () => "");
    command.reply.resolve({ body, posOut: pos, rooms: 0, ops: 0, waitedMs });
  }

  #supersedeCurrent(): void {
    const { command, waitedMs } = this.#dropCurrent();
    this.#supersede(command, waitedMs);
  }

  #cancel(requestId: number): void {
    if (this.#next?.command.requestId === requestId) {
      this.#supersede(this.#next.command, 0);
      this.#next = null;
    }
    const current = this.#current;
    if (current?.command.requestId !== requestId || current.phase === "working") return;
    this.#supersedeCurrent();
  }

  #reject(error: SyncError): void {
    if (this.#current !== null) this.#dropCurrent().command.reply.reject(error);
    this.#serveNext();
  }

  #workFailed(workId: number, error: SyncError): void {
    this.#record.forget();
    if (workId === BACKGROUND_WORK) {
      this.#context.log.warn({ code: error.code }, "connection could not be written behind");
      this.#scheduleFlush();
    } else if (workId === LOAD_WORK) this.#reject(error);
    else if (this.#work?.id === workId || this.#saving?.id === workId) this.#fail(error);
  }

  /** Storage failed: nothing was sent, so what the client's `pos` proves is where the next request begins. */
  #fail(error: SyncError): void {
    this.#forget();
    this.#reject(error);
  }

  /** Drops the connection's memory, and what was being made of it. */
  #forget(): void {
    this.#dropWork();
    this.#saving = null;
    this.#awake = null;
  }

  #dropCurrent(): Current {
    const current = this.#current;
    if (current === null) throw new SyncError("internal", "no current request");
    current.cancelTimeout?.();
    this.#countWait(current);
    current.trace?.ended();
    this.#current = null;
    return current;
  }

  #dropWork(): void {
    this.#work?.release();
    this.#work = null;
  }

  #wait(workId: number, promise: Promise<void>): void {
    this.#context.pipe(
      promise,
      () => ({ type: "work-ready", workId }),
      (error) => ({ type: "work-failed", workId, error }),
    );
  }

  #inBackground(promise: Promise<void> | null): void {
    if (promise !== null) this.#wait(BACKGROUND_WORK, promise);
  }

  // ------------------------------------------------------------------ storage

  #scheduleFlush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    this.#context.after(CURSOR_FLUSH_MS, { type: "flush-cursors" });
  }

  #flush(): void {
    const row = this.#row();
    if (row !== null) this.#inBackground(this.#deps.store.save(row));
  }

  #row(): StoredConnection | null {
    return this.#awake === null ? null : this.#record.next(this.#awake, this.#context.clock.now());
  }

  #idleCheck(): void {
    const idleMs = this.#context.clock.mono() - this.#lastRequestMs;
    this.#flush();
    if (this.#current === null && idleMs >= CONNECTION_IDLE_MS) this.#context.stopSelf();
    else this.#context.after(CONNECTION_IDLE_MS, { type: "idle-check" });
  }
}

function isOtherLife(awake: Awake, claims: PosClaims): boolean {
  return lifeOf(awake.engine.generation) !== lifeOf(claims.generation);
}
