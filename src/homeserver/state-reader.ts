import { isUtf8 } from "node:buffer";
import type { EventFields } from "#src/protocol/events.ts";
import type { RoomId } from "#src/protocol/ids.ts";
import type { Rejected } from "#src/protocol/poll-batch.ts";
import { EventReader, MAX_EVENT_BYTES } from "./event-fields.ts";
import { RejectLog } from "./reject-log.ts";
import { FAIL, bodyStart, eachItem, isArrayAt, skipSpace } from "./slicer.ts";

/** A room's state as a homeserver answered it; `rejected` was skipped. */
export interface ReadState {
  state: EventFields[];
  rejected: Rejected[];
}

/**
 * Reads the body of `GET /rooms/{roomId}/state`; a string says why it cannot be used. Only a complete list can: what is
 * missing from it would be taken for gone.
 */
export function readRoomState(body: Uint8Array, roomId: RoomId): ReadState | string {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const end = bytes.length;
  const start = bodyStart(bytes);
  if (!isArrayAt(bytes, start, end)) return "not a json array";
  const reader = new EventReader(bytes, isUtf8(bytes), MAX_EVENT_BYTES);
  const rejects = new RejectLog();
  const state: EventFields[] = [];
  const after = eachItem(bytes, start, end, (itemAt) => {
    const event = reader.read(itemAt);
    if (typeof event !== "string") state.push(event);
    else if (reader.end !== FAIL) rejects.add(roomId, "state", event, bytes, itemAt, reader.end);
    return reader.end;
  });
  if (after === FAIL || skipSpace(bytes, after, end) !== end) return "truncated or malformed json";
  return { state, rejected: rejects.entries };
}
