import { SyncError } from "../errors.ts";
import { sameJson } from "./same-json.ts";
import type { Range } from "./ranges.ts";
import type {
  ExtensionRequest,
  ExtensionsRequest,
  FiltersRequest,
  ListRequest,
  RoomConfigRequest,
  SyncRequest,
} from "./request.ts";
import { sameRequiredState, uniteSelections } from "./required-state.ts";

/** How much of a room a client wants. */
export interface RoomConfig {
  requiredState: [type: string, stateKey: string][];
  timelineLimit: number;
  includeHeroes: boolean;
  /** What is wanted of the rooms this one replaced; null = nothing. */
  includeOldRooms: OldRoomsConfig | null;
}

/** How much of a predecessor a client wants. */
export type OldRoomsConfig = Pick<RoomConfig, "requiredState" | "timelineLimit" | "includeHeroes">;

/** All remembered parameters of one list. */
export interface ListParams extends RoomConfig {
  ranges: Range[];
  /** As they were asked for, where they may overlap. */
  windows?: Range[];
  sort: string[];
  filters: FiltersRequest;
  slowGetAllRooms: boolean;
  bumpEventTypes: string[];
}

/** All remembered parameters of one extension. */
export interface ExtensionParams {
  enabled: boolean;
  lists: string[];
  rooms: string[];
}

export interface ToDeviceParams extends ExtensionParams {
  limit: number;
  since: string;
}

/** Of sticky events, which have scopes of their own: every room in a list or subscription. */
export interface StickyEventsParams {
  enabled: boolean;
  limit: number;
  /** "" = none. */
  since: string;
}

/** Everything a connection remembers of its requests: plain JSON, because it is stored. */
export interface StickyParams {
  lists: Record<string, ListParams>;
  subscriptions: Record<string, RoomConfig>;
  extensions: {
    to_device: ToDeviceParams;
    e2ee: ExtensionParams;
    account_data: ExtensionParams;
    receipts: ExtensionParams;
    typing: ExtensionParams;
    sticky_events: StickyEventsParams;
  };
}

/** What a request changed about one list. */
export interface ListMerge {
  isNew: boolean;
  /** Sort, filters or `slow_get_all_rooms` changed: the list is made anew. */
  rebuilt: boolean;
  rangesChanged: boolean;
  timelineChanged: boolean;
  stateChanged: boolean;
  before: ListParams | null;
}

export interface MergedRequest {
  params: StickyParams;
  /** Lists the request mentions and does not delete. */
  lists: Record<string, ListMerge>;
  /** Lists that existed and are gone. */
  deletedLists: string[];
  /** Rooms newly subscribed, or whose timeline limit or required state changed. */
  subscribed: string[];
  /** Rooms that were subscribed and are not any more. */
  unsubscribed: string[];
  /** False when `params` are what they were. */
  changed: boolean;
}

/** Lists of one connection; more are refused. */
export const MAX_LISTS = 100;
/** Room subscriptions of one connection: many requests may add up to more than one request may hold. */
const MAX_SUBSCRIPTIONS = 10_000;
/** Everything a connection remembers, as text: it is stored whole whenever it changes. */
const MAX_PARAMS_CHARS = 2 * 1024 * 1024;
const DEFAULT_SORT = ["by_recency"];
const DEFAULT_TO_DEVICE_LIMIT = 100;
/** Bounds what one response carries of a backlog; the rest follows with the next ones. */
const MAX_TO_DEVICE_LIMIT = 1000;

/** Sticky events of one response, as MSC4354 has it. */
const DEFAULT_STICKY_LIMIT = 100;

const OFF: ExtensionParams = { enabled: false, lists: ["*"], rooms: ["*"] };

/** Parameters of a connection that has not been asked anything. */
export const EMPTY_PARAMS: StickyParams = {
  lists: {},
  subscriptions: {},
  extensions: {
    to_device: { ...OFF, limit: DEFAULT_TO_DEVICE_LIMIT, since: "" },
    e2ee: OFF,
    account_data: OFF,
    receipts: OFF,
    typing: OFF,
    sticky_events: { enabled: false, limit: DEFAULT_STICKY_LIMIT, since: "" },
  },
};

/**
 * Applies a request to what is remembered; what it does not mention stays. Parts that do not change keep their identity.
 * Throws `invalid_param` when the connection would remember too much.
 */
export function mergeRequest(before: StickyParams, request: SyncRequest): MergedRequest {
  const { lists, changes, deletedLists } = mergeLists(before.lists, request.lists ?? {});
  const { subscriptions, subscribed, unsubscribed } = mergeSubscriptions(before.subscriptions, request);
  const extensions = mergeExtensions(before.extensions, request.extensions ?? {});
  const changed = lists !== before.lists || subscriptions !== before.subscriptions || extensions !== before.extensions;
  const params = changed ? { lists, subscriptions, extensions } : before;
  // What changes with nearly every request, the to-device position, is bounded by itself.
  if (lists !== before.lists || subscriptions !== before.subscriptions) checkSize(params);
  return {
    params,
    lists: changes,
    deletedLists,
    subscribed,
    unsubscribed,
    changed,
  };
}

