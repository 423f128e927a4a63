import "./several-sdks.ts";
import { EventEmitter } from "node:events";
import * as sdk from "matrix-js-sdk-simplified";
import { logger } from "matrix-js-sdk-simplified/lib/logger.js";
import { type MSC3575List, SlidingSync } from "matrix-js-sdk-simplified/lib/sliding-sync.js";
import { LifeClient } from "./life-client.ts";
import { SIMPLIFIED_PATH, type WireAnswer } from "./simplified-connection.ts";
import type { SynapseUser } from "./synapse.ts";

// The SDK and its crypto tell all they do, by `loglevel` and by `console`.
(logger as unknown as { setLevel(level: string, persist: boolean): void }).setLevel("silent", false);
for (const level of ["debug", "log", "info", "warn", "trace"] as const) console[level] = () => undefined;
EventEmitter.defaultMaxListeners = 0;

/** A real matrix-js-sdk with Rust crypto that speaks simplified sliding sync, and has one origin for everything. */
export class SimplifiedSdkClient extends LifeClient {
  readonly client: sdk.MatrixClient;
  readonly sync: SlidingSync;

  constructor(
    user: Pick<SynapseUser, "accessToken" | "userId" | "deviceId">,
    origin: string,
    lists: Map<string, MSC3575List>,
  ) {
    super();
    this.client = sdk.createClient({
      baseUrl: origin,
      accessToken: user.accessToken,
      userId: user.userId,
      deviceId: user.deviceId,
      fetchFn: ((input: string | URL | Request, init?: RequestInit) => this.#fetch(input, init)) as typeof fetch,
    });
    const subscription = { timeline_limit: 20, required_state: [["*", "*"]] };
    this.sync = new SlidingSync(origin, lists, subscription, this.client, 5000);
  }

  async start(): Promise<void> {
    await this.client.initRustCrypto({ useIndexedDB: false });
    await this.client.startClient({ slidingSync: this.sync });
    await this.until("prepared", () =>
      [sdk.SyncState.Prepared, sdk.SyncState.Syncing].some((state) => state === this.client.getSyncState()),
    );
  }

  showRooms(count: number): Promise<void> {
    this.sync.setListRanges("all", [[0, count - 1]]);
    return Promise.resolve();
  }

  openRoom(roomId: string): void {
    this.sync.modifyRoomSubscriptions(new Set([roomId]));
  }

  send(roomId: string, body: string): Promise<unknown> {
    return this.client.sendEvent(roomId, sdk.EventType.RoomMessage, { msgtype: "m.text", body } as never);
  }

  /** Sticky events of a room, as often as they were told. */
  stickyIds(roomId: string): (string | undefined)[] {
    const room = this.client.getRoom(roomId);
    return Array.from(room?._unstable_getStickyEvents() ?? [], (event) => event.getId());
  }

  async #fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input);
    const answer = await fetch(input, init);
    if (url.pathname === SIMPLIFIED_PATH) this.#note(url, answer.status, (await answer.clone().json()) as WireAnswer);
    return answer;
  }

  /** The SDK itself no longer looks at windows. */
  #note(url: URL, status: number, body: Partial<WireAnswer>): void {
    this.exchanges.push({ posIn: url.searchParams.get("pos"), status, posOut: body.pos ?? null });
    for (const [key, { count, ops }] of Object.entries(body.lists ?? {})) {
      this.counts.set(key, count);
      this.orders.set(
        key,
        (ops ?? []).flatMap((op) => op.room_ids),
      );
    }
  }
}
