import { SyncError } from "#src/errors.ts";
import { readSyncRequest } from "#src/protocol/dialects/msc3575-request.ts";
import type { EventFields, Membership } from "#src/protocol/events.ts";
import type { ConnId, DeviceId, EventId, UserId } from "#src/protocol/ids.ts";
import { packPollBatch } from "#src/protocol/packed.ts";
import { type PollBatch, type PolledJoin, type PolledRoom, newBatch } from "#src/protocol/poll-batch.ts";
import { composeSyncHost } from "#src/hosts/sync-actors.ts";
import { connectionAddress, INGEST } from "#actors/addresses.ts";
import type { SyncAnswer } from "#actors/connection/messages.ts";
import { ingestKind } from "#actors/ingest/ingest-actor.ts";
import type { PollerMessage } from "#actors/poller/messages.ts";
import type { ActorKind } from "#actors/runtime/actor.ts";
import { type FakeStores, makeFakeStores } from "./fake-stores.ts";
import { HastenedTime } from "./hastened-time.ts";
import { type InProcess, noMetrics, startInProcess } from "./in-process.ts";
import type { WireResponse } from "./naive-client.ts";
import { joinSection } from "./polls.ts";

const encoder = new TextEncoder();
const CACHE_BYTES = 1024 * 1024;
/** The actors' time runs this much faster, so that an idle request's shortest wait costs a test little. */
const HASTE = 50;
/** Twenty seconds of the test's own. */
const ANSWER_DEADLINE_MS = 20_000 * HASTE;

/** A response with what the rig's tests look at beside lists and rooms. */
export interface RigResponse extends WireResponse {
  txn_id?: string;
  extensions: Record<string, Record<string, unknown>>;
}

/** Answers every poller's askers at once: the rig plays the polls. */
const readyPoller: ActorKind<PollerMessage> = {
  factory: () => ({
    receive: (message) => {
      if (message.type === "ensure-polling") message.reply.resolve({ ok: true });
    },
  }),
  mailboxLimit: "unbounded",
  onCrash: "stop",
};

/** Ingest, directory, users and connections as they are, over stores in memory; polls and requests are played by hand. */
export class SyncRig {
  readonly stores: FakeStores;
  readonly nodes: InProcess;
  #requests = 0;
  #events = 0;

  constructor(stores: FakeStores, nodes: InProcess) {
    this.stores = stores;
    this.nodes = nodes;
  }