function checkSize(params: StickyParams): void {
  const size = JSON.stringify(params).length;
  if (size <= MAX_PARAMS_CHARS) return;
  throw new SyncError("invalid_param", `parameters of the connection are too large: ${size} > ${MAX_PARAMS_CHARS}`);
}

/** Makes one `required_state` of two. */
type UniteState = (a: [string, string][], b: [string, string][]) => [string, string][];

/** One config that gives everybody what they asked for; `unite`: as the dialect reads its `required_state`. */
export function combineConfigs(configs: readonly RoomConfig[], unite: UniteState = uniteSelections): RoomConfig {
  let requiredState: [string, string][] = [];
  let timelineLimit = 0;
  let includeHeroes = false;
  let includeOldRooms: OldRoomsConfig | null = null;
  for (const config of configs) {
    requiredState = joinState(requiredState, config.requiredState, unite);
    timelineLimit = Math.max(timelineLimit, config.timelineLimit);
    includeHeroes ||= config.includeHeroes;
    includeOldRooms = joinOldRooms(includeOldRooms, config.includeOldRooms, unite);
  }
  return { requiredState, timelineLimit, includeHeroes, includeOldRooms };
}

/** Keeps the array itself where the other side adds nothing: most rooms come from one list. */
function joinState(a: [string, string][], b: [string, string][], unite: UniteState): [string, string][] {
  if (a.length === 0 || sameRequiredState(a, b)) return b;
  return b.length === 0 ? a : unite(a, b);
}

function joinOldRooms(a: OldRoomsConfig | null, b: OldRoomsConfig | null, unite: UniteState): OldRoomsConfig | null {
  if (a === null || b === null) return a ?? b;
  return {
    requiredState: joinState(a.requiredState, b.requiredState, unite),
    timelineLimit: Math.max(a.timelineLimit, b.timelineLimit),
    includeHeroes: a.includeHeroes || b.includeHeroes,
  };
}

/** Client-chosen keys may be `__proto__` or `constructor`: only own properties count. */
const own = <V>(record: Record<string, V>, key: string): V | null =>
  Object.hasOwn(record, key) ? (record[key] ?? null) : null;

interface MergedLists {
  lists: Record<string, ListParams>;
  changes: Record<string, ListMerge>;
  deletedLists: string[];
}

function mergeLists(before: Record<string, ListParams>, requests: Record<string, ListRequest>): MergedLists {
  const lists = new Map(Object.entries(before));
  const changes = new Map<string, ListMerge>();
  const deletedLists: string[] = [];
  let isSame = true;
  for (const [key, request] of Object.entries(requests)) {
    const known = own(before, key);
    if (request.deleted === true) {
      if (!lists.delete(key)) continue;
      deletedLists.push(key);
      isSame = false;
      continue;
    }
    const merged = mergeList(known, request);
    if (merged !== known) isSame = false;
    lists.set(key, merged);
    changes.set(key, listMerge(known, merged));
  }
  if (lists.size > MAX_LISTS) throw new SyncError("invalid_param", `too many lists: ${lists.size} > ${MAX_LISTS}`);
  return { lists: isSame ? before : Object.fromEntries(lists), changes: Object.fromEntries(changes), deletedLists };
}

function listMerge(before: ListParams | null, after: ListParams): ListMerge {
  if (before === null) {
    return { isNew: true, rebuilt: false, rangesChanged: false, timelineChanged: false, stateChanged: false, before };
  }
  return {
    isNew: false,
    rebuilt:
      before.slowGetAllRooms !== after.slowGetAllRooms ||
      !sameJson(before.sort, after.sort) ||
      !sameFilters(before.filters, after.filters),
    rangesChanged: !sameJson(before.ranges, after.ranges),
    timelineChanged: before.timelineLimit !== after.timelineLimit,
    stateChanged: !sameRequiredState(before.requiredState, after.requiredState),
    before,
  };
}

const NEW_LIST: ListParams = {
  ranges: [],
  sort: DEFAULT_SORT,
  filters: {},
  slowGetAllRooms: false,
  bumpEventTypes: [],
  requiredState: [],
  timelineLimit: 0,
  includeHeroes: false,
  includeOldRooms: null,
};

function mergeList(known: ListParams | null, request: ListRequest): ListParams {
  const before = known ?? NEW_LIST;
  // An empty sort has no meaning of its own: it is the same as none at first.
  const sort = request.sort?.length === 0 ? DEFAULT_SORT : request.sort;
  const after: ListParams = {
    ranges: request.ranges ?? before.ranges,
    ...(request.windows === undefined ? {} : { windows: request.windows }),
    sort: sort ?? before.sort,
    filters: request.filters ?? before.filters,
    slowGetAllRooms: request.slow_get_all_rooms ?? before.slowGetAllRooms,
    bumpEventTypes: request.bump_event_types ?? before.bumpEventTypes,
    requiredState: request.required_state ?? before.requiredState,
    timelineLimit: Math.max(0, request.timeline_limit ?? before.timelineLimit),
    includeHeroes: request.include_heroes ?? before.includeHeroes,
    includeOldRooms:
      request.include_old_rooms === undefined ? before.includeOldRooms : oldRooms(request.include_old_rooms),
  };
  return known !== null && sameJson(known, after) ? known : after;
}

