import { SyncError } from "#src/errors.ts";
import type { Dialect } from "#src/protocol/dialects/dialect.ts";
import { dialectOfConnection } from "#src/protocol/dialects/dialects.ts";
import { requestText } from "#src/protocol/engine/response-log.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Mac } from "#src/protocol/pos.ts";
import { LOOSE } from "#src/protocol/loose-pos.ts";
import type { Metrics } from "#src/ports/basics.ts";
import type { ConnectionStore, StoredConnection } from "#src/ports/stores.ts";
import type { Actor, ActorContext, StopReason } from "#actors/runtime/actor.ts";
import type { UserLink } from "#actors/user/user-link.ts";
import { acknowledge, hasNothingToSay } from "./acknowledge.ts";
import {
  type Awake,
  begin,
  emptyResponse,
  isHopeless,
  isOtherLife,
  macOf,
  noteSent,
  noteUnsaid,
  takeBack,
  takeParams,
  takeUp,
  writeResponse,
} from "./awake.ts";
import { CONNECTION_TOUCH_MS } from "./connection-record.ts";
import { type ConnectionDescription, describeConnection } from "./connection-description.ts";
import { BACKGROUND_WORK, ConnectionStorage, LOAD_WORK } from "./connection-storage.ts";
import { type Arrival, arrivalOf, type CurrentRequest } from "./current-request.ts";
import type { ConnectionMessage } from "./messages.ts";
import { OwnUser } from "./own-user.ts";
import { ReadingAhead } from "./reading-ahead.ts";
import type { RequestBudgets, RequestMeter } from "./request-budget.ts";
import { RequestQueue } from "./request-queue.ts";
import { inTraceOf } from "./request-trace.ts";
import { ResponseMaking } from "./response-making.ts";
import type { BuiltResponse, ResponseWorkDeps } from "./response-work.ts";

export interface ConnectionDeps extends ResponseWorkDeps {
  store: ConnectionStore;
  metrics: Pick<Metrics, "observe">;
  budgets: RequestBudgets;
  /** Seals what a `pos` claims. */
  mac: Mac;
}

/** One sliding sync connection: a thin shell around an `Engine` that waits, reads and answers. */
export class ConnectionActor implements Actor<ConnectionMessage> {
  readonly #context: ActorContext<ConnectionMessage>;
  readonly #deps: ConnectionDeps;
  readonly #key: readonly [UserId, DeviceId, ConnId];
  readonly #dialect: Dialect;
  /** There for one request, of which it remembers nothing. */
  readonly #isLoose: boolean;
  readonly #mac: Mac;
  readonly #storage: ConnectionStorage;
  readonly #user: OwnUser;
  #awake: Awake | null = null;
  readonly #requests: RequestQueue;
  readonly #making: ResponseMaking;
  readonly #ahead = new ReadingAhead();
  readonly #meter: RequestMeter;
  #lastRequestMs: number;

