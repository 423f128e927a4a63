import { SyncError } from "#src/errors.ts";
import { seededRng } from "#src/demo/seeded-rng.ts";
import { composeSyncHost } from "#src/hosts/sync-actors.ts";
import type { DialectName } from "#src/protocol/dialects/dialect.ts";
import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import { connectionAddress, pollerAddress, REPAIR } from "#actors/addresses.ts";
import type { SyncAnswer } from "#actors/connection/messages.ts";
import { ingestKind } from "#actors/ingest/ingest-actor.ts";
import { Companions } from "#actors/poller/companions.ts";
import { repairKind } from "#actors/repair/repair-actor.ts";
import { FirstSyncSlots } from "#actors/poller/first-sync-slots.ts";
import { createPollerKind } from "#actors/poller/poller-kind.ts";
import { PollerStats } from "#actors/poller/poller-stats.ts";
import { type FakeStores, makeFakeStores } from "#test/support/fake-stores.ts";
import { type InProcess, noMetrics, startInProcess } from "#test/support/in-process.ts";
import { type LoggedLine, recordingLogger } from "#test/support/recording.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";
import type { Upstream } from "./upstream.ts";
import { watchedIngest } from "./watched-ingest.ts";

const CACHE_BYTES = 1024 * 1024;
const DEADLINE_MS = 60_000;

/** Whose connection a request is for. */
export interface Caller {
  userId: string;
  deviceId: string;
  connId: string;
  /** MSC3575 unless it says otherwise. */
  dialect?: DialectName;
}

/** The whole node but HTTP, in one thread, over stores in memory, in time that moves when it is told to. */
export class ModelNode {
  readonly time = new VirtualTime();
  readonly lines: LoggedLine[] = [];
  readonly #nodes: InProcess;
  readonly #stores: FakeStores;
  readonly #devices: string[] = [];
  #requests = 0;

  constructor(nodes: InProcess, stores: FakeStores, time: VirtualTime, lines: LoggedLine[]) {
    this.#nodes = nodes;
    this.#stores = stores;
    this.time = time;
    this.lines = lines;
  }

  /** `heals`: what looks wrong is compared with the homeserver. */
  static async start(
    upstream: Upstream,
    devices: readonly string[],
    { seed, heals }: { seed: number; heals: boolean },
  ): Promise<ModelNode> {
    const time = new VirtualTime();
    const stores = makeFakeStores(time);
    const lines: LoggedLine[] = [];
    for (const device of devices) await saveToken(stores, device, upstream.tokenOf(device), time.now());
    const nodes = await startInProcess({
      clock: time,
      timers: time,
      rng: seededRng(seed),
      logger: recordingLogger(lines),
      compositions: {
        ingest: (_init, { metrics, actors }) => ({
          kinds: {
            ingest: watchedIngest(ingestKind({ store: stores.ingest, metrics, syncHostCount: 1 }), (device) =>
              upstream.stored(device),
            ),
            ...(heals
              ? {
                  repair: repairKind({
                    homeserver: upstream,
                    store: stores.repair,
                    devices: stores.devices,
                    reader: stores.rooms,
                    metrics,
                  }),
                }
              : {}),
          },
          onBegin: () => {
            if (heals) actors.tell(REPAIR, { type: "go-on" });
          },
        }),
        poller: () => ({
          kinds: {
            poller: createPollerKind({
              homeserver: upstream,
              devices: stores.devices,
              companions: new Companions(),
              slots: new FirstSyncSlots(8),
              stats: new PollerStats(noMetrics),
              config: { idleMs: null, firstPollDeadlineMs: DEADLINE_MS, pollDeadlineMs: DEADLINE_MS },
            }),
          },
        }),
        sync: (_init, { clock, timers, logger, actors }) =>
          composeSyncHost({
            reader: stores.rooms,
            connections: stores.connections,
            metrics: noMetrics,
            clock,
            timers,
            logger,
            actors,
            mac,
            epoch: stores.db.epoch,
            cacheBytes: CACHE_BYTES,
            rateLimit: null,
            firstSyncDeadlineMs: DEADLINE_MS,
          }),
      },
    });
    return new ModelNode(nodes, stores, time, lines);
  }

