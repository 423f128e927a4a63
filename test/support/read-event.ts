import { EventReader, type EventFault, MAX_EVENT_BYTES } from "#src/homeserver/event-fields.ts";
import { skipSpace } from "#src/homeserver/slicer.ts";
import type { EventFields } from "#src/protocol/events.ts";

/** The fields of one event that is alone in `json`, or why it is refused. */
export function readEvent(json: Uint8Array, maxBytes: number = MAX_EVENT_BYTES): EventFields | EventFault {
  const bytes = Buffer.from(json.buffer, json.byteOffset, json.byteLength);
  const reader = new EventReader(bytes, undefined, maxBytes);
  const event = reader.read(skipSpace(bytes, 0, bytes.length));
  if (typeof event === "string") return event;
  return skipSpace(bytes, reader.end, bytes.length) === bytes.length ? event : "malformed json";
}
