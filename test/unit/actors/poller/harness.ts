import { SyncError } from "#src/errors.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { unpackPollBatch } from "#src/protocol/packed.ts";
import type { Packed } from "#src/protocol/packed.ts";
import { pollerAddress } from "#actors/addresses.ts";
import { Companions } from "#actors/poller/companions.ts";
import { FirstSyncSlots } from "#actors/poller/first-sync-slots.ts";
import type { PollerCommand, PollerMessage } from "#actors/poller/messages.ts";
import type { PollerConfig } from "#actors/poller/poller-deps.ts";
import { createPollerKind } from "#actors/poller/poller-kind.ts";
import { PollerStats } from "#actors/poller/poller-stats.ts";
import type { Actor, ActorContext, Address, AnyMessage } from "#actors/runtime/actor.ts";
import { FakeHomeserverPort } from "#test/support/fake-homeserver-port.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";
import { RecordingMetrics, recordingLogger } from "#test/support/recording.ts";
import { VirtualTime, settlePromises } from "#test/support/virtual-time.ts";

export const USER = "@alice:hs" as UserId;
export const DEVICE = "DEVICE" as DeviceId;

/** How a waiter was answered. */
export type Answer = "waiting" | "ok" | SyncError["code"];

interface StoreAsk {
  batch: PollBatch;
  resolve: () => void;
  reject: (code: SyncError["code"]) => void;
}

/** A poller in a context made by hand: one turn at a time, virtual time, everything around it open to the test. */
export class PollerHarness {
  readonly time = new VirtualTime();
  readonly stores = makeFakeStores(this.time);
  readonly homeserver = new FakeHomeserverPort();
  readonly metrics = new RecordingMetrics();
  readonly stats = new PollerStats(this.metrics);
  readonly log = recordingLogger();
  readonly told: { to: Address; message: AnyMessage }[] = [];
  readonly stored: PollBatch[] = [];
  readonly openAsks: StoreAsk[] = [];
  /** When false, batches wait in `openAsks` for the test. */
  isIngestQuick = true;
  /** How often ingest was asked whether it is through with earlier lives, and its answer. */
  settles = 0;
  settled: Promise<unknown> = Promise.resolve({ ok: true });
  /** Polls that were asked of other devices. */
  readonly throughs: { to: string; stored: () => void; failed: () => void }[] = [];
  slots = new FirstSyncSlots(2);
  readonly companions = new Companions();
  config: PollerConfig = { idleMs: null, firstPollDeadlineMs: 1_800_000, pollDeadlineMs: 300_000 };
  hasStopped = false;
  #actor: Actor<PollerMessage> | null = null;
  #queue: PollerMessage[] = [];
  #isRunning = false;
  #life = 0;

  /** The device is known with a token; `since` null = it has not synced yet. */
  async login(since: string | null = null, token = "token1"): Promise<void> {
    await this.stores.devices.saveToken({
      hash: `hash-of-${token}`,
      accessToken: token,
      userId: USER,
      deviceId: DEVICE,
      nowMs: this.time.now(),
    });
    this.storedSince = since;
  }

  /** As an import leaves it: a token and a `since`, and no rooms. */
  async imported(since: string): Promise<void> {
    await this.login(since);
    this.stores.db.devices.set(JSON.stringify([USER, DEVICE]), {
      userId: USER,
      deviceId: DEVICE,
      since,
      roomsAreDue: true,
    });
  }

  set storedSince(since: string | null) {
    this.stores.db.devices.set(JSON.stringify([USER, DEVICE]), { userId: USER, deviceId: DEVICE, since });
  }

  /** Starts a new life of the actor, as the runtime does on its next message or after a crash. */
  async start(): Promise<void> {
    this.#activate();
    await settlePromises();
  }

  async tell(message: Exclude<PollerCommand, { type: "ensure-polling" | "poll-through" }>): Promise<void> {
    this.#deliver(message);
    await settlePromises();
  }

  /** Asks for polling; `answer()` tells how that went so far. */
  async ensure(): Promise<() => Answer> {
    let answer: Answer = "waiting";
    const reply = {
      resolve: () => void (answer = "ok"),
      reject: (error: SyncError) => void (answer = error.code),
    };
    this.#deliver({ type: "ensure-polling", reply });
    await settlePromises();
    return () => answer;
  }

