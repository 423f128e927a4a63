import { SyncError } from "#src/errors.ts";
import type { Clock, Logger, Timers } from "#src/ports/basics.ts";
import type { HostComposition, HostServices } from "#src/hosts/compositions.ts";
import { composePollers } from "#src/hosts/poller-actors.ts";
import { composeSyncHost } from "#src/hosts/sync-actors.ts";
import { createHomeserver } from "#src/homeserver/client.ts";
import { seededRng } from "#src/demo/seeded-rng.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { createGateway, type Gateway } from "#actors/gateway/gateway.ts";
import { REPAIR } from "#actors/addresses.ts";
import { repairKind } from "#actors/repair/repair-actor.ts";
import { ingestKind } from "#actors/ingest/ingest-actor.ts";
import type { HostInit } from "#actors/runtime/host-api.ts";
import type { Topology } from "#actors/runtime/placement.ts";
import { FaultyClient, WINDOW } from "./faulty-clients.ts";
import type { RigDatabase } from "./faulty-database.ts";
import { SyncFaults } from "./faulty-homeserver.ts";
import { FaultyMetrics } from "./faulty-metrics.ts";
import { HostStores, StoreFaults, type Stores } from "./faulty-stores.ts";
import { makeFakeStores } from "./fake-stores.ts";
import { HastenedTime } from "./hastened-time.ts";
import { createTestHomeserver, type Session, type TestHomeserver } from "./homeserver.ts";
import { lastingPort } from "./ports.ts";
import { type InProcess, startInProcess } from "./in-process.ts";
import { type LoggedLine, recordingLogger } from "./recording.ts";

/** The time of actors and of the homeserver runs this much faster. */
const HASTE = 20;
/** Main's by less: real work has to be done within its deadlines. */
const MAIN_HASTE = 4;
const CACHE_BYTES = 4 * 1024 * 1024;
/** Of upstream calls, as actors feel it. */
const POLL_DEADLINE_MS = 60_000;
/** How long a client may lag behind before a test fails, in real time. */
const CATCH_UP_MS = 40_000;
const LOOK_AGAIN_MS = 5;

export interface NodeRigOptions {
  seed?: number;
  topology?: Partial<Topology>;
  /** Default: stores in memory. */
  database?: RigDatabase;
  haste?: number;
  pollDeadlineMs?: number;
}

/** Traffic so far, as the test made it. */
interface Sent {
  /** Text messages in all rooms. */
  events: string[];
  /** To-device messages, by receiver. */
  toDevice: Map<string, number>;
  /** Numbers in global account data, by owner. */
  accountData: Map<string, number>;
}

/**
 * A whole node in one thread: pollers on a homeserver over HTTP, ingest, sync hosts and the gateway, with clients that
 * never give up. Everything can be made to fail.
 */
export class NodeRig {
  readonly homeserver: TestHomeserver;
  readonly syncFaults: SyncFaults;
  readonly storeFaults: StoreFaults;
  readonly metrics = new FaultyMetrics();
  readonly lines: LoggedLine[] = [];
  readonly clients: FaultyClient[] = [];
  readonly roomIds: string[] = [];
  readonly sent: Sent = { events: [], toDevice: new Map(), accountData: new Map() };
  readonly timers: Timers;
  readonly #options: NodeRigOptions;
  readonly #database: RigDatabase;
  readonly #clock: Clock;
  readonly #sessions: Session[] = [];
  readonly #watchers = new Set<() => void>();
  #nodes: InProcess | null = null;
  #gateway: Gateway | null = null;
  #stores: Stores | null = null;
  #closeMain: () => Promise<void> = async () => {};
  #homeserverMs = 1_800_000_000_000;