function oldRooms(request: NonNullable<RoomConfigRequest["include_old_rooms"]>): OldRoomsConfig {
  return {
    requiredState: request.required_state ?? [],
    timelineLimit: Math.max(0, request.timeline_limit ?? 0),
    includeHeroes: request.include_heroes ?? false,
  };
}

interface MergedSubscriptions {
  subscriptions: Record<string, RoomConfig>;
  subscribed: string[];
  unsubscribed: string[];
}

function mergeSubscriptions(before: Record<string, RoomConfig>, request: SyncRequest): MergedSubscriptions {
  const requests = request.room_subscriptions ?? {};
  // Unsubscribing is applied after the subscriptions of the same request.
  const ended = new Set(request.unsubscribe_rooms);
  const subscribed: string[] = [];
  const unsubscribed = [...ended].filter((roomId) => own(before, roomId) !== null);
  const changes = new Map<string, RoomConfig>();
  for (const [roomId, config] of Object.entries(requests)) {
    if (ended.has(roomId)) continue;
    const known = own(before, roomId);
    const after = subscription(config);
    if (known !== null && sameJson(known, after)) continue;
    changes.set(roomId, after);
    if (
      known === null ||
      known.timelineLimit !== after.timelineLimit ||
      !sameRequiredState(known.requiredState, after.requiredState)
    ) {
      subscribed.push(roomId);
    }
  }
  if (changes.size === 0 && unsubscribed.length === 0) return { subscriptions: before, subscribed, unsubscribed };
  const subscriptions = new Map([...Object.entries(before), ...changes]);
  for (const roomId of unsubscribed) subscriptions.delete(roomId);
  if (subscriptions.size > MAX_SUBSCRIPTIONS) {
    throw new SyncError("invalid_param", `too many room subscriptions: ${subscriptions.size} > ${MAX_SUBSCRIPTIONS}`);
  }
  return { subscriptions: Object.fromEntries(subscriptions), subscribed, unsubscribed };
}

function subscription(request: RoomConfigRequest): RoomConfig {
  return {
    requiredState: request.required_state ?? [],
    timelineLimit: Math.max(0, request.timeline_limit ?? 0),
    includeHeroes: request.include_heroes ?? false,
    includeOldRooms: request.include_old_rooms === undefined ? null : oldRooms(request.include_old_rooms),
  };
}

function mergeExtensions(before: StickyParams["extensions"], request: ExtensionsRequest): StickyParams["extensions"] {
  const after: StickyParams["extensions"] = {
    to_device: mergeToDevice(before.to_device, request.to_device),
    e2ee: mergeExtension(before.e2ee, request.e2ee),
    account_data: mergeExtension(before.account_data, request.account_data),
    receipts: mergeExtension(before.receipts, request.receipts),
    typing: mergeExtension(before.typing, request.typing),
    sticky_events: mergeStickyEvents(before.sticky_events, request.sticky_events),
  };
  // Parts that stayed are the very same.
  const isSame =
    before.to_device === after.to_device &&
    before.e2ee === after.e2ee &&
    before.account_data === after.account_data &&
    before.receipts === after.receipts &&
    before.typing === after.typing &&
    before.sticky_events === after.sticky_events;
  return isSame ? before : after;
}

function mergeExtension(before: ExtensionParams, request: ExtensionRequest | undefined): ExtensionParams {
  if (request === undefined) return before;
  const after = {
    enabled: request.enabled ?? before.enabled,
    lists: request.lists ?? before.lists,
    rooms: request.rooms ?? before.rooms,
  };
  return sameJson(before, after) ? before : after;
}

function mergeToDevice(before: ToDeviceParams, request: ExtensionsRequest["to_device"]): ToDeviceParams {
  if (request === undefined) return before;
  const limit = request.limit ?? before.limit;
  const after = {
    enabled: request.enabled ?? before.enabled,
    lists: request.lists ?? before.lists,
    rooms: request.rooms ?? before.rooms,
    limit: limit > 0 ? Math.min(limit, MAX_TO_DEVICE_LIMIT) : before.limit,
    since: request.since ?? before.since,
  };
  return sameJson(before, after) ? before : after;
}

function mergeStickyEvents(
  before: StickyEventsParams,
  request: ExtensionsRequest["sticky_events"],
): StickyEventsParams {
  if (request === undefined) return before;
  const after = { ...before, ...request, limit: Math.min(request.limit ?? before.limit, DEFAULT_STICKY_LIMIT) };
  return sameJson(before, after) ? before : after;
}

/** Filters are equal whatever the order of their keys. */
function sameFilters(a: FiltersRequest, b: FiltersRequest): boolean {
  return a === b || sameJson(sortedEntries(a), sortedEntries(b));
}

const sortedEntries = (filters: FiltersRequest): [string, unknown][] =>
  Object.entries(filters).sort(([a], [b]) => (a < b ? -1 : 1));
