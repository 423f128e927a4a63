import { SyncError } from "../../errors.ts";
import { parseRoomId } from "../ids.ts";
import { asObject, type JsonObject } from "../json-value.ts";
import { disjointRanges, type Range } from "../ranges.ts";
import type {
  ExtensionRequest,
  ExtensionsRequest,
  FiltersRequest,
  ListRequest,
  RoomConfigRequest,
  SyncRequest,
} from "../request.ts";
import { isStickyToken } from "../sticky-events.ts";
import { excluded, isMadeUp, LAZY_MEMBERS, literal } from "../simplified-state.ts";
import {
  arrayAt,
  booleanAt,
  given,
  integerAt,
  member,
  objectAt,
  textAt,
  textsAt,
  wrongType,
} from "./request-reader.ts";

/** The name of sticky events until they are accepted. */
const STICKY_EVENTS = "org.matrix.msc4354.sticky_events";
const MAX_CONN_ID_BYTES = 255;
const MAX_TXN_ID_BYTES = 255;
const MAX_LISTS = 100;
const MAX_ROOMS = 1000;
const MAX_RANGES = 100;
/** Of all lists together: each is told whole in every response, however they overlap. */
const MAX_ALL_RANGES = 300;
const MAX_STATE = 1000;
const MAX_NAMES = 100;
const MAX_TEXT_BYTES = 1024;
const MAX_TIMELINE = 1000;
/** What MSC4186 calls an opaque identifier. */
const OPAQUE = /^[0-9A-Za-z._~-]{1,255}$/;

/** What the two forms of simplified sliding sync write differently in a request. */
export interface RequestForm {
  listKey(key: string): void;
  listCount(count: number): void;
  roomCount(count: number): void;
  config(config: JsonObject, path: string): RoomConfigRequest;
  /** Windows and the like of a list. */
  window(list: JsonObject, path: string): Pick<ListRequest, "ranges" | "windows" | "slow_get_all_rooms">;
  filters(filters: JsonObject, path: string): FiltersRequest;
  /** Names under which an extension may be asked for; it answers under the one that was used. */
  extensionNames(name: keyof ExtensionsRequest): readonly string[];
}

/** Reads a body in one of its forms; throws `bad_json` for a wrong type and `invalid_param` for too much. */
export function readSimplified(json: unknown, form: RequestForm): SyncRequest {
  const body = asObject(json);
  if (body === null) throw wrongType("the request", "an object");
  const { extensions, extension_names } = readExtensions(body, form);
  return given({
    txn_id: textAt(body, "txn_id", "", MAX_TXN_ID_BYTES),
    conn_id: textAt(body, "conn_id", "", MAX_CONN_ID_BYTES),
    lists: readLists(body, form),
    room_subscriptions: readSubscriptions(body, form),
    extensions,
    extension_names,
  });
}

function readLists(body: JsonObject, form: RequestForm): SyncRequest["lists"] {
  const lists = objectAt(body, "lists", "");
  if (lists === undefined) return undefined;
  const entries = Object.entries(lists);
  form.listCount(entries.length);
  const read = entries.map(([key, value]): [string, ListRequest] => {
    form.listKey(key);
    const path = `lists[${key}].`;
    const list = asObject(value);
    if (list === null) throw wrongType(`lists[${key}]`, "an object");
    const filters = objectAt(list, "filters", path);
    return [
      key,
      given({
        ...form.config(list, path),
        ...form.window(list, path),
        filters: filters === undefined ? undefined : form.filters(filters, `${path}filters.`),
      }),
    ];
  });
  const rangeCount = read.reduce((sum, [, { windows = [] }]) => sum + windows.length, 0);
  tooMuch("invalid_param", "ranges", rangeCount, MAX_ALL_RANGES);
  return Object.fromEntries(read);
}

function readSubscriptions(body: JsonObject, form: RequestForm): SyncRequest["room_subscriptions"] {
  const rooms = objectAt(body, "room_subscriptions", "");
  if (rooms === undefined) return undefined;
  const entries = Object.entries(rooms);
  form.roomCount(entries.length);
  const read: [string, RoomConfigRequest][] = [];
  for (const [roomId, value] of entries) {
    const config = asObject(value);
    if (config === null) throw wrongType(`room_subscriptions[${roomId}]`, "an object");
    const wanted = form.config(config, `room_subscriptions[${roomId}].`);
    // Rooms that cannot exist are treated like rooms the user is not in.
    if (parseRoomId(roomId) !== null) read.push([roomId, wanted]);
  }
  return Object.fromEntries(read);
}

