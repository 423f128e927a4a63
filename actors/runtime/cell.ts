import { SyncError } from "#src/errors.ts";
import type { Cancel, Clock, Logger, Metrics, Rng, Timers } from "#src/ports/basics.ts";
import type { Actor, ActorContext, ActorKind, Address, AskOptions, Reply, StopReason } from "./actor.ts";
import type { AnyMessage } from "./envelope.ts";
import { toSyncError } from "./error-wire.ts";
import { Mailbox } from "./mailbox.ts";
import { ACTOR_BACKOFF, backoff, type RestartBudget } from "./restart.ts";
import { activeTraceparent, runTraced } from "./tracing.ts";
import type { TurnTaker } from "./turn-loop.ts";
import { SmallSet } from "#src/small-collections.ts";

/** Where the answer of an asked message goes. */
export interface AskTicket {
  resolve(value: unknown, transfer?: Transferable[]): void;
  reject(error: SyncError): void;
}

/** A message on its way to an actor of this host. */
export interface Envelope {
  message: AnyMessage;
  ticket: AskTicket | null;
  traceparent: string;
}

/** One kind as a host keeps it. */
export interface KindEntry {
  readonly name: Address["kind"];
  readonly definition: ActorKind<AnyMessage>;
  readonly budget: RestartBudget;
  /** Made once: metrics of a turn allocate nothing. */
  readonly labels: { readonly kind: string };
  readonly cells: Map<string, ActorCell>;
}

/** What a cell needs of the host it lives in. */
export interface CellHost {
  readonly name: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Metrics;
  tell(to: Address, message: AnyMessage, transfer?: Transferable[]): void;
  ask<T>(to: Address, message: AnyMessage, options: AskOptions): Promise<T>;
  schedule(cell: ActorCell): void;
  forget(cell: ActorCell): void;
  deadLetter(kind: string, reason: string): void;
  /** Counts a crash; answers which one in a row of this actor it is. */
  recordCrash(cell: ActorCell): number;
}

type Signal = { type: "restart" } | { type: "crash"; incarnation: Incarnation; error: unknown };

/** A turn this long holds up every other actor of its host: worth a line. */
const SLOW_TURN_MS = 1000;

class ParkedReply implements Reply<unknown> {
  readonly #parked: SmallSet<ParkedReply>;
  readonly #ticket: AskTicket;

  constructor(parked: SmallSet<ParkedReply>, ticket: AskTicket) {
    this.#parked = parked;
    this.#ticket = ticket;
    parked.add(this);
  }

