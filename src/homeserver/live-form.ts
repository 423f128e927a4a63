import { findMember, isKey, stringAt } from "./json-text.ts";
import { FAIL, isObjectAt } from "./slicer.ts";
import { cutMembers, withoutRanges } from "./unsigned.ts";

/** Members that no event of a sync has outside `unsigned`. */
const OLD = ["age", "user_id"] as const;
/** Members that belong into `unsigned`, and that some homeservers repeat outside of it. */
const REPEATED = [
  "prev_content",
  "prev_sender",
  "replaces_state",
  "redacted_because",
  "invite_room_state",
  "knock_room_state",
] as const;
/** Rooms of these versions have ids of their own; later ones are named by the event that made them, which says so in a sync too. */
const NAMED_ROOMS: ReadonlySet<string> = new Set(Array.from({ length: 11 }, (_, index) => String(index + 1)));

/**
 * An event as a sync would bring it: pages of history name the room in each event, and repeat in it what is in `unsigned`. Every
 * other byte stays.
 */
export function asInSync(json: Uint8Array, { type }: { type: string }): Uint8Array {
  const bytes = Buffer.from(json.buffer, json.byteOffset, json.byteLength);
  const end = bytes.length;
  const unsignedAt = findMember(bytes, 0, end, "unsigned");
  const hasUnsigned = unsignedAt !== FAIL && isObjectAt(bytes, unsignedAt, end);
  const keepsRoom = type === "m.room.create" && !isNamedRoom(bytes, end);
  const cuts: number[] = [];
  cutMembers(bytes, 0, end, cuts, (keyStart, keyEnd) => {
    const isOne = (key: string): boolean => isKey(bytes, keyStart, keyEnd, key);
    if (isOne("room_id")) return !keepsRoom;
    if (OLD.some(isOne)) return true;
    const repeated = hasUnsigned ? REPEATED.find(isOne) : undefined;
    return repeated !== undefined && findMember(bytes, unsignedAt, end, repeated) !== FAIL;
  });
  return withoutRanges(bytes, 0, end, cuts);
}

function isNamedRoom(bytes: Buffer, end: number): boolean {
  const contentAt = findMember(bytes, 0, end, "content");
  const version = contentAt === FAIL ? null : stringAt(bytes, findMember(bytes, contentAt, end, "room_version"), end);
  return NAMED_ROOMS.has(version ?? "1");
}