const EXTENSIONS = ["to_device", "e2ee", "account_data", "receipts", "typing"] as const;

function readExtensions(
  body: JsonObject,
  form: RequestForm,
): { extensions: ExtensionsRequest | undefined; extension_names: Record<string, string> | undefined } {
  const extensions = objectAt(body, "extensions", "");
  if (extensions === undefined) return { extensions: undefined, extension_names: undefined };
  const read: ExtensionsRequest = {};
  const names: Record<string, string> = {};
  for (const name of EXTENSIONS) {
    const used = form.extensionNames(name).find((alias) => member(extensions, alias) !== undefined);
    if (used === undefined) continue;
    const path = `extensions.${used}.`;
    const extension = objectAt(extensions, used, "extensions.") ?? {};
    if (used !== name) names[name] = used;
    read[name] = name === "to_device" ? readToDevice(extension, path) : readExtension(extension, path);
  }
  const sticky = form.extensionNames("sticky_events").find((alias) => Object.hasOwn(extensions, alias));
  if (sticky !== undefined) {
    names["sticky_events"] = sticky;
    read.sticky_events = readStickyEvents(extensions[sticky], `extensions.${sticky}`);
  }
  return { extensions: read, extension_names: Object.keys(names).length === 0 ? undefined : names };
}

function readExtension(extension: JsonObject, path: string): ExtensionRequest {
  const scope = (name: "lists" | "rooms"): string[] | undefined =>
    // Said to be nothing, it speaks of nothing.
    Object.hasOwn(extension, name) && extension[name] === null ? [] : textsAt(extension, name, path, MAX_ROOMS);
  return given({ enabled: booleanAt(extension, "enabled", path), lists: scope("lists"), rooms: scope("rooms") });
}

/** A `since` that is none of ours is as good as none: it never fails a request. */
function readToDevice(extension: JsonObject, path: string): NonNullable<ExtensionsRequest["to_device"]> {
  const since = member(extension, "since");
  const limit = member(extension, "limit");
  return given({
    ...readExtension(extension, path),
    limit: typeof limit === "number" && Number.isSafeInteger(limit) && limit > 0 ? Math.min(limit, 100) : undefined,
    since: typeof since === "string" && since !== "" && since.length <= MAX_TEXT_BYTES ? since : undefined,
  });
}

/** Nothing of it may be `null`, and its token is one of sticky events or none. */
function readStickyEvents(value: unknown, path: string): NonNullable<ExtensionsRequest["sticky_events"]> {
  const extension = asObject(value);
  if (extension === null) throw wrongType(path, "an object");
  for (const name of ["enabled", "limit", "since"])
    if (extension[name] === null) throw wrongType(`${path}.${name}`, "set");
  const limit = integerAt(extension, "limit", `${path}.`);
  if (limit !== undefined && limit < 0) throw wrongType(`${path}.limit`, "a count");
  const { since } = extension;
  if (since !== undefined && !(typeof since === "string" && isStickyToken(since)))
    throw wrongType(`${path}.since`, "a token of sticky events");
  return given({ enabled: booleanAt(extension, "enabled", `${path}.`), limit, since });
}

function readTypes(filters: JsonObject, name: string, path: string): (string | null)[] | undefined {
  return arrayAt(filters, name, path, MAX_NAMES)?.map((item, index) => {
    if (item !== null && typeof item !== "string") throw wrongType(`${path}${name}[${index}]`, "a string or null");
    return item;
  });
}

const readFilters = (filters: JsonObject, path: string, isInvite: string): FiltersRequest =>
  given({
    is_dm: booleanAt(filters, "is_dm", path),
    is_encrypted: booleanAt(filters, "is_encrypted", path),
    is_invite: booleanAt(filters, isInvite, path),
    room_types: readTypes(filters, "room_types", path),
    not_room_types: readTypes(filters, "not_room_types", path),
    tags: textsAt(filters, "tags", path, MAX_NAMES),
    not_tags: textsAt(filters, "not_tags", path, MAX_NAMES),
    spaces: textsAt(filters, "spaces", path, MAX_NAMES),
  });

/** The one window that is asked for; it may end before it begins, and is empty then. */
function readRange(value: unknown, path: string): Range {
  if (!Array.isArray(value) || value.length !== 2) throw wrongType(path, "a pair of integers");
  const [start, end] = value as unknown[];
  const isIndex = (index: unknown): index is number =>
    typeof index === "number" && Number.isSafeInteger(index) && index >= 0;
  if (!isIndex(start) || !isIndex(end)) throw wrongType(path, "a pair of integers from 0 on");
  return [start, end];
}

