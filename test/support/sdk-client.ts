import { EventEmitter } from "node:events";
import * as sdk from "matrix-js-sdk-msc3575";
import type { CryptoCallbacks } from "matrix-js-sdk-msc3575/lib/crypto-api/index.js";
import { logger } from "matrix-js-sdk-msc3575/lib/logger.js";
import { type MSC3575List, SlidingSync, SlidingSyncEvent } from "matrix-js-sdk-msc3575/lib/sliding-sync.js";
import type { SynapseUser } from "./synapse.ts";

// The SDK and its crypto tell all they do, by `loglevel` and by `console`.
for (const each of [logger, logger.getChild("MatrixRTCSessionManager")])
  (each as unknown as { setLevel(level: string, persist: boolean): void }).setLevel("silent", false);
for (const level of ["debug", "log", "info", "warn", "trace"] as const) console[level] = () => undefined;
// It listens to a room's state once more whenever the room comes whole, as it does after a crash of the server.
EventEmitter.defaultMaxListeners = 0;

const WAIT_MS = 60_000;

/** Content of `m.receipt`: event → kind → user. */
type Receipts = Record<string, Record<string, Record<string, { thread_id?: string }>>>;

/** One sliding sync request as it went over the wire. */
export interface Exchange {
  posIn: string | null;
  status: number;
  posOut: string | null;
}

/** A real matrix-js-sdk with Rust crypto that syncs through Glissade and does everything else with the homeserver. */
export class SdkClient {
  readonly client: sdk.MatrixClient;
  readonly sync: SlidingSync;
  /** Every sync request that was answered. */
  readonly exchanges: Exchange[] = [];
  /** Index → room id of each list, as the SDK reports them. */
  readonly orders = new Map<string, string[]>();
  readonly counts = new Map<string, number>();
  /** Every receipt that was received: room, kind, user, event and thread, with blanks between. */
  readonly receipts = new Set<string>();

  constructor(
    user: Pick<SynapseUser, "url" | "accessToken" | "userId" | "deviceId">,
    glissadeUrl: string,
    lists: Map<string, MSC3575List>,
    cryptoCallbacks?: CryptoCallbacks,
  ) {
    this.client = sdk.createClient({
      baseUrl: user.url,
      accessToken: user.accessToken,
      userId: user.userId,
      deviceId: user.deviceId,
      ...(cryptoCallbacks === undefined ? {} : { cryptoCallbacks }),
      fetchFn: ((input: string | URL | Request, init?: RequestInit) => this.#fetch(input, init)) as typeof fetch,
    });
    const subscription = { timeline_limit: 20, required_state: [["*", "*"]] };
    this.sync = new SlidingSync(glissadeUrl, lists, subscription, this.client, 5000);
    this.sync.on(SlidingSyncEvent.List, (key, count, rooms) => {
      this.orders.set(
        key,
        Object.keys(rooms).map((index) => rooms[Number(index)] ?? ""),
      );
      this.counts.set(key, count);
    });
    this.client.on(sdk.RoomEvent.Receipt, (event, room) => {
      for (const [eventId, kinds] of Object.entries(event.getContent<Receipts>()))
        for (const [kind, users] of Object.entries(kinds))
          for (const [userId, { thread_id: thread }] of Object.entries(users))
            this.receipts.add(
              [room.roomId, kind, userId, eventId, ...(thread === undefined ? [] : [thread])].join(" "),
            );
    });
    this.sync.on(SlidingSyncEvent.Lifecycle, (_state, response) => {
      for (const [key, list] of Object.entries(response?.lists ?? {})) this.counts.set(key, list.count);
    });
  }

  async start(): Promise<void> {
    await this.client.initRustCrypto({ useIndexedDB: false });
    await this.client.startClient({ slidingSync: this.sync });
    await this.until("prepared", () => this.client.getSyncState() === sdk.SyncState.Prepared || this.isSyncing);
  }

  /** The list `all`, index → room id. */
  get order(): string[] {
    return this.orders.get("all") ?? [];
  }

  get isSyncing(): boolean {
    return this.client.getSyncState() === sdk.SyncState.Syncing;
  }

  stop(): void {
    this.client.stopClient();
  }

  /** Waits until a condition on what the client knows holds. */
  async until(what: string | (() => string), holds: () => boolean): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (!holds()) {
      if (performance.now() > deadline)
        throw new Error(`${this.client.getUserId()} waited in vain: ${typeof what === "string" ? what : what()}`);
      await Bun.sleep(10);
    }
  }

  /** Ids of the events of a room's live timeline, local echoes included, in order. */
  eventIds(roomId: string): string[] {
    const events = this.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
    return events.map((event) => event.getId() ?? "");
  }

  /** Bodies of the messages of one sender in a room, in timeline order; undecrypted ones as `?`. */
  messages(roomId: string, sender: string): string[] {
    const events = this.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
    return events
      .filter(
        (event) => event.getSender() === sender && ["m.room.message", "m.room.encrypted"].includes(event.getType()),
      )
      .map((event) => (event.getType() === "m.room.message" ? String(event.getContent()["body"]) : "?"));
  }

  async #fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input);
    const answer = await fetch(input, init);
    if (url.pathname.endsWith("/org.matrix.msc3575/sync")) {
      const body = (await answer.clone().json()) as { pos?: string };
      this.exchanges.push({ posIn: url.searchParams.get("pos"), status: answer.status, posOut: body.pos ?? null });
    }
    return answer;
  }
}
