import type { PolledToDevice } from "#src/protocol/poll-batch.ts";
import type { EventReader } from "./event-fields.ts";
import { MAX_IDENTIFIER_BYTES } from "./event-fields.ts";
import { findMember, parseJson, stringAt } from "./json-text.ts";
import type { RejectLog } from "./reject-log.ts";
import { eachEvent, identifiersOf, membersOf, view } from "./sections.ts";
import { FAIL, checkValue, isObjectAt, skipValue } from "./slicer.ts";

/** Key counts are a handful of algorithm names; more than this is not believed. */
const MAX_KEYS_BYTES = 64 * 1024;

/** To-device messages, verbatim. Nothing but malformed JSON is refused: they are never sent again. */
export function readToDevice(reader: EventReader, bytes: Buffer, at: number, rejects: RejectLog): PolledToDevice[] {
  const end = bytes.length;
  const messages: PolledToDevice[] = [];
  const isWhole = eachEvent(bytes, at, end, (itemAt) => {
    const after = skipValue(bytes, itemAt, end);
    if (after === FAIL) return FAIL;
    if (
      !isObjectAt(bytes, itemAt, after) ||
      checkValue(bytes, itemAt, after) !== after ||
      !reader.isText(itemAt, after)
    ) {
      rejects.add(null, "to_device", "malformed json", bytes, itemAt, after);
    } else {
      messages.push({
        type: labelAt(bytes, findMember(bytes, itemAt, after, "type"), after),
        sender: labelAt(bytes, findMember(bytes, itemAt, after, "sender"), after),
        json: view(bytes, itemAt, after),
      });
    }
    return after;
  });
  if (!isWhole) rejects.add(null, "to_device", "malformed json", bytes, at, skipValue(bytes, at, end));
  return messages;
}

/** A string made storable rather than refused; the message itself keeps the original. */
function labelAt(bytes: Buffer, at: number, end: number): string {
  return (stringAt(bytes, at, end) ?? "").replaceAll("\0", "\uFFFD").slice(0, MAX_IDENTIFIER_BYTES).toWellFormed();
}

export function readDeviceLists(bytes: Buffer, at: number, rejects: RejectLog): { changed: string[]; left: string[] } {
  if (at === FAIL) return { changed: [], left: [] };
  const end = skipValue(bytes, at, bytes.length);
  const lists = membersOf(parseJson(bytes, at, end));
  if (lists === null) rejects.add(null, "device_lists", "malformed json", bytes, at, end);
  return { changed: identifiersOf(lists?.["changed"]), left: identifiersOf(lists?.["left"]) };
}

/** The JSON text of a small value; null when it is absent or unusable. */
export function readJsonText(
  reader: EventReader,
  bytes: Buffer,
  at: number,
  section: string,
  rejects: RejectLog,
): string | null {
  if (at === FAIL) return null;
  const end = skipValue(bytes, at, bytes.length);
  if (checkValue(bytes, at, bytes.length) === end && end - at <= MAX_KEYS_BYTES && reader.isText(at, end)) {
    return bytes.toString("utf8", at, end);
  }
  rejects.add(null, section, "unusable value", bytes, at, end);
  return null;
}
