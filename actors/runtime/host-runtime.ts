import { SyncError } from "#src/errors.ts";
import type { Clock, Logger, Metrics, Rng, Timers } from "#src/ports/basics.ts";
import type { Address, AskOptions, KindTable } from "./actor.ts";
import { PendingAsks } from "./asks.ts";
import { ActorCell, type AskTicket, type CellHost, type Envelope, type KindEntry } from "./cell.ts";
import { type AnswerFrame, type AnyMessage, isAnswerFrame, isBatch, isMessageFrame } from "./envelope.ts";
import { errorFromWire } from "./error-wire.ts";
import { type LinkOwner, PeerLink, type PeerPort } from "./peer-link.ts";
import { type HostId, hostId, type HostRole, placeOf, type Topology } from "./placement.ts";
import { CrashHistory, RestartBudget } from "./restart.ts";
import { activeTraceparent } from "./tracing.ts";
import { TurnLoop } from "./turn-loop.ts";

export interface HostDeps {
  role: HostRole;
  index: number;
  topology: Topology;
  clock: Clock;
  rng: Rng;
  timers: Timers;
  logger: Logger;
  metrics: Metrics;
  /** Runs `run` after waiting I/O had its chance; `setImmediate` but for tests. */
  yieldToIo: (run: () => void) => void;
  /** A kind's restart budget is spent: this host asks to be killed. */
  onEscalate: (reason: string) => void;
}

/** A batch that has been taken in: the answers it already has. */
export interface Taken {
  answers: AnswerFrame[] | undefined;
  transfers: Transferable[];
}

/** The actors of one kind on this host. */
export interface KindCensus {
  kind: Address["kind"];
  count: number;
  /** Messages that wait, in all of their mailboxes and in the fullest. */
  mailboxDepth: number;
  deepestMailbox: number;
}

/** Default of `ActorKind.restartBudget`, explained there. */
const DEFAULT_RESTART_BUDGET = { intensity: 200, periodMs: 60_000 };

/** All the actors of one thread, and its links to the other hosts. */
export class HostRuntime {
  readonly id: HostId;
  readonly #deps: HostDeps;
  readonly #loop: TurnLoop;
  readonly #asks: PendingAsks;
  readonly #crashes: CrashHistory;
  readonly #kinds = new Map<string, KindEntry>();
  readonly #links = new Map<HostId, PeerLink>();
  readonly #cellHost: CellHost;
  readonly #linkOwner: LinkOwner;
  #phase: "running" | "draining" | "stopped" | "killed" = "running";

