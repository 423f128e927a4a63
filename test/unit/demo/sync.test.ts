import { describe, expect, test } from "bun:test";
import type { Json } from "#src/demo/homeserver/wire.ts";
import { type Session, TestHomeserver, type TestHomeserverOptions } from "#test/support/homeserver.ts";

interface RoomPart {
  timeline: { events: Json[]; limited: boolean; prev_batch: string };
  state: { events: Json[] };
  ephemeral: { events: Json[] };
  account_data: { events: Json[] };
  unread_notifications: { notification_count: number; highlight_count: number };
  invite_state: { events: Json[] };
  knock_state: { events: Json[] };
}
type Sections = Record<"join" | "invite" | "leave" | "knock", Record<string, RoomPart>>;
interface SyncBody {
  next_batch: string;
  rooms?: Partial<Sections>;
  to_device?: { events: Json[] };
  device_lists?: { changed: string[]; left: string[] };
  account_data?: { events: Json[] };
  device_one_time_keys_count: Record<string, number>;
}

/** Calls the homeserver without a socket. */
class Caller {
  readonly hs: TestHomeserver;

  constructor(options: TestHomeserverOptions = {}) {
    this.hs = new TestHomeserver(options);
  }

  async call(session: Session, method: string, path: string, body?: unknown): Promise<{ status: number; body: Json }> {
    const response = await this.hs.handle(
      new Request(`http://localhost/_matrix/client/v3${path}`, {
        method,
        headers: { authorization: `Bearer ${session.accessToken}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
    return { status: response.status, body: (await response.json()) as Json };
  }

  async sync(session: Session, since?: string, query: Record<string, string> = {}): Promise<SyncBody> {
    const parameters = new URLSearchParams({ ...(since === undefined ? {} : { since }), ...query });
    const { status, body } = await this.call(session, "GET", `/sync?${parameters.toString()}`);
    expect(status).toBe(200);
    return body as unknown as SyncBody;
  }
}

const limit = (count: number): Record<string, string> => ({
  filter: JSON.stringify({ room: { timeline: { limit: count } } }),
});
const types = (events: readonly Json[] | undefined): unknown[] => (events ?? []).map((event) => event["type"]);
const bodies = (part: RoomPart | undefined): unknown[] =>
  (part?.timeline.events ?? []).map((event) => (event["content"] as Json)["body"]);

describe("rooms in classic sync", () => {
  test("[DEMO-1] a first sync gives the state before its timeline and no event twice", async () => {
    const { hs, ...rest } = new Caller();
    const caller = Object.assign(new Caller(), { hs, ...rest });
    const alice = hs.user("alice");
    const roomId = hs.createRoom(alice, { name: "Tea" });
    hs.send(alice, roomId, "one");
    const body = await caller.sync(alice, undefined, limit(2));
    const room = body.rooms?.join?.[roomId];
    expect(types(room?.timeline.events)).toEqual(["m.room.name", "m.room.message"]);
    expect(room?.timeline.limited).toBe(true);
    expect(types(room?.state.events)).toEqual([
      "m.room.create",
      "m.room.member",
      "m.room.power_levels",
      "m.room.join_rules",
      "m.room.history_visibility",
      "m.room.guest_access",
    ]);
  });
});