function tooMuch(code: "bad_json" | "invalid_param", what: string, count: number, most: number): void {
  if (count > most) throw new SyncError(code, `too many ${what}: ${count} > ${most}`);
}

/** What is to be sent of a room may be left out, but not be nothing. */
function mayNotBeNull(config: JsonObject, path: string): void {
  for (const name of ["required_state", "timeline_limit"]) {
    if (config[name] === null) throw new SyncError("bad_json", `${path}${name} is null`);
  }
}

/** `org.matrix.simplified_msc3575`. */
export const UNSTABLE_FORM: RequestForm = {
  listKey(key) {
    if (key.length > 64) throw new SyncError("bad_json", "list key is longer than 64 characters");
  },
  listCount: (count) => tooMuch("bad_json", "lists", count, MAX_LISTS),
  roomCount: (count) => tooMuch("invalid_param", "room subscriptions", count, MAX_ROOMS),
  config(config, path) {
    mayNotBeNull(config, path);
    const limit = integerAt(config, "timeline_limit", path) ?? 0;
    if (limit > MAX_TIMELINE) throw new SyncError("bad_json", `${path}timeline_limit is larger than ${MAX_TIMELINE}`);
    const required_state = (arrayAt(config, "required_state", path, MAX_STATE) ?? [])
      .map((item, index): [string, string] => {
        const [type, key, ...more] = Array.isArray(item) ? (item as unknown[]) : [];
        const where = `${path}required_state[${index}]`;
        if (typeof type === "string" && (item as unknown[]).length === 1) {
          throw new SyncError("missing_param", `${where} has no state key`);
        }
        if (typeof type !== "string" || typeof key !== "string" || more.length > 0) {
          throw wrongType(where, "a type and a state key");
        }
        return [type, key];
      })
      .filter(([type, key]) => !isMadeUp(type) && !isMadeUp(key));
    return { timeline_limit: Math.max(0, limit), required_state };
  },
  window(list, path) {
    booleanAt(list, "slow_get_all_rooms", path);
    const windows = (arrayAt(list, "ranges", path, MAX_RANGES) ?? []).map((range, index) =>
      readRange(range, `${path}ranges[${index}]`),
    );
    return { ranges: disjointRanges(windows), windows: windows.map(([start, end]) => [start, end]) };
  },
  filters: (filters, path) => readFilters(filters, path, "is_invite"),
  extensionNames: (name) => (name === "sticky_events" ? [STICKY_EVENTS] : [name]),
};

/** MSC4186 as it was merged. */
export const V4_FORM: RequestForm = {
  listKey(key) {
    if (!OPAQUE.test(key)) throw new SyncError("invalid_param", "list key is not an opaque identifier");
  },
  listCount: (count) => tooMuch("invalid_param", "lists", count, MAX_LISTS),
  roomCount: (count) => tooMuch("invalid_param", "room subscriptions", count, 100),
  config(config, path) {
    mayNotBeNull(config, path);
    const state = objectAt(config, "required_state", path) ?? {};
    const inner = `${path}required_state.`;
    const required = readPatterns(state, "include", inner);
    for (const pattern of readPatterns(state, "exclude", inner)) required.push(excluded(pattern));
    if (booleanAt(state, "lazy_members", inner) === true) required.push(LAZY_MEMBERS);
    return { timeline_limit: Math.max(0, integerAt(config, "timeline_limit", path) ?? 0), required_state: required };
  },
  window(list, path) {
    const range = member(list, "range");
    if (range === undefined) return { ranges: [], slow_get_all_rooms: true };
    return { ranges: disjointRanges([readRange(range, `${path}range`)]) };
  },
  filters: (filters, path) => readFilters(filters, path, "is_invited"),
  extensionNames: (name) => {
    if (name === "sticky_events") return [name, STICKY_EVENTS];
    return name === "typing" ? [name, "org.matrix.msc4508.typing"] : [name];
  },
};

function readPatterns(state: JsonObject, name: string, path: string): [string, string][] {
  return (arrayAt(state, name, path, MAX_STATE) ?? []).map((item, index): [string, string] => {
    const pattern = asObject(item);
    if (pattern === null) throw wrongType(`${path}${name}[${index}]`, "an object");
    const inner = `${path}${name}[${index}].`;
    const type = textAt(pattern, "type", inner, MAX_TEXT_BYTES);
    const key = textAt(pattern, "state_key", inner, MAX_TEXT_BYTES);
    return [type === undefined ? "*" : literal(type), key === undefined ? "*" : literal(key)];
  });
}
