import type { StoredEvent } from "../events.ts";
import { withOverlay } from "../overlay.ts";
import type { RoomData } from "./room-data.ts";
import type { World } from "./world.ts";

/** Events as this device is sent them now. */
export function eventBytes(
  world: World,
  data: RoomData,
  events: readonly Pick<StoredEvent, "nid" | "id" | "sender" | "json">[],
): Uint8Array[] {
  return events.map(({ nid, id, sender, json }) => {
    const txnId = sender === world.userId ? data.txnId(id) : null;
    return withOverlay(json, { txnId, stickyTtlMs: data.stickyTtlMs(nid, id) });
  });
}
