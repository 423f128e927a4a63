import "./several-sdks.ts";
import { EventEmitter } from "node:events";
import * as sdk from "matrix-js-sdk-msc3575";
import type { CryptoCallbacks } from "matrix-js-sdk-msc3575/lib/crypto-api/index.js";
import { logger } from "matrix-js-sdk-msc3575/lib/logger.js";
import { type MSC3575List, SlidingSync, SlidingSyncEvent } from "matrix-js-sdk-msc3575/lib/sliding-sync.js";
import { LifeClient } from "./life-client.ts";
import type { SynapseUser } from "./synapse.ts";

// The SDK and its crypto tell all they do, by `loglevel` and by `console`.
for (const each of [logger, logger.getChild("MatrixRTCSessionManager")])
  (each as unknown as { setLevel(level: string, persist: boolean): void }).setLevel("silent", false);
for (const level of ["debug", "log", "info", "warn", "trace"] as const) console[level] = () => undefined;
// It listens to a room's state once more whenever the room comes whole, as it does after a crash of the server.
EventEmitter.defaultMaxListeners = 0;

/** Content of `m.receipt`: event → kind → user. */
type Receipts = Record<string, Record<string, Record<string, { thread_id?: string }>>>;

/** A real matrix-js-sdk with Rust crypto that syncs through Glissade and does everything else with the homeserver. */
export class SdkClient extends LifeClient {
  readonly client: sdk.MatrixClient;
  readonly sync: SlidingSync;
  /** Every receipt that was received: room, kind, user, event and thread, with blanks between. */
  readonly receipts = new Set<string>();
  /** Cut off: no request reaches anybody, and no answer the client. */
  isOffline = false;

  constructor(
    user: Pick<SynapseUser, "url" | "accessToken" | "userId" | "deviceId">,
    glissadeUrl: string,
    lists: Map<string, MSC3575List>,
    cryptoCallbacks?: CryptoCallbacks,
  ) {
    super();
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

  get isSyncing(): boolean {
    return this.client.getSyncState() === sdk.SyncState.Syncing;
  }

  showRooms(count: number): Promise<unknown> {
    return this.sync.setListRanges("all", [[0, count - 1]]);
  }

  openRoom(roomId: string): void {
    this.sync.modifyRoomSubscriptions(new Set([roomId])).catch(() => undefined);
  }

  send(roomId: string, body: string): Promise<unknown> {
    return this.client.sendEvent(roomId, sdk.EventType.RoomMessage, { msgtype: "m.text", body } as never);
  }

  async #fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input);
    if (this.isOffline) throw new TypeError("offline");
    const answer = await fetch(input, init);
    if (this.isOffline) throw new TypeError("offline");
    if (url.pathname.endsWith("/org.matrix.msc3575/sync")) {
      const body = (await answer.clone().json()) as { pos?: string };
      this.exchanges.push({ posIn: url.searchParams.get("pos"), status: answer.status, posOut: body.pos ?? null });
    }
    return answer;
  }
}
