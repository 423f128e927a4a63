import "#test/support/several-sdks.ts";
import { expect } from "bun:test";
import { EventType, type IEvent } from "matrix-js-sdk-msc3575";
import type { MSC3575List } from "matrix-js-sdk-msc3575/lib/sliding-sync.js";
import type { SdkClient } from "#test/support/sdk-client.ts";
import type { SynapseUser } from "#test/support/synapse.ts";

/** Last position of the window that lists begin with. */
export const WINDOW = 19;

/** A list as Element asks for it. */
export const listOf = (extra: Partial<MSC3575List> = {}): MSC3575List => ({
  ranges: [[0, WINDOW]],
  sort: ["by_recency"],
  timeline_limit: 10,
  required_state: [
    ["m.room.create", ""],
    ["m.room.name", ""],
    ["m.room.encryption", ""],
    ["m.room.tombstone", ""],
    ["m.room.member", "$LAZY"],
    ["m.room.member", "$ME"],
  ],
  ...extra,
});

/** A path of the client-server API with its parts encoded. */
export const path = (strings: TemplateStringsArray, ...parts: string[]): string =>
  String.raw({ raw: strings }, ...parts.map((part) => encodeURIComponent(part)));

/** Sends a text message. */
export const say = (from: SdkClient, room: string, body: string): Promise<unknown> =>
  from.client.sendEvent(room, EventType.RoomMessage, { msgtype: "m.text", body } as never);

/** Everything one user said in the room is readable, in order, each once. */
export async function expectRead(
  reader: SdkClient,
  room: string,
  sender: SynapseUser,
  bodies: string[],
): Promise<void> {
  const spoken = (): string[] =>
    reader.messages(room, sender.userId).filter((body) => body === "?" || /^[ab]\d$/.test(body));
  await reader.until(
    () => `${bodies.join(" ")} (has ${spoken().join(" ")})`,
    () => spoken().length >= bodies.length && !spoken().includes("?"),
  );
  expect(spoken()).toEqual(bodies);
}

/** Time and id of a room's newest event, asked of the homeserver. */
export async function newestIn(user: SynapseUser, roomId: string): Promise<{ ts: number }> {
  const { chunk } = await user.call<{ chunk: IEvent[] }>("GET", path`/rooms/${roomId}/messages` + "?dir=b&limit=1");
  return { ts: chunk[0]?.origin_server_ts ?? 0 };
}
