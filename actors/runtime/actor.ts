import type { SyncError } from "#src/errors.ts";
import type { Cancel, Clock, Logger, Rng } from "#src/ports/basics.ts";

/** Where an actor lives is computed from its kind and shard (see `placement.ts`), never stored. */
export interface Address {
  kind:
    | "poller"
    | "ingest"
    | "directory"
    | "user"
    | "connection"
    | "gateway"
    | "repair"
    | "supervisor"
    | "probe"
    | "inspector";
  /** Unique within the kind; "" for singletons. */
  key: string;
  /**
   * What is hashed to choose the host (the user id); "" for singletons. For `directory`: the host's index; for `probe` and
   * `inspector`: the host's id.
   */
  shard: string;
}

/** A message before its receiver's type is known. */
export interface AnyMessage {
  type: string;
  [field: string]: unknown;
}

/** A parked answer: exists only inside a host, which makes it from the ask id of the envelope. */
export interface Reply<T> {
  resolve(value: T, transfer?: Transferable[]): void;
  reject(error: SyncError): void;
}

/** An asked message as its receiver sees it. */
export type Asked<M, T> = M & { reply: Reply<T> };

export type StopReason = "passivated" | "drained" | "crashed";

/** Private state and one turn at a time. A throw is a crash: the supervisor decides what follows. */
export interface Actor<M> {
  /** One turn. Never waits for the network or for time (A3). */
  receive(message: M): void;
  /** Last call; settles what is parked. Not called after a crash of the host. */
  stop?(reason: StopReason): void;
  /** Called once when the host drains, before `stop`; resolves when nothing is left to finish. */
  drain?(): Promise<void>;
  /** What it is doing, in a word; for counting many. */
  readonly state?: string;
  /** What it is doing, as plain data for an operator who asks; between two turns, and without changing anything. */
  describe?(): object;
}

export interface AskOptions {
  deadlineMs: number;
  transfer?: Transferable[];
}

/** All an actor has of the outside, besides its deps. */
export interface ActorContext<M> {
  readonly self: Address;
  readonly log: Logger;
  readonly clock: Clock;
  readonly rng: Rng;
  /** One-way; never throws. What cannot be delivered is counted as a dead letter. */
  tell(to: Address, message: AnyMessage, transfer?: Transferable[]): void;
  /** Settles as value, error, `ask_timeout`, or `actor_stopped` when the receiver's host dies. */
  ask<T>(to: Address, message: AnyMessage, options: AskOptions): Promise<T>;
  /** Sends `message` to self later. */
  after(delayMs: number, message: M): Cancel;
  /** The result comes back as a message to self; lost when the actor stops first. */
  pipe<T>(promise: Promise<T>, onValue: (value: T) => M, onError: (error: SyncError) => M): void;
  /** Stops self after this turn. */
  stopSelf(): void;
}

export type ActorFactory<M> = (context: ActorContext<M>) => Actor<M>;

/** How a host treats one kind of actor. */
export interface ActorKind<M> {
  factory: ActorFactory<M>;
  /**
   * Messages beyond this are refused: an ask is rejected with `mailbox_full`, a tell becomes a dead letter.
   * "unbounded" only for actors whose senders wait for an answer before they send again.
   */
  mailboxLimit: number | "unbounded";
  /**
   * After a crashed turn: `restart` makes a new incarnation at once (within the budget), `stop` waits for the next message.
   * Asks parked in the crashed incarnation are rejected with `actor_stopped`.
   */
  onCrash: "restart" | "stop";
  /** True for messages that mean nothing to an actor that is not there: they are dropped then, and wake none. */
  isForAwake?(message: M): boolean;
  /**
   * More crashes than this of the kind on one host kill the host. One actor alone is slowed by its own backoff to about
   * ten crashes a minute, so the default of 200 a minute means that the host, not a user's data, is broken. A singleton whose
   * host is useless without it (ingest) names a tighter one.
   */
  restartBudget?: { intensity: number; periodMs: number };
}

/** A kind whose messages are not known here: what a table of kinds holds. */
export type AnyActorKind = ActorKind<never>;

/** The kinds of actor a host can activate. */
export type KindTable = Partial<Record<Address["kind"], AnyActorKind>>;