  /** The device has a new token. */
  async login(device: string, token: string): Promise<void> {
    await saveToken(this.#stores, device, token, this.time.now());
    const [userId = "", deviceId = ""] = device.split("/");
    this.#nodes.tell(pollerAddress(userId as UserId, deviceId as DeviceId), { type: "token-changed" });
    await this.#nodes.settled();
  }

  /** Has everything compared with the homeserver; tells whether that is done yet. */
  async compareAll(): Promise<() => boolean> {
    const id = await this.#stores.repair.ask({ kind: "all", target: "" }, this.time.now());
    return () => (this.#stores.db.repairs.get(id)?.endedMs ?? null) !== null;
  }

  /** Starts a device's poller. */
  poll(device: string): void {
    if (!this.#devices.includes(device)) this.#devices.push(device);
    const [userId = "", deviceId = ""] = device.split("/");
    this.#nodes.tell(pollerAddress(userId as UserId, deviceId as DeviceId), { type: "touch" });
  }

  settled(): Promise<void> {
    return this.#nodes.settled();
  }

  /** Lets so much time pass, with everything that follows from it. */
  async pass(ms: number): Promise<void> {
    await this.time.advance(ms);
    await this.#nodes.settled();
  }

  /** The host vanishes and comes back; pollers resume by themselves. */
  async crash(role: "sync" | "ingest" | "poller"): Promise<void> {
    await this.#nodes.restartHost(role);
    if (role === "poller") for (const device of this.#devices) this.poll(device);
    await this.#nodes.settled();
  }

  /** One request: its id to cancel it by, and its answer; null = it failed, as `code` says. */
  request(
    caller: Caller,
    pos: string | null,
    body: Record<string, unknown>,
    timeoutMs: number,
  ): { requestId: number; answer: Promise<RequestOutcome> } {
    this.#requests += 1;
    const requestId = this.#requests;
    const { userId, deviceId, connId, dialect } = addressed(caller);
    const asked = this.#nodes.ask<SyncAnswer>(connectionAddress(userId, deviceId, connId), {
      type: "sync-request",
      userId,
      deviceId,
      connId,
      dialect,
      pos,
      timeoutMs,
      request: DIALECTS[dialect].parse(body, {}).request,
      requestId,
    });
    const answer = asked.then(
      (given): RequestOutcome => ({ ok: true, text: decoder.decode(given.body) }),
      (error: unknown): RequestOutcome => {
        if (error instanceof SyncError) return { ok: false, code: error.code };
        throw error;
      },
    );
    return { requestId, answer };
  }

  cancel(caller: Caller, requestId: number): void {
    const { userId, deviceId, connId } = addressed(caller);
    const to = connectionAddress(userId, deviceId, connId);
    this.#nodes.tell(to, { type: "cancel-request", requestId });
  }

  /** Turns that failed and hosts that were given up: nothing of a history may cause any. */
  get crashes(): string[] {
    return [
      ...this.#nodes.escalations,
      ...this.lines
        .filter(({ level, message }) => level === "error" || message.includes("quarantine"))
        .map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`),
    ];
  }

  stop(): Promise<void> {
    return this.#nodes.stop();
  }
}

const addressed = ({ userId, deviceId, connId, dialect = "msc3575" }: Caller) => ({
  userId: userId as UserId,
  deviceId: deviceId as DeviceId,
  connId: `${DIALECTS[dialect].connScope}${connId}` as ConnId,
  dialect,
});

const saveToken = (stores: FakeStores, device: string, token: string, nowMs: number): Promise<void> => {
  const [userId = "", deviceId = ""] = device.split("/");
  return stores.devices.saveToken({
    hash: token,
    accessToken: token,
    userId: userId as UserId,
    deviceId: deviceId as DeviceId,
    nowMs,
  });
};

/** How a request may fail that did nothing wrong: its host died under it, or its token while it waited. */
export const HARMLESS: ReadonlySet<string> = new Set(["actor_stopped", "ask_timeout", "soft_logout"]);

/** How a request ended. */
export type RequestOutcome = { ok: true; text: string } | { ok: false; code: string };

/** Rounds in which an answer may come, and how long each takes: at last a poll that failed is made once more. */
export const ANSWER_ROUNDS: readonly number[] = [200, 200, 200, 200, 200, 200, 200, 4000, 4000, 8000, 200];

const decoder = new TextDecoder();

const mac = (text: string): string =>
  new Bun.CryptoHasher("sha256", "a key for tests").update(text).digest("base64url").slice(0, 22);
