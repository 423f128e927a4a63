import { isUtf8 } from "node:buffer";
import type { EventFields } from "#src/protocol/events.ts";
import type { OlderEvents } from "#src/protocol/engine/older-events.ts";
import { EventReader, MAX_EVENT_BYTES } from "./event-fields.ts";
import { membersAt, stringAt } from "./json-text.ts";
import { asInSync } from "./live-form.ts";
import { FAIL, bodyStart, eachItem, isArrayAt, skipSpace } from "./slicer.ts";

/**
 * Reads the body of `GET /rooms/{roomId}/messages?dir=b`, asked for `limit` events from before `from`; a string says why it
 * cannot be used. Events that cannot be read are left out.
 */
export function readMessages(body: Uint8Array, from: string, limit: number): OlderEvents | string {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const end = bytes.length;
  const { members, end: after } = membersAt(bytes, bodyStart(bytes), end);
  if (after === FAIL || skipSpace(bytes, after, end) !== end) return "truncated or malformed json";
  const chunkAt = members.get("chunk") ?? FAIL;
  if (chunkAt === FAIL || !isArrayAt(bytes, chunkAt, end)) return "no list of events";
  const reader = new EventReader(bytes, isUtf8(bytes), MAX_EVENT_BYTES);
  const events: EventFields[] = [];
  let count = 0;
  let isOldestRead = true;
  const afterChunk = eachItem(bytes, chunkAt, end, (itemAt) => {
    const event = reader.read(itemAt);
    count += 1;
    isOldestRead = typeof event !== "string";
    if (typeof event !== "string") events.push({ ...event, json: asInSync(event.json, event) });
    return reader.end;
  });
  if (afterChunk === FAIL) return "truncated or malformed json";
  // Its token is of a place before all of them: none may be left out.
  if (count > limit) return "more events than were asked for";
  const token = tokenAt(bytes, members.get("end") ?? FAIL, end);
  // The token is older than what could not be read: paging goes over all of this once more, and leaves no hole.
  const prevBatch = isOldestRead ? token : from;
  return { events: events.reverse(), prevBatch, hasMore: token !== null };
}

function tokenAt(bytes: Buffer, at: number, end: number): string | null {
  const token = stringAt(bytes, at, end);
  return token === null || token === "" || token.includes("\0") || !token.isWellFormed() ? null : token;
}
