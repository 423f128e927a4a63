import { SyncError } from "../../errors.ts";
import { parseRoomId } from "../ids.ts";
import { asObject, type JsonObject } from "../json-value.ts";
import { rangesProblem } from "../ranges.ts";
import type {
  ExtensionRequest,
  ExtensionsRequest,
  FiltersRequest,
  ListRequest,
  RoomConfigRequest,
  SyncRequest,
} from "../request.ts";
import { unknownSort } from "../sorting.ts";
import { MAX_LISTS } from "../sticky.ts";

/** MSC3575: longer connection ids are refused. */
const MAX_CONN_ID_BYTES = 16;
/** MSC3575: longer transaction ids are refused. */
const MAX_TXN_ID_BYTES = 64;
const MAX_LIST_KEY_BYTES = 64;
/** Rooms subscribed or unsubscribed in one request, and rooms named in one extension. */
const MAX_ROOMS = 1000;
const MAX_RANGES = 100;
const MAX_STATE_TUPLES = 1000;
/** Sorts, bump event types, tags, room types, spaces of one list. */
const MAX_NAMES = 100;
/** No identifier, event type, tag or search text is longer. */
const MAX_TEXT_BYTES = 1024;
/** Integers are those of 64 bits; what we cannot count to exactly counts as the largest we can. */
const INT64_LIMIT = 2 ** 63;

const encoder = new TextEncoder();
const byteLength = (text: string): number => encoder.encode(text).length;

const wrongType = (path: string, wanted: string): SyncError => new SyncError("bad_json", `${path} is not ${wanted}`);

/**
 * Reads the body of an MSC3575 request as clients really send it: `null`, `0` and `""` mean "not given", tuples may be
 * short or long. Throws `bad_json` for a wrong type and `invalid_param` for a wrong or too large value.
 */