  constructor(deps: HostDeps) {
    this.#deps = deps;
    this.id = hostId(deps.role, deps.index);
    this.#loop = new TurnLoop(deps.clock, deps.yieldToIo);
    this.#asks = new PendingAsks(deps.timers);
    this.#crashes = new CrashHistory(() => deps.clock.mono());
    this.#cellHost = this.#makeCellHost();
    this.#linkOwner = {
      logger: deps.logger,
      afterIo: deps.yieldToIo,
      answersArrived: (link, answers) => this.#takeAnswers(link, answers),
      askFailed: (link, askId, error) => this.#asks.fail(askId, link.peer, error),
      deadLetter: (kind, reason) => this.#deadLetter(kind, reason),
    };
  }

  /** The kinds come after the host, because what makes them may itself tell and ask. */
  addKinds(kinds: KindTable): void {
    const { clock, metrics } = this.#deps;
    for (const [name, definition] of Object.entries(kinds)) {
      const entry: KindEntry = {
        name: name as Address["kind"],
        definition: definition,
        budget: new RestartBudget(definition.restartBudget ?? DEFAULT_RESTART_BUDGET, () => clock.mono()),
        labels: { kind: name },
        cells: new Map(),
      };
      this.#kinds.set(name, entry);
      metrics.gauge("actor_mailbox_depth", () => depthOf(entry), entry.labels);
      metrics.gauge("actor_count", () => entry.cells.size, entry.labels);
    }
  }

  /** One-way; what cannot be delivered is a dead letter. */
  tell(to: Address, message: AnyMessage, transfer?: Transferable[]): void {
    const place = placeOf(to, this.#deps.topology);
    const traceparent = activeTraceparent();
    if (place === this.id) {
      this.#accept(to.kind, to.key, to.shard, { message, ticket: null, traceparent });
      return;
    }
    const link = this.#links.get(place);
    const frame = [to.kind, to.key, to.shard, 0, traceparent, message] as const;
    if (link === undefined) this.#deadLetter(to.kind, "host_down");
    else if (!link.send(frame, transfer)) this.#deadLetter(to.kind, "host_stuck");
  }

  /** Settles as value, error, `ask_timeout`, or `actor_stopped` when the receiver's host dies. */
  ask<T>(to: Address, message: AnyMessage, options: AskOptions): Promise<T> {
    const place = placeOf(to, this.#deps.topology);
    const traceparent = activeTraceparent();
    const { id, answer } = this.#asks.open<T>(place, options.deadlineMs, `${to.kind}.${message.type}`);
    if (place === this.id) {
      this.#accept(to.kind, to.key, to.shard, { message, ticket: this.#localTicket(id), traceparent });
      return answer;
    }
    const link = this.#links.get(place);
    if (link === undefined) {
      this.#asks.fail(id, place, new SyncError("actor_stopped", `host ${place} is down`));
    } else if (!link.send([to.kind, to.key, to.shard, id, traceparent, message], options.transfer)) {
      this.#asks.fail(id, place, new SyncError("mailbox_full", `host ${place} does not keep up`));
    }
    return answer;
  }

  /** Wires a peer; an older link to it is dropped whole. */
  attach(peer: HostId, port: PeerPort): PeerLink {
    this.detach(peer);
    const link = new PeerLink(peer, port, this.#linkOwner);
    this.#links.set(peer, link);
    return link;
  }

  /** The peer is dead: what it was asked is rejected, what it still sends is ignored. */
  detach(peer: HostId): void {
    const link = this.#links.get(peer);
    if (link === undefined) return;
    this.#links.delete(peer);
    link.close();
    this.#asks.failAllOf(peer);
  }

  /** What is for this peer leaves now: before whatever is told it by another way. */
  flush(peer: HostId): void {
    this.#links.get(peer)?.flush();
  }

  hasPeer(peer: HostId): boolean {
    return this.#links.has(peer);
  }

  /** Takes in a batch of a peer: its turns run at once, and what they answer is the result. */
  take(link: PeerLink, batch: unknown): Taken {
    if (this.#phase === "killed" || link.isClosed) return { answers: undefined, transfers: [] };
    if (!isBatch(batch)) {
      this.#deadLetter("unknown", "bad_frame");
      return { answers: undefined, transfers: [] };
    }
    this.#takeAnswers(link, batch.answers);
    if (batch.messages.length === 0) return { answers: undefined, transfers: [] };
    const { answers, transfers } = link.collect(() => {
      for (const frame of batch.messages) this.#takeFrame(link, frame);
      this.#loop.runNow();
    });
    return { answers: answers.length === 0 ? undefined : answers, transfers };
  }

  /** Lets every actor finish, at most for `limitMs`, then stops them; from then on every ask is rejected. */
  async drain(limitMs: number): Promise<void> {
    if (this.#phase !== "running") return;
    this.#phase = "draining";
    const limit = Promise.withResolvers<void>();
    const drain = { isOver: false };
    const cancel = this.#deps.timers.after(limitMs, () => {
      drain.isOver = true;
      limit.resolve();
    });
    await Promise.race([Promise.allSettled(this.#cells().map((cell) => cell.drain())), limit.promise]);
    // What arrived meanwhile is still worked off: a message taken in is not lost by a drain.
    while (!drain.isOver && !this.#loop.isIdle) await new Promise<void>((resolve) => this.#deps.yieldToIo(resolve));
    cancel();
    this.#phase = "stopped";
    this.#loop.stop();
    for (const cell of this.#cells()) cell.end("drained");
    for (const link of this.#links.values()) link.flush();
  }

  /** Everything of this host vanishes without a word: what a crash does, for hosts that share a thread. */
  kill(): void {
    this.#phase = "killed";
    this.#loop.stop();
    for (const cell of this.#cells()) cell.vanish();
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    this.#asks.abandon();
  }

  /** No turn is ready and nothing is on its way to a peer; asks may still be parked. */
  get isIdle(): boolean {
    if (!this.#loop.isIdle) return false;
    for (const link of this.#links.values()) if (link.backlog > 0) return false;
    return true;
  }

  /** How many actors of each kind there are, and what waits for them. */
  census(): KindCensus[] {
    return [...this.#kinds.values()].map(({ name, cells }) => {
      let mailboxDepth = 0;
      let deepestMailbox = 0;
      for (const { depth } of cells.values()) {
        mailboxDepth += depth;
        deepestMailbox = Math.max(deepestMailbox, depth);
      }
      return { kind: name, count: cells.size, mailboxDepth, deepestMailbox };
    });
  }

  /** How many awake actors of a kind there are in each state. */
  countStates(kind: Address["kind"]): Record<string, number> {
    const counts = new Map<string, number>();
    for (const { state } of this.#kinds.get(kind)?.cells.values() ?? []) {
      if (state !== null) counts.set(state, (counts.get(state) ?? 0) + 1);
    }
    return Object.fromEntries(counts);
  }

  /** What the awake actors of a kind say of themselves, by key, from the one behind `after` on, or from the first. */
  *describe(kind: Address["kind"], after: string | null): Generator<{ key: string; description: object }> {
    const cells = this.#kinds.get(kind)?.cells ?? new Map<string, ActorCell>();
    const keys = [...cells.keys()].filter((key) => after === null || key > after).sort();
    for (const key of keys) {
      const description = cells.get(key)?.describe() ?? null;
      if (description !== null) yield { key, description };
    }
  }

  #cells(): ActorCell[] {
    return [...this.#kinds.values()].flatMap((entry) => Array.from(entry.cells.values()));
  }

  #takeFrame(link: PeerLink, frame: unknown): void {
    if (!isMessageFrame(frame)) {
      this.#deadLetter("unknown", "bad_frame");
      return;
    }
    const [kind, key, shard, askId, traceparent, message] = frame;
    this.#accept(kind, key, shard, { message, ticket: askId === 0 ? null : link.ticket(askId), traceparent });
  }

  #takeAnswers(link: PeerLink, answers: readonly unknown[]): void {
    for (const frame of answers) {
      if (!isAnswerFrame(frame)) {
        this.#deadLetter("unknown", "bad_frame");
        continue;
      }
      const [askId, error, value] = frame;
      if (error === null) this.#asks.resolve(askId, link.peer, value);
      else this.#asks.fail(askId, link.peer, errorFromWire(error));
    }
  }

  #accept(kind: Address["kind"], key: string, shard: string, envelope: Envelope): void {
    const entry = this.#kinds.get(kind);
    const awake = entry?.cells.get(key);
    if (awake === undefined && entry !== undefined && isForAwake(entry, envelope)) return;
    const cell = awake ?? this.#activate(entry, key, shard);
    if (cell !== undefined && this.#phase !== "stopped" && this.#phase !== "killed") {
      cell.accept(envelope);
      return;
    }
    this.#deadLetter(kind, entry === undefined ? "unknown_kind" : "stopped");
    envelope.ticket?.reject(
      entry === undefined
        ? new SyncError("internal", `host ${this.id} has no actors of kind ${kind}`)
        : new SyncError("actor_stopped", `host ${this.id} is stopping`),
    );
  }

  #activate(entry: KindEntry | undefined, key: string, shard: string): ActorCell | undefined {
    if (entry === undefined || this.#phase !== "running") return undefined;
    const cell = new ActorCell(this.#cellHost, entry, { kind: entry.name, key, shard });
    entry.cells.set(key, cell);
    return cell;
  }

  #localTicket(id: number): AskTicket {
    return {
      resolve: (value) => this.#asks.resolve(id, this.id, value),
      reject: (error) => this.#asks.fail(id, this.id, error),
    };
  }

  #deadLetter(kind: string, reason: string): void {
    this.#deps.metrics.count("actor_dead_letters_total", 1, { kind, reason });
  }

  #makeCellHost(): CellHost {
    const { clock, rng, timers, logger, metrics } = this.#deps;
    return {
      name: this.id,
      clock,
      rng,
      timers,
      logger,
      metrics,
      tell: (to, message, transfer) => this.tell(to, message, transfer),
      ask: (to, message, options) => this.ask(to, message, options),
      schedule: (cell) => this.#loop.schedule(cell),
      forget: (cell) => cell.kind.cells.delete(cell.address.key),
      deadLetter: (kind, reason) => this.#deadLetter(kind, reason),
      recordCrash: (cell) => this.#recordCrash(cell),
    };
  }

  #recordCrash(cell: ActorCell): number {
    const { name, budget } = cell.kind;
    if (!budget.spend()) {
      this.#deps.logger.error({ actor_kind: name }, "restart budget spent, giving the host up");
      this.#deps.onEscalate(`restart budget of ${name} spent`);
    }
    return this.#crashes.record(`${name} ${cell.address.key}`);
  }
}

/** Asks are always answered. */
const isForAwake = ({ definition }: KindEntry, { message, ticket }: Envelope): boolean =>
  ticket === null && definition.isForAwake?.(message) === true;

function depthOf(entry: KindEntry): number {
  let depth = 0;
  for (const cell of entry.cells.values()) depth += cell.depth;
  return depth;
}
