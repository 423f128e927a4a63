import { SyncError } from "#src/errors.ts";
import { packPollBatch, unpackUpdates } from "#src/protocol/packed.ts";
import type { StreamPos } from "#src/protocol/ids.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { UpdateBatch } from "#src/protocol/update.ts";
import { pollerKey } from "#src/state/ingest-context.ts";
import type { IngestStore, IngestTransaction } from "#src/ports/stores.ts";
import type { Actor, ActorContext, Address } from "#actors/runtime/actor.ts";
import { INGEST } from "#actors/addresses.ts";
import { ingestKind } from "#actors/ingest/ingest-actor.ts";
import type { BatchApplied, IngestMessage } from "#actors/ingest/messages.ts";
import { type FakeStores, makeFakeStores } from "./fake-stores.ts";
import { checkTransaction } from "./ingest-world.ts";
import { RecordingMetrics, recordingLogger } from "./recording.ts";
import { settlePromises, VirtualTime } from "./virtual-time.ts";

/** How the fake database treats the next commit. */
export type CommitFate = "ok" | "down" | "refuse" | "lose-answer";

/** A batch on its way: settled when ingest has answered. */
export interface Sent {
  /** "waiting", "applied", or the code of an error. */
  outcome: string;
  pos: number;
}

/** An update as a sync host got it; the host applies it when told to. */
export interface Delivered {
  host: number;
  updates: UpdateBatch;
  apply(): Promise<void>;
  fail(code: "actor_stopped" | "ask_timeout"): Promise<void>;
}

/** The ingest actor alone with a store in memory, sync hosts that answer by hand, and time that stands still. */
export class IngestRig {
  readonly time = new VirtualTime();
  readonly stores: FakeStores = makeFakeStores();
  readonly metrics = new RecordingMetrics();
  readonly logger = recordingLogger();
  readonly commits: IngestTransaction[] = [];
  readonly queries: string[] = [];
  readonly delivered: Delivered[] = [];
  /** Stream heads that a new incarnation told the hosts, which say nothing else. */
  readonly announced: number[] = [];
  /** Sync hosts apply at once. */
  isPrompt = true;
  /** What the database cannot take, if anything. */
  isPoison: (tx: IngestTransaction) => boolean = () => false;
  fates: CommitFate[] = [];
  /** Commits wait here until released. */
  #held: (() => void)[] | null = null;
  #actor: Actor<IngestMessage>;
  readonly #hostCount: number;
  #incarnation = 0;
  /** What pollers know from the answers to their polls, by device. */
  readonly #polledAts = new Map<string, StreamPos>();
  #writer = 0;

  constructor(hostCount = 1) {
    this.#hostCount = hostCount;
    this.#actor = this.#start();
  }

  get head(): number {
    return this.stores.db.head;
  }

  /** A new incarnation: what was remembered and what waited is gone. */
  async restart(): Promise<void> {
    this.#actor = this.#start();
    await settlePromises();
  }

  send(batch: PollBatch): Sent {
    const sent: Sent = { outcome: "waiting", pos: -1 };
    const poller = pollerKey(batch.userId, batch.deviceId);
    const polledAt = this.#polledAts.get(poller);
    const told = polledAt === undefined ? batch : { polledAt, ...batch };
    const reply = {
      resolve: ({ pos }: BatchApplied) => {
        Object.assign(sent, { outcome: "applied", pos });
        if (batch.since !== null) this.#polledAts.set(poller, pos);
      },
      reject: (error: SyncError) => Object.assign(sent, { outcome: error.code }),
    };
    this.#actor.receive({ type: "store-batch", packed: packPollBatch(told), reply });
    return sent;
  }

  async store(...batches: PollBatch[]): Promise<Sent[]> {
    const sent = batches.map((batch) => this.send(batch));
    await this.settle();
    return sent;
  }

  tell(message: IngestMessage): void {
    this.#actor.receive(message);
  }

  drain(): Promise<void> {
    return this.#actor.drain?.() ?? Promise.resolve();
  }

  stop(): void {
    this.#actor.stop?.("drained");
  }

  hold(): void {
    this.#held ??= [];
  }

