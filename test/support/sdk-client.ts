import * as sdk from "matrix-js-sdk-msc3575";
import { logger } from "matrix-js-sdk-msc3575/lib/logger.js";
import { type MSC3575List, SlidingSync, SlidingSyncEvent } from "matrix-js-sdk-msc3575/lib/sliding-sync.js";
import type { SynapseUser } from "./synapse.ts";

// The SDK and its crypto tell all they do, by `loglevel` and by `console`.
(logger as unknown as { setLevel(level: string, persist: boolean): void }).setLevel("silent", false);
for (const level of ["debug", "log", "info", "warn", "trace"] as const) console[level] = () => undefined;

const WAIT_MS = 30_000;

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
  /** Index → room id, as the SDK reports the list `all`. */
  order: string[] = [];
  count = -1;
  readonly counts = new Map<string, number>();

  constructor(user: SynapseUser, glissadeUrl: string, lists: Map<string, MSC3575List>) {
    this.client = sdk.createClient({
      baseUrl: user.url,
      accessToken: user.accessToken,
      userId: user.userId,
      deviceId: user.deviceId,
      fetchFn: ((input: string | URL | Request, init?: RequestInit) => this.#fetch(input, init)) as typeof fetch,
    });
    const subscription = { timeline_limit: 20, required_state: [["*", "*"]] };
    this.sync = new SlidingSync(glissadeUrl, lists, subscription, this.client, 5000);
    this.sync.on(SlidingSyncEvent.List, (key, count, rooms) => {
      if (key === "all") this.order = Object.keys(rooms).map((index) => rooms[Number(index)] ?? "");
      this.counts.set(key, count);
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

  stop(): void {
    this.client.stopClient();
  }

  /** Waits until a condition on what the client knows holds. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (!holds()) {
      if (performance.now() > deadline) throw new Error(`${this.client.getUserId()} waited in vain: ${what}`);
      await Bun.sleep(10);
    }
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