export function readSyncRequest(json: unknown): SyncRequest {
  if (json === null || json === undefined) return {};
  const body = asObject(json);
  if (body === null) throw wrongType("the request", "an object");
  return given({
    txn_id: limitedText(body, "txn_id", MAX_TXN_ID_BYTES),
    conn_id: limitedText(body, "conn_id", MAX_CONN_ID_BYTES),
    lists: readLists(field(body, "lists")),
    room_subscriptions: readSubscriptions(field(body, "room_subscriptions")),
    unsubscribe_rooms: readTexts(field(body, "unsubscribe_rooms"), "unsubscribe_rooms", MAX_ROOMS),
    extensions: readExtensions(field(body, "extensions")),
  });
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Leaves out the members that were not given. */
function given<T extends object>(members: T): Given<T> {
  const kept: Partial<T> = {};
  for (const name in members) if (members[name] !== undefined) kept[name] = members[name];
  return kept as Given<T>;
}

function readLists(value: unknown): SyncRequest["lists"] {
  const lists = readObject(value, "lists");
  if (lists === undefined) return undefined;
  const entries = Object.entries(lists);
  checkCount("lists", entries.length, MAX_LISTS);
  return Object.fromEntries(
    entries.map(([key, list]): [string, ListRequest] => {
      checkBytes("list key", key, MAX_LIST_KEY_BYTES);
      return [key, readList(list, key)];
    }),
  );
}

function readList(value: unknown, key: string): ListRequest {
  const path = `lists[${key}]`;
  const list = readObject(value, path) ?? {};
  const sort = readTexts(field(list, "sort"), `${path}.sort`, MAX_NAMES);
  const unknown = unknownSort(sort ?? []);
  if (unknown !== null) throw new SyncError("invalid_param", `list[${key}] unknown sort ${unknown}`);
  return given({
    ...readRoomConfig(list, path),
    ranges: readRanges(field(list, "ranges"), key, `${path}.ranges`),
    sort,
    filters: readFilters(field(list, "filters"), `${path}.filters`),
    slow_get_all_rooms: readBoolean(list, "slow_get_all_rooms", path),
    bump_event_types: readTexts(field(list, "bump_event_types"), `${path}.bump_event_types`, MAX_NAMES),
    deleted: readBoolean(list, "deleted", path),
  });
}

function readRanges(value: unknown, key: string, path: string): [number, number][] | undefined {
  const ranges = readArray(value, path, MAX_RANGES)?.map((item, index): [number, number] => {
    const tuple = readArray(item, `${path}[${index}]`, Infinity) ?? [];
    return [readInteger(tuple[0], `${path}[${index}][0]`) ?? 0, readInteger(tuple[1], `${path}[${index}][1]`) ?? 0];
  });
  if (ranges !== undefined && rangesProblem(ranges) !== null) {
    throw new SyncError("invalid_param", `list[${key}] invalid ranges ${JSON.stringify(ranges)}`);
  }
  return ranges;
}

function readFilters(value: unknown, path: string): FiltersRequest | undefined {
  const filters = readObject(value, path);
  if (filters === undefined) return undefined;
  const texts = (name: string): string[] | undefined => readTexts(field(filters, name), `${path}.${name}`, MAX_NAMES);
  const types = (name: string): (string | null)[] | undefined =>
    readArray(field(filters, name), `${path}.${name}`, MAX_NAMES)?.map((item, index) =>
      item === null ? null : (readText(item, `${path}.${name}[${index}]`) ?? ""),
    );
  return given({
    is_dm: readBoolean(filters, "is_dm", path),
    is_encrypted: readBoolean(filters, "is_encrypted", path),
    is_invite: readBoolean(filters, "is_invite", path),
    is_tombstoned: readBoolean(filters, "is_tombstoned", path),
    room_name_like: readText(field(filters, "room_name_like"), `${path}.room_name_like`) || undefined,
    room_types: types("room_types"),
    not_room_types: types("not_room_types"),
    tags: texts("tags"),
    not_tags: texts("not_tags"),
    spaces: texts("spaces"),
  });
}

function readSubscriptions(value: unknown): SyncRequest["room_subscriptions"] {
  const rooms = readObject(value, "room_subscriptions");
  if (rooms === undefined) return undefined;
  const entries = Object.entries(rooms);
  checkCount("room subscriptions", entries.length, MAX_ROOMS);
  const read: [string, RoomConfigRequest][] = [];
  for (const [roomId, config] of entries) {
    // Rooms that cannot exist are treated like rooms the user is not in.
    if (parseRoomId(roomId) === null) continue;
    const path = `room_subscriptions[${roomId}]`;
    read.push([roomId, readRoomConfig(readObject(config, path) ?? {}, path)]);
  }
  return Object.fromEntries(read);
}

function readRoomConfig(config: JsonObject, path: string): RoomConfigRequest {
  const oldRooms = readObject(field(config, "include_old_rooms"), `${path}.include_old_rooms`);
  return given({
    ...readStateAndTimeline(config, path),
    include_old_rooms: oldRooms === undefined ? undefined : readStateAndTimeline(oldRooms, `${path}.include_old_rooms`),
  });
}

function readStateAndTimeline(config: JsonObject, path: string): NonNullable<RoomConfigRequest["include_old_rooms"]> {
  return given({
    required_state: readStateTuples(field(config, "required_state"), `${path}.required_state`),
    timeline_limit: readInteger(field(config, "timeline_limit"), `${path}.timeline_limit`) || undefined,
    include_heroes: readBoolean(config, "include_heroes", path),
  });
}

function readStateTuples(value: unknown, path: string): [string, string][] | undefined {
  return readArray(value, path, MAX_STATE_TUPLES)?.map((item, index): [string, string] => {
    const tuple = readArray(item, `${path}[${index}]`, Infinity) ?? [];
    return [readText(tuple[0], `${path}[${index}][0]`) ?? "", readText(tuple[1], `${path}[${index}][1]`) ?? ""];
  });
}

function readExtensions(value: unknown): ExtensionsRequest | undefined {
  const extensions = readObject(value, "extensions");
  if (extensions === undefined) return undefined;
  const read = (name: string): ExtensionRequest | undefined => {
    const path = `extensions.${name}`;
    const extension = readObject(field(extensions, name), path);
    return extension === undefined ? undefined : readExtension(extension, path);
  };
  return given({
    to_device: readToDevice(extensions),
    e2ee: read("e2ee"),
    account_data: read("account_data"),
    receipts: read("receipts"),
    typing: read("typing"),
  });
}

function readExtension(extension: JsonObject, path: string): ExtensionRequest {
  return given({
    enabled: readBoolean(extension, "enabled", path),
    lists: readTexts(field(extension, "lists"), `${path}.lists`, MAX_LISTS),
    rooms: readTexts(field(extension, "rooms"), `${path}.rooms`, MAX_ROOMS),
  });
}

function readToDevice(extensions: JsonObject): ExtensionsRequest["to_device"] {
  const path = "extensions.to_device";
  const extension = readObject(field(extensions, "to_device"), path);
  if (extension === undefined) return undefined;
  return given({
    ...readExtension(extension, path),
    limit: readInteger(field(extension, "limit"), `${path}.limit`) || undefined,
    since: readText(field(extension, "since"), `${path}.since`) || undefined,
  });
}

// ---------------------------------------------------------------- values; undefined = not given

/** A member by its name; other spellings of it, in upper and lower case, are the same name. */
function field(object: JsonObject, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  for (const key in object) {
    if (key.length === name.length && key.toLowerCase() === name) return object[key];
  }
  return undefined;
}

function readObject(value: unknown, path: string): JsonObject | undefined {
  if (value === undefined || value === null) return undefined;
  const object = asObject(value);
  if (object === null) throw wrongType(path, "an object");
  return object;
}

function readArray(value: unknown, path: string, limit: number): unknown[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw wrongType(path, "an array");
  checkCount(path, value.length, limit);
  return value;
}

function readTexts(value: unknown, path: string, limit: number): string[] | undefined {
  return readArray(value, path, limit)?.map((item, index) => readText(item, `${path}[${index}]`) ?? "");
}

function readText(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw wrongType(path, "a string");
  checkBytes(path, value, MAX_TEXT_BYTES);
  return value;
}

function limitedText(body: JsonObject, key: string, limit: number): string | undefined {
  const value = field(body, key);
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw wrongType(key, "a string");
  checkBytes(key, value, limit);
  return value;
}

function readInteger(value: unknown, path: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || Math.abs(value) > INT64_LIMIT) {
    throw wrongType(path, "an integer");
  }
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(value, Number.MAX_SAFE_INTEGER));
}

function readBoolean(object: JsonObject, key: string, path: string): boolean | undefined {
  const value = field(object, key);
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean") throw wrongType(`${path}.${key}`, "a boolean");
  return value;
}

function checkCount(what: string, count: number, limit: number): void {
  if (count > limit) throw new SyncError("invalid_param", `too many ${what}: ${count} > ${limit}`);
}

function checkBytes(what: string, text: string, limit: number): void {
  // Every UTF-16 unit is one to three bytes: only texts between the two are encoded to be measured.
  if (text.length * 3 <= limit) return;
  const bytes = text.length > limit ? text.length : byteLength(text);
  if (bytes > limit) throw new SyncError("invalid_param", `${what} is too long: ${bytes} > ${limit}`);
}