  async release(): Promise<void> {
    const held = this.#held ?? [];
    this.#held = null;
    for (const go of held) go();
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let round = 0; round < 8; round++) await settlePromises();
  }

  #start(): Actor<IngestMessage> {
    this.#incarnation += 1;
    const deps = { store: this.#store(this.#incarnation), metrics: this.metrics, syncHostCount: this.#hostCount };
    return ingestKind(deps).factory(this.#context(this.#incarnation));
  }

  #context(incarnation: number): ActorContext<IngestMessage> {
    const toSelf = (message: IngestMessage): void => {
      if (incarnation === this.#incarnation) this.#actor.receive(message);
    };
    return {
      self: INGEST,
      log: this.logger,
      clock: this.time,
      rng: { next: () => 0 },
      tell: () => {},
      ask: <T>(to: Address, message: { type: string }) => this.#deliver(to, message) as Promise<T>,
      after: (delayMs, message) => this.time.after(delayMs, () => toSelf(message)),
      pipe: (promise, onValue, onError) => {
        promise.then(
          (value) => toSelf(onValue(value)),
          (error: unknown) =>
            toSelf(onError(error instanceof SyncError ? error : new SyncError("internal", "piped", { cause: error }))),
        );
      },
      stopSelf: () => {},
    };
  }

  #deliver(to: Address, message: { type: string }): Promise<{ pos: number }> {
    const { packed } = message as unknown as { packed: Parameters<typeof unpackUpdates>[0] };
    const updates = unpackUpdates(packed);
    if (updates.fromPos === updates.toPos && updates.rooms.length + updates.users.length === 0) {
      this.announced.push(updates.toPos);
      return Promise.resolve({ pos: updates.toPos });
    }
    const { promise, resolve, reject } = Promise.withResolvers<{ pos: number }>();
    this.delivered.push({
      host: Number(to.key),
      updates,
      apply: () => {
        resolve({ pos: updates.toPos });
        return this.settle();
      },
      fail: (code) => {
        reject(new SyncError(code, "test"));
        return this.settle();
      },
    });
    if (this.isPrompt) resolve({ pos: updates.toPos });
    return promise;
  }

  #store(incarnation: number): IngestStore {
    const { ingest } = this.stores;
    const spied =
      <A extends unknown[], R>(name: string, run: (...args: A) => Promise<R>) =>
      (...args: A): Promise<R> => {
        this.queries.push(name);
        return run(...args);
      };
    return {
      loadHead: () => {
        this.#writer = incarnation;
        return ingest.loadHead();
      },
      loadRooms: spied("loadRooms", (ids) => ingest.loadRooms(ids)),
      knownEvents: spied("knownEvents", (ids) => ingest.knownEvents(ids)),
      loadState: spied("loadState", (keys) => ingest.loadState(keys)),
      loadStickyIds: spied("loadStickyIds", (nids, afterMs) => ingest.loadStickyIds(nids, afterMs)),
      loadEvents: spied("loadEvents", (ids) => ingest.loadEvents(ids)),
      loadRoomState: spied("loadRoomState", (nid) => ingest.loadRoomState(nid)),
      loadHeroEvents: spied("loadHeroEvents", (nids, limit) => ingest.loadHeroEvents(nids, limit)),
      loadUserRooms: spied("loadUserRooms", (keys) => ingest.loadUserRooms(keys)),
      knownUsers: spied("knownUsers", (ids) => ingest.knownUsers(ids)),
      loadSinces: spied("loadSinces", (devices) => ingest.loadSinces(devices)),
      loadTimelines: spied("loadTimelines", (queries) => ingest.loadTimelines(queries)),
      loadStays: spied("loadStays", (queries) => ingest.loadStays(queries)),
      commit: (tx) => this.#commit(tx, incarnation),
    };
  }

  async #commit(tx: IngestTransaction, incarnation: number): Promise<void> {
    const held = this.#held;
    if (held !== null) await new Promise<void>((go) => held.push(go));
    const fate = this.fates.shift() ?? "ok";
    if (fate === "down") throw new SyncError("storage_unavailable", "test");
    if (fate === "refuse" || this.isPoison(tx)) throw new SyncError("internal", "test");
    // As the real one: whoever read the head last is the writer.
    if (incarnation !== this.#writer) throw new SyncError("internal", "test");
    // Batches overtake each other here: what is told anew may leave positions it was just given.
    checkTransaction(this.head, tx, (id) => this.stores.db.eventsById.has(id), true);
    await this.stores.ingest.commit(tx);
    this.commits.push(tx);
    if (fate === "lose-answer") throw new SyncError("storage_unavailable", "test");
  }
}