  /** Asks for a poll begun from here on; `answer()` tells how that went so far. */
  async through(how: { isPatient?: true } = {}): Promise<() => Answer> {
    let answer: Answer = "waiting";
    const reply = {
      resolve: () => void (answer = "ok"),
      reject: (error: SyncError) => void (answer = error.code),
    };
    this.#deliver({ type: "poll-through", reply, ...how });
    await settlePromises();
    return () => answer;
  }

  async crash(): Promise<void> {
    this.#end("crashed");
    await this.start();
  }

  async drain(): Promise<() => boolean> {
    let isDrained = false;
    void this.#actor?.drain?.().then(() => (isDrained = true));
    await settlePromises();
    return () => isDrained;
  }

  #activate(): void {
    this.#life++;
    this.hasStopped = false;
    this.#actor = createPollerKind({
      homeserver: this.homeserver,
      devices: this.stores.devices,
      slots: this.slots,
      companions: this.companions,
      stats: this.stats,
      config: this.config,
    }).factory(this.#context(this.#life));
  }

  #deliver(message: PollerMessage): void {
    if (this.#actor === null) this.#activate();
    this.#queue.push(message);
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#actor?.receive(next);
    this.#isRunning = false;
    if (this.hasStopped) this.#end("passivated");
  }

  #end(reason: "passivated" | "crashed"): void {
    this.#actor?.stop?.(reason);
    this.#actor = null;
    this.#queue = [];
    this.#life++;
  }

  #context(life: number): ActorContext<PollerMessage> {
    const toSelf = (message: PollerMessage): void => {
      if (life === this.#life) this.#deliver(message);
    };
    return {
      self: pollerAddress(USER, DEVICE),
      log: this.log,
      clock: this.time,
      rng: { next: () => 0.5 },
      tell: (to, message) => {
        if (to.kind === "poller") toSelf(message as PollerMessage);
        else this.told.push({ to, message });
      },
      ask: <T>(to: Address, message: AnyMessage) => this.#ask(to, message) as Promise<T>,
      after: (delayMs, message) => this.time.after(delayMs, () => toSelf(message)),
      pipe: (promise, onValue, onError) =>
        void promise.then(
          (value) => toSelf(onValue(value)),
          (error: unknown) => toSelf(onError(error as SyncError)),
        ),
      stopSelf: () => {
        this.hasStopped = true;
      },
    };
  }

  #ask(to: Address, message: AnyMessage): Promise<unknown> {
    if (to.kind === "ingest" && message.type === "settle-poller") {
      this.settles++;
      return this.settled;
    }
    if (to.kind === "poller" && message.type === "poll-through") {
      const asked = Promise.withResolvers<unknown>();
      this.throughs.push({
        to: to.key,
        stored: () => asked.resolve({ ok: true }),
        failed: () => asked.reject(new SyncError("homeserver_unreachable", "made by the test")),
      });
      return asked.promise;
    }
    if (to.kind !== "ingest" || message.type !== "store-batch") throw new Error(`unexpected ask ${message.type}`);
    const packed = structuredClone(message["packed"]) as Packed;
    const batch = unpackPollBatch(packed);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const ask: StoreAsk = {
      batch,
      resolve: () => {
        this.stored.push(batch);
        if (batch.since !== null) this.storedSince = batch.since;
        resolve({ pos: this.stored.length });
      },
      reject: (code) => reject(new SyncError(code, "made by the test")),
    };
    if (this.isIngestQuick) ask.resolve();
    else this.openAsks.push(ask);
    return promise;
  }
}

/** A poller of a device that is logged in; `since` null = before its first sync. */
export async function running(since: string | null = "s1"): Promise<PollerHarness> {
  const harness = new PollerHarness();
  await harness.login(since);
  await harness.start();
  return harness;
}

/** A sync body with so many rooms of one event each. */
export const roomBody = (nextBatch: string, rooms: number, fill = 10) => ({
  next_batch: nextBatch,
  rooms: {
    join: Object.fromEntries(
      Array.from({ length: rooms }, (_, i) => [
        `!r${i}:hs`,
        {
          timeline: { events: [{ event_id: `$${i}`, type: "m.x", sender: "@a:hs", content: { x: "x".repeat(fill) } }] },
        },
      ]),
    ),
  },
});