  static async start(stores: FakeStores = makeFakeStores(), haste = HASTE): Promise<SyncRig> {
    const mac = (text: string): string =>
      new Bun.CryptoHasher("sha256", "a key for tests").update(text).digest("base64url").slice(0, 22);
    const time = new HastenedTime(haste);
    const nodes = await startInProcess({
      clock: time,
      timers: time,
      compositions: {
        ingest: (_init, { metrics }) => ({
          kinds: { ingest: ingestKind({ store: stores.ingest, metrics, syncHostCount: 1 }) },
        }),
        poller: () => ({ kinds: { poller: readyPoller } }),
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
            epoch: "e",
            cacheBytes: CACHE_BYTES,
            rateLimit: null,
            firstSyncDeadlineMs: 10_000,
          }),
      },
    });
    return new SyncRig(stores, nodes);
  }

  /** Makes a user known, as its first token would. */
  async addUser(localpart: string): Promise<UserId> {
    const userId = `@${localpart}:hs` as UserId;
    await this.stores.devices.saveToken({
      hash: localpart,
      accessToken: localpart,
      userId,
      deviceId: DEVICE,
      nowMs: 0,
    });
    return userId;
  }

  /** An event with an id of its own. */
  event(type: string, sender: string, content: Record<string, unknown>, options: EventOptions = {}): EventFields {
    this.#events += 1;
    const id = options.id ?? `$e${this.#events}`;
    const ts = options.ts ?? this.#events * 1000;
    const json = {
      event_id: id,
      type,
      sender,
      origin_server_ts: ts,
      content,
      ...(options.stateKey === undefined ? {} : { state_key: options.stateKey }),
    };
    return {
      id: id as EventId,
      type,
      stateKey: options.stateKey ?? null,
      sender,
      ts,
      membership: type === "m.room.member" ? (content["membership"] as Membership) : null,
      prevMembership: null,
      redacts: null,
      replacesState: null,
      txnId: null,
      json: encoder.encode(JSON.stringify(json)),
    };
  }

  member(userId: string, membership: Membership, sender = userId, ts?: number): EventFields {
    return this.event(
      "m.room.member",
      sender,
      { membership, displayname: userId.slice(1, 2) },
      { stateKey: userId, ...(ts === undefined ? {} : { ts }) },
    );
  }

  /** State of a room in which all of these are. */
  roomState(creator: string, members: readonly string[], name?: string): EventFields[] {
    const state = [this.event("m.room.create", creator, { room_version: "11" }, { stateKey: "" })];
    for (const userId of members) state.push(this.member(userId, "join"));
    if (name !== undefined) state.push(this.event("m.room.name", creator, { name }, { stateKey: "" }));
    return state;
  }

  join(roomId: string, parts: Partial<PolledJoin> = {}): PolledJoin {
    return joinSection(roomId, parts);
  }

  /** Plays one poll of a user; resolves when it is stored and applied. */
  async poll(userId: UserId, rooms: PolledRoom[], parts: Partial<PollBatch> = {}): Promise<void> {
    const since = `s${this.stores.db.head}`;
    const packed = packPollBatch(newBatch(userId, DEVICE, { since, rooms, ...parts }));
    await this.nodes.ask(INGEST, { type: "store-batch", packed }, { transfer: [packed.bytes.buffer] });
  }

  /** One request of a connection; `timeoutMs` 0 waits as short as it gets. */
  async sync(
    userId: UserId,
    body: Record<string, unknown>,
    options: { pos?: string | null; timeoutMs?: number; requestId?: number; deviceId?: DeviceId } = {},
  ): Promise<RigResponse> {
    const { body: bytes } = await this.answer(userId, body, options);
    return JSON.parse(new TextDecoder().decode(bytes)) as RigResponse;
  }

  /** The same, as it is on the wire. */
  answer(
    userId: UserId,
    body: Record<string, unknown>,
    options: { pos?: string | null; timeoutMs?: number; requestId?: number; deviceId?: DeviceId } = {},
  ): Promise<SyncAnswer> {
    this.#requests += 1;
    const request = readSyncRequest(body);
    const connId = (request.conn_id ?? "") as ConnId;
    const deviceId = options.deviceId ?? DEVICE;
    const message = {
      type: "sync-request",
      userId,
      deviceId,
      connId,
      dialect: "msc3575",
      pos: options.pos ?? null,
      timeoutMs: options.timeoutMs ?? 0,
      request,
      requestId: options.requestId ?? this.#requests,
    };
    const deadlineMs = message.timeoutMs + ANSWER_DEADLINE_MS;
    return this.nodes.ask<SyncAnswer>(connectionAddress(userId, deviceId, connId), message, { deadlineMs });
  }

  /** The client of a request hangs up. */
  cancel(userId: UserId, requestId: number, connId = ""): void {
    this.nodes.tell(connectionAddress(userId, DEVICE, connId as ConnId), {
      type: "cancel-request",
      requestId,
    });
  }

  /** The code of the error a request is answered with; fails when it is answered otherwise. */
  async syncError(userId: UserId, body: Record<string, unknown>, pos: string): Promise<string> {
    try {
      await this.sync(userId, body, { pos });
    } catch (error) {
      if (error instanceof SyncError) return error.code;
      throw error;
    }
    throw new Error("the request was answered");
  }

  async stop(): Promise<void> {
    await this.nodes.stop();
  }
}

/** The one device of each user. */
const DEVICE = "DEV" as DeviceId;

interface EventOptions {
  id?: string;
  stateKey?: string;
  ts?: number;
}