  constructor(context: ActorContext<ConnectionMessage>, deps: ConnectionDeps) {
    this.#context = context;
    this.#deps = deps;
    const [userId, deviceId, connId, loose] = JSON.parse(context.self.key) as [UserId, DeviceId, ConnId, number?];
    this.#key = [userId, deviceId, connId];
    this.#isLoose = loose !== undefined;
    this.#dialect = dialectOfConnection(connId);
    this.#mac = macOf(this.#dialect, JSON.stringify(this.#key), deps.mac);
    this.#user = new OwnUser(context, this.#key);
    this.#storage = new ConnectionStorage(context, deps.store, this.#key, !this.#isLoose);
    this.#making = new ResponseMaking(context, this.#storage, deps);
    this.#meter = deps.budgets.forConnection(userId, deviceId);
    this.#requests = new RequestQueue({
      nowMs: () => this.#nowMs,
      emptyResponse: (pos) => emptyResponse(this.#dialect, pos, this.#awake, this.#mac),
      arrive: (arrival) => this.#arrive(arrival),
    });
    this.#lastRequestMs = this.#nowMs;
    context.after(CONNECTION_TOUCH_MS, { type: "idle-check" });
  }

  receive(message: ConnectionMessage): void {
    this.#take(message);
    if (this.#isLoose && this.#current === null) this.#context.stopSelf();
  }

  #take(message: ConnectionMessage): void {
    switch (message.type) {
      case "sync-request":
        this.#arrive(arrivalOf(message, this.#mac));
        return;
      case "cancel-request":
        this.#requests.cancel(message.requestId);
        return;
      case "device-expired":
        this.#answerParked();
        return;
      case "drop":
        this.#expire("connection dropped by an operator");
        message.reply.resolve({ ok: true });
        return;
      case "user-ready":
        this.#user.answered(message.link);
        inTraceOf(this.#current?.trace ?? null, () => this.#begin());
        return;
      case "user-failed":
        this.#userFailed(message.error);
        return;
      case "expire":
        this.#expire("device has too many connections");
        return;
      case "updates-applied":
        this.#user.link?.consumed(message.pos);
        for (const [nid, bits] of message.rooms) this.#awake?.engine.markDirty(nid, bits);
        if (message.bits !== 0) this.#awake?.engine.markUserDirty(message.bits);
        message.barrier?.leave();
        if (this.#current?.phase === "parked") this.#wake(this.#current);
        return;
      case "stored-loaded":
        this.#restore(message.stored);
        return;
      case "work-ready":
        if (this.#making.isReading(message.workId)) this.#continueWork();
        else if (this.#making.isSaving(message.workId)) this.#finish();
        return;
      case "work-failed":
        this.#workFailed(message.workId, message.error);
        return;
      case "poll-timeout":
        this.#timeIsUp(message.requestId);
        return;
      case "read-ahead":
        if (this.#awake !== null && this.#user.link !== null)
          this.#ahead.begin(message.rooms, this.#awake.engine, this.#user.link.user, this.#deps.directory);
        return;
      case "flush-cursors":
        this.#storage.flushIsDue(this.#awake);
        return;
      case "idle-check":
        this.#idleCheck();
    }
  }

  async drain(): Promise<void> {
    this.#answerParked();
    await this.#storage.save(this.#awake);
  }

  stop(reason: StopReason): void {
    this.#making.drop();
    this.#requests.refuseAll(new SyncError("actor_stopped", `connection stopped: ${reason}`));
    this.#user.leave();
  }

  get state(): string {
    return this.#current?.phase ?? "idle";
  }

  describe(): ConnectionDescription {
    const [userId, deviceId, connId] = this.#key;
    const who = { userId, deviceId, connId, dialect: this.#dialect.name };
    const now = { current: this.#current, awake: this.#awake, lastRequestMs: this.#lastRequestMs };
    return describeConnection(who, now, this.#context.clock);
  }

  get #current(): CurrentRequest | null {
    return this.#requests.current;
  }

  get #nowMs(): number {
    return this.#context.clock.mono();
  }

  /** A request cuts short the one that is being served, which is answered first, with what there is. */
  #arrive(arrival: Arrival): void {
    this.#lastRequestMs = this.#nowMs;
    const { link } = this.#user;
    if (link !== null) link.usedMs = this.#lastRequestMs;
    const current = this.#current;
    if (current !== null && isHopeless(arrival, this.#awake))
      arrival.command.reply.reject(this.#meter.sentBack("foreign", "pos is of no response to go on from"));
    else {
      // As if it had not been sent.
      if (current?.phase === "parked" && !this.#dialect.policy.answersCutShort) this.#requests.dropCurrent();
      if (this.#requests.take(arrival)) this.#begin();
      else this.#answerParked();
    }
  }

  /** Takes the current request as far as it goes without waiting. */
  #begin(): void {
    const current = this.#current;
    if (current === null || current.phase !== "loading") return;
    const { link } = this.#user;
    if (link === null) {
      this.#user.ask();
      return;
    }
    const { claims } = current;
    if (current.command.pos === null || claims?.incarnation === LOOSE) {
      const refusal = current.command.pos === null ? this.#meter.start() : null;
      if (refusal !== null) {
        this.#requests.reject(refusal);
        return;
      }
      this.#awake = begin(this.#dialect, claims, link, this.#user.readerOf(link), this.#context.rng);
      this.#process(current, 0, link);
      return;
    }
    const awake = this.#awake;
    if (claims === null) this.#requests.reject(this.#meter.sentBack("foreign", "pos is not one of ours"));
    else if (awake === null || isOtherLife(awake, claims)) this.#storage.load();
    else if (awake.incarnation !== claims.incarnation)
      this.#requests.reject(this.#meter.sentBack("started_over", "connection was started over"));
    else this.#process(current, claims.seq, link);
  }

  #process(current: CurrentRequest, posSeq: number, link: UserLink): void {
    const awake = this.#awake;
    if (awake === null) return;
    const { request, pos } = current.command;
    current.isReady(this.#nowMs, this.#deps.metrics);
    const text = requestText(request);
    const resolution = awake.log.resolve(posSeq, text);
    switch (resolution.kind) {
      case "unknown":
        this.#requests.reject(this.#meter.sentBack("acknowledged", "pos was acknowledged before"));
        return;
      case "rewind":
        this.#forget();
        this.#storage.load();
        return;
      case "replay": {
        const refusal = this.#meter.repeat();
        if (refusal === null) this.#requests.answer(resolution.response);
        else this.#requests.reject(refusal);
        return;
      }
      case "advance":
      case "fork":
      case "process":
        if (resolution.kind === "advance") {
          awake.engine.acknowledged();
          this.#storage.noteSent(awake, false);
        } else if (resolution.kind === "fork") takeBack(awake, link);
        else {
          current.replay = resolution.replay;
          current.isUrgent = resolution.replay !== null;
        }
        current.isUrgent ||= pos === null && !this.#dialect.policy.firstWaits;
        const pace = { isStart: pos === null, timeoutMs: current.command.timeoutMs };
        this.#serve(current, awake, link, { text, overdrawn: this.#meter.process(resolution.kind, text, pace) });
    }
  }

  #serve(
    current: CurrentRequest,
    awake: Awake,
    link: UserLink,
    { text, overdrawn }: { text: string; overdrawn: SyncError | null },
  ): void {
    if (overdrawn !== null) awake.log.refuse();
    const refusal = overdrawn ?? takeParams(awake, link, current.command.request, text);
    if (refusal !== null) {
      this.#requests.reject(refusal);
      return;
    }
    const { engine, reader } = awake;
    for (const deletion of acknowledge(current.claims, engine, reader, this.#deps))
      this.#storage.inBackground(deletion);
    const leftMs = current.leftMs(this.#nowMs);
    if (leftMs > 0 && hasNothingToSay(engine, reader, this.#deps)) this.#park(current, leftMs);
    else this.#startWork();
  }

  #userFailed(error: SyncError): void {
    // Its memory was made from the user's: it comes back from storage, as after any crash.
    if (this.#user.link !== null) this.#storage.flush(this.#awake);
    this.#user.answered(null);
    this.#forget();
    if (error.code === "actor_stopped" && this.#current !== null) {
      this.#current.restart(this.#nowMs);
      this.#begin();
      return;
    }
    if (this.#current !== null) this.#requests.reject(error);
    this.#requests.advance();
  }

  /** Takes the connection up again from what is stored and what the client's `pos` proves. */
  #restore(stored: StoredConnection | null): void {
    const current = this.#current;
    const { link } = this.#user;
    if (current === null || current.phase !== "loading") return;
    if (link === null || current.claims === null) {
      this.#begin();
      return;
    }
    const awake = takeUp(this.#dialect, stored, current.claims, link, this.#user.readerOf(link), this.#context.rng);
    if (awake === null) {
      this.#requests.reject(this.#meter.sentBack("lost", "connection is not known"));
      return;
    }
    this.#awake = awake;
    this.#storage.distrust();
    // Another crash may follow at once: what this life begins with is written down before it answers anything.
    this.#storage.flush(awake);
    this.#process(current, current.claims.seq, link);
  }

  #startWork(): void {
    const [current, awake, link] = [this.#current, this.#awake, this.#user.link];
    if (current === null || awake === null || link === null) return;
    current.phase = "working";
    this.#making.begin(awake, link, current, this.#ahead.running);
    this.#continueWork();
  }

  #continueWork(): void {
    const built = this.#making.advance();
    if (built !== null) this.#conclude(built);
  }

  /** Answers, or parks the request when there is nothing to say yet. */
  #conclude(built: BuiltResponse): void {
    const [current, awake] = [this.#current, this.#awake];
    if (awake === null) return;
    const leftMs = current?.leftMs(this.#nowMs) ?? 0;
    if (!built.hasData && current !== null && leftMs > 0 && !this.#requests.hasNext) {
      noteUnsaid(awake, built);
      this.#park(current, leftMs);
      return;
    }
    // One that is cut short says nothing of how long its client would have waited.
    if (current !== null && !this.#requests.hasNext) this.#meter.answered(built.hasData, current.waitedMs);
    const { seq, isNewParams } = noteSent(awake, built, current?.replay?.seq ?? null);
    const saved = this.#storage.saveBefore(awake, { isNewParams, hasInitialRooms: built.pages.hasInitial });
    this.#making.save({ built, seq }, saved);
    if (saved === null) this.#finish();
  }

  #park(current: CurrentRequest, leftMs: number): void {
    const { requestId } = current.command;
    current.limitWait(() => this.#context.after(leftMs, { type: "poll-timeout", requestId }));
    if (this.#awake?.engine.isDirty === true) this.#startWork();
    else current.park(this.#nowMs);
  }

  /** Goes on with a parked request: in the trace of what woke it, or else in its own. */
  #wake(current: CurrentRequest): void {
    current.countWait(this.#nowMs);
    if (current.trace === null || current.trace.wokenByTurn()) this.#startWork();
    else inTraceOf(current.trace, () => this.#startWork());
  }

  #timeIsUp(requestId: number): void {
    const current = this.#current;
    if (current?.command.requestId !== requestId) return;
    current.timedOut();
    this.#answerParked();
  }

  /** The time is up, or waiting has become pointless. */
  #answerParked(): void {
    if (this.#current?.phase !== "parked") return;
    this.#current.isUrgent = true;
    this.#wake(this.#current);
  }

  /** Writes the response out; everything it rests on is stored. */
  #finish(): void {
    const [saving, awake, link, current] = [this.#making.takeSaved(), this.#awake, this.#user.link, this.#current];
    if (saving === null || awake === null || link === null) return;
    const { built, seq } = saving;
    const txnId = current?.command.request.txn_id;
    const kept = writeResponse(awake, link, built, { seq, txnId, isLoose: this.#isLoose }, this.#mac);
    awake.log.add(kept);
    this.#storage.noteSent(awake, built.pages.hasInitial);
    this.#requests.answer(current?.replay ?? kept);
    const rooms = awake.engine.takeUpcoming();
    // In a turn of its own: the answer leaves first.
    if (rooms.length > 0)
      this.#context.tell(this.#context.self, { type: "read-ahead", rooms } satisfies ConnectionMessage);
  }

  /** Ends for good: nobody may take it up again, and what its device shares does not wait for it. */
  #expire(why: string): void {
    const [userId, deviceId] = this.#key;
    this.#context.log.info({ user_id: userId, device_id: deviceId }, why);
    this.#forget();
    this.#storage.remove();
    this.#user.ended();
    this.#requests.refuseAll(this.#meter.sentBack("expired", "connection expired"));
    this.#context.stopSelf();
  }

  #workFailed(workId: number, error: SyncError): void {
    this.#storage.distrust();
    if (workId === BACKGROUND_WORK) {
      this.#context.log.warn({ code: error.code }, "connection could not be written behind");
      this.#storage.flushSoon();
    } else if (workId === LOAD_WORK) this.#requests.reject(error);
    else if (this.#making.isReading(workId) || this.#making.isSaving(workId)) {
      // Nothing was sent, so what the client's `pos` proves is where the next request begins.
      this.#forget();
      this.#requests.reject(error);
    }
  }

  /** Drops the connection's memory, and what was being made of it. */
  #forget(): void {
    this.#making.drop();
    this.#awake = null;
  }

  #idleCheck(): void {
    const idleMs = this.#nowMs - this.#lastRequestMs;
    this.#storage.flush(this.#awake);
    if (this.#current === null && idleMs >= CONNECTION_TOUCH_MS) this.#context.stopSelf();
    else this.#context.after(CONNECTION_TOUCH_MS, { type: "idle-check" });
  }
}
