import { expect } from "bun:test";
import type { Json } from "#src/demo/homeserver/wire.ts";
import { type Session, TestHomeserver, type TestHomeserverOptions } from "#test/support/homeserver.ts";
import { ManualTime } from "./manual-time.ts";

/** One room of a sync response; sections that are absent read as undefined. */
export interface RoomPart {
  timeline: { events: Json[]; limited: boolean; prev_batch: string };
  state?: { events: Json[] };
  "org.matrix.msc4222.state_after"?: { events: Json[] };
  ephemeral: { events: Json[] };
  account_data: { events: Json[] };
  unread_notifications: { notification_count: number; highlight_count: number };
  invite_state: { events: Json[] };
  knock_state: { events: Json[] };
}

/** A sync response. */
export interface SyncBody {
  next_batch: string;
  rooms?: Partial<Record<"join" | "invite" | "leave" | "knock", Record<string, RoomPart>>>;
  to_device?: { events: Json[] };
  device_lists?: { changed: string[]; left: string[] };
  account_data?: { events: Json[] };
  device_one_time_keys_count: Record<string, number>;
  device_unused_fallback_key_types: string[];
}

/** A homeserver in manual time, called without a socket. */
export class Caller {
  readonly time = new ManualTime();
  readonly hs: TestHomeserver;

  constructor(options: TestHomeserverOptions = {}) {
    this.hs = new TestHomeserver({ clock: this.time, timers: this.time, ...options });
  }

  async call(
    session: Session | string,
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<{ status: number; body: Json }> {
    const token = typeof session === "string" ? session : session.accessToken;
    const response = await this.hs.handle(
      new Request(`http://localhost/_matrix/client/v3${path}`, {
        method,
        headers: { authorization: `Bearer ${token}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
      }),
    );
    return { status: response.status, body: (await response.json()) as Json };
  }

  /** A sync that must succeed. */
  async sync(session: Session, since?: string, query: Record<string, string> = {}): Promise<SyncBody> {
    const parameters = new URLSearchParams({ ...(since === undefined ? {} : { since }), ...query });
    const { status, body } = await this.call(session, "GET", `/sync?${parameters.toString()}`);
    expect(status).toBe(200);
    return body as unknown as SyncBody;
  }
}

/** Query with an inline filter that limits timelines. */
export const limit = (count: number): Record<string, string> => ({
  filter: JSON.stringify({ room: { timeline: { limit: count } } }),
});

/** Event types in order. */
export const types = (events: readonly Json[] | undefined): unknown[] => (events ?? []).map((event) => event["type"]);

/** Bodies of timeline messages in order; undefined for other events. */
export const bodies = (part: RoomPart | undefined): unknown[] =>
  (part?.timeline.events ?? []).map((event) => (event["content"] as Json)["body"]);