  constructor(options: NodeRigOptions) {
    const { haste = HASTE, seed } = options;
    this.#options = options;
    this.#database = options.database ?? databaseInMemory();
    const time = new HastenedTime(haste);
    [this.#clock, this.timers] = [time, time];
    this.storeFaults = new StoreFaults(seed === undefined ? null : seededRng(seed));
    this.homeserver = createTestHomeserver({
      // No two events at the same time, so that lists have one true order.
      clock: { now: () => ++this.#homeserverMs, mono: () => this.#clock.mono() },
      timers: this.timers,
      port: lastingPort(),
    });
    this.syncFaults = new SyncFaults(this.homeserver);
  }

  static async start(options: NodeRigOptions = {}): Promise<NodeRig> {
    const rig = new NodeRig(options);
    await rig.boot();
    return rig;
  }

  get isUp(): boolean {
    return this.#nodes !== null;
  }

  get nodes(): InProcess {
    if (this.#nodes === null) throw new Error("the node is not running");
    return this.#nodes;
  }

  /** How HTTP reaches the node. */
  get gateway(): Gateway {
    return this.#front();
  }

  /** The stores of the node as they are, nothing made to fail. */
  get stores(): Stores {
    if (this.#stores === null) throw new Error("the node is not running");
    return this.#stores;
  }

  /** Starts the node, on whatever its database holds. */
  async boot(): Promise<void> {
    const logger = recordingLogger(this.lines);
    const mainTime = new HastenedTime(MAIN_HASTE);
    const { composeStore } = this.#database;
    this.#nodes = await startInProcess({
      clock: this.#clock,
      timers: this.timers,
      mainTime: { clock: mainTime, timers: mainTime },
      logger,
      metrics: this.metrics,
      topology: this.#options.topology ?? {},
      // As on a small machine; the other rigs join their hosts as Workers of their own are.
      sharesWorker: true,
      compositions: {
        ...(composeStore === undefined ? {} : { store: composeStore }),
        ingest: (init, services) =>
          this.#host(async (own) => ({
            kinds: {
              ingest: ingestKind({
                store: own.ingest,
                metrics: services.metrics,
                syncHostCount: init.topology.sync,
              }),
              repair: repairKind({
                homeserver: this.#upstream(),
                store: own.repair,
                devices: own.devices,
                reader: own.rooms,
                metrics: services.metrics,
              }),
            },
            onBegin: () => services.actors.tell(REPAIR, { type: "go-on" }),
          })),
        poller: (init, services) => this.#host(async (own) => this.#composePollers(own, init, services)),
        sync: (_init, services) =>
          this.#host(async (own) =>
            composeSyncHost({
              reader: own.rooms,
              connections: own.connections,
              ...services,
              mac,
              epoch: this.#database.epoch,
              cacheBytes: CACHE_BYTES,
              rateLimit: null,
              firstSyncDeadlineMs: POLL_DEADLINE_MS,
            }),
          ),
      },
    });
    await this.#openGateway(logger);
  }

  async #openGateway(log: Logger): Promise<void> {
    const { main } = this.nodes;
    const { stores, close } = await this.#database.open();
    this.#closeMain = close;
    this.#stores = stores;
    const gateway = createGateway({
      devices: new HostStores(stores, this.storeFaults).devices,
      homeserver: this.#upstream(),
      hashToken,
      isAllowed: () => true,
      clock: this.#clock,
      timers: this.timers,
      log,
      metrics: this.metrics,
      actors: main.runtime,
      whenHostUp: (to, withinMs) => main.whenHostUp(to, withinMs),
      initialTimeoutMs: POLL_DEADLINE_MS,
    });
    main.addKinds({ gateway: gateway.kind });
    this.#gateway = gateway;
  }

  /** Users, each with a client that asks, and rooms that all of them are in. */
  async populate(names: readonly string[], roomCount: number): Promise<void> {
    for (const name of names) this.#sessions.push(this.homeserver.user(name, { deviceId: `DEV-${name}` }));
    const [creator, ...others] = this.#sessions;
    if (creator === undefined) throw new Error("a node needs a user");
    for (let room = 0; room < roomCount; room += 1) {
      const roomId = this.homeserver.createRoom(creator, { name: `room ${room}`, preset: "public_chat" });
      for (const other of others) this.homeserver.join(other, roomId);
      this.roomIds.push(roomId);
    }
    for (const session of this.#sessions) this.addClient(session);
    await this.caughtUp();
  }

  addClient(session: Session): FaultyClient {
    const client = new FaultyClient(session, () => this.#front(), this.timers);
    client.onProgress = () => this.#look();
    this.clients.push(client);
    client.start();
    return client;
  }

  /** One message of somebody in some room; every other one with a to-device message, some with account data. */
  say(at: number): void {
    const sender = pick(this.#sessions, at * 7 + 3);
    const roomId = pick(this.roomIds, at * 5 + Math.floor(at / 3));
    this.sent.events.push(this.homeserver.send(sender, roomId, `message ${at}`));
    const receiver = pick(this.#sessions, at);
    const { userId } = receiver.account;
    if (at % 2 === 0) {
      const n = (this.sent.toDevice.get(userId) ?? 0) + 1;
      this.sent.toDevice.set(userId, n);
      this.homeserver.sendToDevice(sender, receiver, "m.test", { n }, receiver.device.deviceId);
    }
    if (at % 5 === 0) {
      this.sent.accountData.set(userId, at);
      this.homeserver.setAccountData(receiver, null, "org.example.at", { at });
    }
  }

  /** Lets everybody do something, without waiting for anything. */
  async breathe(turns = 12): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  /** So many messages, with a breath after each. */
  async talk(count: number): Promise<void> {
    const from = this.sent.events.length;
    for (let at = from; at < from + count; at += 1) {
      this.say(at);
      await this.breathe();
    }
  }

  /** Resolves when every client has all there is; fails with what is missing. */
  async caughtUp(withinMs = CATCH_UP_MS): Promise<void> {
    await this.until(
      () => this.missing().length === 0,
      withinMs,
      () => this.missing().join("; "),
    );
  }

  /** Resolves when `check` holds; looks again whenever a client was answered, and every now and then. */
  async until(check: () => boolean, withinMs = CATCH_UP_MS, what: () => string = String): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (check()) resolve();
    };
    const again = (): void => {
      look();
      cancelLook = systemTimers.after(LOOK_AGAIN_MS, again);
    };
    let cancelLook = systemTimers.after(LOOK_AGAIN_MS, again);
    const cancel = systemTimers.after(withinMs, () => reject(new Error(`waited ${withinMs} ms: ${what()}`)));
    this.#watchers.add(look);
    look();
    try {
      await promise;
    } finally {
      this.#watchers.delete(look);
      cancelLook();
      cancel();
    }
  }

  /** What clients lack of what was sent. */
  missing(): string[] {
    const missing: string[] = [];
    for (const client of this.clients) {
      const { userId } = client.session.account;
      for (const roomId of this.roomIds) {
        const newest = this.timeline(roomId).at(-1);
        if (client.naive.rooms.get(roomId)?.timeline.at(-1)?.event_id !== newest)
          missing.push(`${userId} lacks ${newest} of ${roomId}`);
      }
      const sent = this.sent.toDevice.get(userId) ?? 0;
      if (client.toDevice.length < sent)
        missing.push(`${userId} has ${client.toDevice.length} of ${sent} to-device messages`);
      const at = this.sent.accountData.get(userId);
      if (at !== undefined && (client.accountData.get("org.example.at") as { at?: number } | undefined)?.at !== at)
        missing.push(`${userId} lacks account data ${at}`);
    }
    return missing;
  }

  /** Everything that is not as it should be, once all are caught up. */
  faults(): string[] {
    const faults = this.nodes.escalations.map((reason) => `escalated: ${reason}`);
    const order = this.roomIds.toSorted((a, b) => this.#lastTs(b) - this.#lastTs(a));
    for (const client of this.clients) {
      const { userId } = client.session.account;
      const tell = (what: string): void => void faults.push(`${userId}: ${what}`);
      for (const problem of client.problems) tell(problem);
      const wanted = Array.from({ length: this.sent.toDevice.get(userId) ?? 0 }, (_, index) => index + 1);
      if (JSON.stringify(client.toDevice) !== JSON.stringify(wanted)) tell(`to-device ${client.toDevice.join(",")}`);
      const shown = client.naive
        .window("all", [WINDOW])
        .filter((roomId) => roomId === undefined || this.roomIds.includes(roomId));
      if (JSON.stringify(shown) !== JSON.stringify(order)) tell(`list ${shown.join(",")}, not ${order.join(",")}`);
      for (const roomId of this.roomIds) {
        const known = client.naive.rooms.get(roomId)?.timeline.map((event) => event.event_id ?? "") ?? [];
        const all = this.timeline(roomId);
        if (JSON.stringify(known) !== JSON.stringify(all.slice(-known.length)))
          tell(`${roomId} is ${known.join(",")}, not ${all.join(",")}`);
      }
      const lost = this.sent.events.filter((eventId) => !client.everSeen.has(eventId));
      if (lost.length > 0) tell(`never saw ${lost.join(",")}`);
    }
    return faults;
  }

  /** Crashed turns so far, of actors of this kind. */
  crashesOf(kind: string): number {
    return this.metrics.of("actor_restarts_total", { kind });
  }

  /** So much time as actors feel it. */
  pass(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.timers.after(ms, resolve);
    });
  }

  /** Ids of a room's events, oldest first, as the homeserver has them. */
  timeline(roomId: string): string[] {
    const { room } = this.homeserver.room(roomId);
    return Array.from({ length: room.length }, (_, index) => room.at(index)?.event.event_id ?? "");
  }

  /** Ends the node in order; clients and homeserver go on. */
  async shutDown(): Promise<void> {
    await this.#nodes?.stop();
    this.#nodes = null;
    this.#gateway = null;
    await this.#closeMain();
  }

  async stop(): Promise<void> {
    this.storeFaults.isDown = false;
    this.syncFaults.always = null;
    this.syncFaults.release();
    await Promise.all(this.clients.map((client) => client.stop()));
    await this.shutDown();
    await this.#database.close();
    await this.homeserver.stop();
  }

  async #host<T extends HostComposition>(
    compose: (stores: Stores) => Promise<T>,
  ): Promise<T & { close: () => Promise<void> }> {
    const { stores, close } = await this.#database.open();
    const own = new HostStores(stores, this.storeFaults);
    const composed = await compose(own);
    return {
      ...composed,
      close: async () => {
        own.close();
        await composed.close?.();
        await close();
      },
    };
  }

  #composePollers(own: Stores, init: HostInit, services: HostServices): ReturnType<typeof composePollers> {
    const homeserver = {
      url: this.homeserver.url,
      socketPath: null,
      timeoutMs: this.#options.pollDeadlineMs ?? POLL_DEADLINE_MS,
      initialTimeoutMs: POLL_DEADLINE_MS,
    };
    return composePollers({ devices: own.devices, homeserver, pollerIdleMs: null, firstSyncs: 4 }, init, services);
  }

  #upstream(): ReturnType<typeof createHomeserver> {
    return createHomeserver({
      address: { url: this.homeserver.url, socketPath: null },
      version: "test",
      clock: this.#clock,
      timers: this.timers,
      deadlineMs: POLL_DEADLINE_MS,
    });
  }

  /** Between two lives of the node nobody listens. */
  #front(): Gateway {
    if (this.#gateway === null) throw new SyncError("actor_stopped", "the node is not running");
    return this.#gateway;
  }

  #lastTs(roomId: string): number {
    const { room } = this.homeserver.room(roomId);
    return room.at(room.length - 1)?.event.origin_server_ts ?? 0;
  }

  #look(): void {
    for (const look of this.#watchers) look();
  }
}

const hashToken = (accessToken: string): string => new Bun.CryptoHasher("sha256").update(accessToken).digest("hex");

const mac = (text: string): string =>
  new Bun.CryptoHasher("sha256", "a key for tests").update(text).digest("base64url").slice(0, 22);

function pick<T>(items: readonly T[], at: number): T {
  const item = items[at % items.length];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
}

/** Stores in memory, which outlive every host. */
function databaseInMemory(): RigDatabase {
  const stores = makeFakeStores(systemClock);
  const close = async (): Promise<void> => {};
  return { open: async () => ({ stores, close }), close, epoch: stores.db.epoch };
}