  resolve(value: unknown, transfer?: Transferable[]): void {
    if (this.#parked.delete(this)) this.#ticket.resolve(value, transfer);
  }

  reject(error: SyncError): void {
    if (this.#parked.delete(this)) this.#ticket.reject(error);
  }
}

/** One life of an actor between restarts: what it parked and started ends with it. */
class Incarnation implements ActorContext<AnyMessage> {
  readonly self: Address;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly parked = new SmallSet<ParkedReply>();
  readonly #cell: ActorCell;
  readonly #host: CellHost;
  readonly #timers = new SmallSet<Cancel>();
  actor: Actor<AnyMessage> | null = null;
  isStopping = false;
  #hasEnded = false;

  constructor(cell: ActorCell, host: CellHost) {
    this.#cell = cell;
    this.#host = host;
    this.self = cell.address;
    this.clock = host.clock;
    this.rng = host.rng;
  }

  /** Made for each line: thousands of actors log once in their lives, or never. */
  get log(): Logger {
    return this.#host.logger.child({ actor_kind: this.self.kind, actor_key: this.self.key });
  }

  tell(to: Address, message: AnyMessage, transfer?: Transferable[]): void {
    this.#host.tell(to, message, transfer);
  }

  ask<T>(to: Address, message: AnyMessage, options: AskOptions): Promise<T> {
    return this.#host.ask(to, message, options);
  }

  after(delayMs: number, message: AnyMessage): Cancel {
    if (this.#hasEnded) return () => {};
    const cancel = this.#host.timers.after(delayMs, () => {
      this.#timers.delete(cancel);
      this.#toSelf(message, "");
    });
    this.#timers.add(cancel);
    return () => {
      this.#timers.delete(cancel);
      cancel();
    };
  }

  pipe<T>(promise: Promise<T>, onValue: (value: T) => AnyMessage, onError: (error: SyncError) => AnyMessage): void {
    const traceparent = activeTraceparent();
    promise
      .then(
        (value) => this.#toSelf(onValue(value), traceparent),
        (error: unknown) => this.#toSelf(onError(toSyncError(error, "piped work failed")), traceparent),
      )
      // Only `onValue` and `onError` can throw here; left alone, that would take the whole host down.
      .catch((error: unknown) => this.#cell.fail(this, error));
  }

  stopSelf(): void {
    this.isStopping = true;
  }

  end(): void {
    this.#hasEnded = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #toSelf(message: AnyMessage, traceparent: string): void {
    if (!this.#hasEnded) this.#cell.acceptOwn({ message, ticket: null, traceparent });
  }
}

/** The runtime's half of an actor: its mailbox, its current incarnation, and what happens when a turn throws. */
export class ActorCell implements TurnTaker {
  readonly kind: KindEntry;
  readonly address: Address;
  readonly #host: CellHost;
  readonly #mailbox: Mailbox<Envelope, Signal>;
  #incarnation: Incarnation | null = null;
  #isQueued = false;
  #cooling: Cancel | null = null;

  constructor(host: CellHost, kind: KindEntry, address: Address) {
    this.#host = host;
    this.kind = kind;
    this.address = address;
    this.#mailbox = new Mailbox(kind.definition.mailboxLimit);
  }

  get depth(): number {
    return this.#mailbox.depth;
  }

  /** From outside. A message beyond the mailbox's bound is refused, and its sender told when it asked. */
  accept(envelope: Envelope): void {
    if (this.#mailbox.offer(envelope)) {
      this.#wake();
      return;
    }
    this.#host.deadLetter(this.kind.name, "mailbox_full");
    envelope.ticket?.reject(new SyncError("mailbox_full", `the mailbox of ${this.kind.name} is full`));
  }

  acceptOwn(envelope: Envelope): void {
    this.#mailbox.offerOwn(envelope);
    this.#wake();
  }

  /** A failure of this incarnation outside of a turn. */
  fail(incarnation: Incarnation, error: unknown): void {
    this.#mailbox.signal({ type: "crash", incarnation, error });
    this.#wake();
  }

  /** What the actor says of itself; null when it is not awake, or says nothing. */
  describe(): object | null {
    return this.#incarnation?.actor?.describe?.() ?? null;
  }

  /** What the actor is doing, in a word; null when it is not awake, or does not say. */
  get state(): string | null {
    return this.#incarnation?.actor?.state ?? null;
  }

  /** Lets the actor finish what it has begun. */
  async drain(): Promise<void> {
    await this.#incarnation?.actor?.drain?.();
  }

  /** Everything vanishes, nobody is told: as a crash of the host would have it. */
  vanish(): void {
    this.#cooling?.();
    this.#incarnation?.end();
    this.#incarnation = null;
  }

  /** Stops the actor for good, between two turns; what still waits in its mailbox is refused. */
  end(reason: StopReason): void {
    this.#cooling?.();
    this.#stopIncarnation(reason);
    for (let envelope = this.#mailbox.take(); envelope !== undefined; envelope = this.#mailbox.take()) {
      this.#host.deadLetter(this.kind.name, "stopped");
      envelope.ticket?.reject(new SyncError("actor_stopped", `${this.kind.name} was stopped`));
    }
  }

  takeTurn(): boolean {
    const signal = this.#mailbox.takeSignal();
    if (signal !== undefined) this.#obey(signal);
    else if (this.#cooling === null) this.#takeMessage();
    const hasMore = this.#cooling === null && !this.#mailbox.isEmpty;
    this.#isQueued = hasMore;
    if (!hasMore && this.#incarnation === null && this.#cooling === null) this.#host.forget(this);
    return hasMore;
  }

  #wake(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    this.#host.schedule(this);
  }

  #obey(signal: Signal): void {
    if (signal.type === "restart") this.#activate();
    else if (signal.incarnation === this.#incarnation) this.#crash(signal.error, "piped result");
  }

  #takeMessage(): void {
    const envelope = this.#mailbox.take();
    if (envelope === undefined) return;
    const incarnation = this.#activate();
    if (incarnation === null) {
      this.#host.deadLetter(this.kind.name, "not_activated");
      envelope.ticket?.reject(new SyncError("actor_stopped", `${this.kind.name} could not start`));
      return;
    }
    const started = this.#host.clock.mono();
    const { type } = envelope.message;
    try {
      this.#receive(incarnation, envelope);
    } catch (error) {
      this.#crash(error, type);
    }
    const tookMs = this.#host.clock.mono() - started;
    this.#host.metrics.observe("actor_turn_duration_secs", tookMs / 1000, this.kind.labels);
    if (tookMs >= SLOW_TURN_MS) incarnation.log.warn({ message_type: type, took_ms: Math.round(tookMs) }, "slow turn");
    if (incarnation.isStopping && this.#incarnation === incarnation) this.#stopIncarnation("passivated");
  }

  #receive(incarnation: Incarnation, envelope: Envelope): void {
    const { ticket, traceparent } = envelope;
    const message =
      ticket === null ? envelope.message : { ...envelope.message, reply: new ParkedReply(incarnation.parked, ticket) };
    const { actor } = incarnation;
    if (traceparent === "") actor?.receive(message);
    else runTraced(traceparent, this.kind.name, message.type, this.#host.name, () => actor?.receive(message));
  }

  #activate(): Incarnation | null {
    if (this.#incarnation !== null) return this.#incarnation;
    const incarnation = new Incarnation(this, this.#host);
    // Known before the factory runs, so that what the factory started is ended when it throws.
    this.#incarnation = incarnation;
    try {
      incarnation.actor = this.kind.definition.factory(incarnation);
      return incarnation;
    } catch (error) {
      this.#crash(error, "activation");
      return null;
    }
  }

  #stopIncarnation(reason: StopReason): void {
    const incarnation = this.#incarnation;
    if (incarnation === null) return;
    this.#incarnation = null;
    try {
      incarnation.actor?.stop?.(reason);
    } catch (error) {
      this.#logCrash(error, `stop (${reason})`);
    }
    this.#endIncarnation(incarnation, reason);
  }

  #endIncarnation(incarnation: Incarnation, reason: StopReason): void {
    incarnation.end();
    for (const reply of incarnation.parked) {
      reply.reject(new SyncError("actor_stopped", `${this.kind.name} ${reason} before it answered`));
    }
  }

  #crash(error: unknown, during: string): void {
    const incarnation = this.#incarnation;
    this.#incarnation = null;
    this.#logCrash(error, during);
    if (incarnation !== null) {
      // Rejected first: what a broken actor answers on its way out is not to be trusted.
      this.#endIncarnation(incarnation, "crashed");
      try {
        incarnation.actor?.stop?.("crashed");
      } catch (stopError) {
        this.#logCrash(stopError, "stop (crashed)");
      }
    }
    this.#host.metrics.count("actor_restarts_total", 1, this.kind.labels);
    this.#comeBack(backoff(ACTOR_BACKOFF, this.#host.recordCrash(this), this.#host.rng));
  }

  #comeBack(delayMs: number): void {
    const restart = (): void => {
      this.#cooling = null;
      if (this.kind.definition.onCrash === "restart") this.#mailbox.signal({ type: "restart" });
      this.#wake();
    };
    if (delayMs === 0) {
      if (this.kind.definition.onCrash === "restart") this.#mailbox.signal({ type: "restart" });
      return;
    }
    this.#cooling = this.#host.timers.after(delayMs, restart);
  }

  #logCrash(error: unknown, during: string): void {
    this.#host.logger.error(
      {
        actor_kind: this.kind.name,
        actor_key: this.address.key,
        during,
        error: error instanceof Error ? error.message : String(error),
        stack: error instanceof Error ? error.stack : undefined,
      },
      "actor crashed",
    );
  }
}
