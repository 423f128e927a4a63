import { parseRoomId, parseUserId, type RoomId, type UserId } from "./ids.ts";
import { asObject, type JsonObject, member } from "./json-value.ts";

const contentOf = (event: unknown): JsonObject | null => asObject(member(asObject(event), "content"));

/** Rooms an `m.direct` event names, whoever they are direct with. */
export function readDirect(event: unknown): Set<RoomId> {
  const rooms = new Set<RoomId>();
  for (const list of Object.values(contentOf(event) ?? {})) {
    if (!Array.isArray(list)) continue;
    for (const item of list) {
      const roomId = parseRoomId(item);
      if (roomId !== null) rooms.add(roomId);
    }
  }
  return rooms;
}

/** Users an `m.ignored_user_list` event names; null when it has no list, and what held before goes on. */
export function readIgnored(event: unknown): Set<UserId> | null {
  const users = asObject(member(contentOf(event), "ignored_users"));
  if (users === null) return null;
  const ignored = new Set<UserId>();
  for (const key of Object.keys(users)) {
    const userId = parseUserId(key);
    if (userId !== null) ignored.add(userId);
  }
  return ignored;
}

/** Tags an `m.tag` event gives its room. */
export function readTags(event: unknown): Set<string> {
  return new Set(Object.keys(asObject(member(contentOf(event), "tags")) ?? {}));
}

const decoder = new TextDecoder();
/** An event that says that there are no tags is some 40 bytes. */
const MAX_WITHOUT_TAGS_BYTES = 200;

/** True for the `m.tag` of a room that has none. */
export function isWithoutTags(json: Uint8Array): boolean {
  if (json.length > MAX_WITHOUT_TAGS_BYTES) return false;
  try {
    const event = JSON.parse(decoder.decode(json)) as unknown;
    return member(asObject(event), "type") === "m.tag" && readTags(event).size === 0;
  } catch {
    return false;
  }
}
