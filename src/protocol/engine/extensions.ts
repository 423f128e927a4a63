import type { RoomNid } from "../ids.ts";
import { packReceipts } from "../receipts.ts";
import type { StoredReceipt } from "../update.ts";
import type { Draft } from "./draft.ts";
import type { DeviceData, ExtensionNeeds, ExtensionsBody, SentRooms } from "./extensions-body.ts";
import type { RoomData } from "./room-data.ts";
import type { TimelineNeed } from "./room-timelines.ts";
import type { SyncedEngine } from "./synced-room.ts";
import { heldTimeline, initialTimeline, MAX_DELTA_EVENTS } from "./timeline.ts";
import { DIRTY, DIRTY_USER, type World } from "./world.ts";

/** Which rooms' receipts and account data have to be in memory before `buildExtensions`. */
export function extensionNeeds(world: World, engine: SyncedEngine, draft: Draft): ExtensionNeeds {
  const { extensions } = engine.params;
  const receipts = extensions.receipts.enabled
    ? [...roomsOf("receipts", DIRTY.receipt, world, engine, draft)].map(([nid]) => nid)
    : [];
  const timelines = extensions.receipts.enabled ? heldNeeds(world, engine, draft) : [];
  if (!extensions.account_data.enabled) return { receipts, timelines, accountData: [] };
  const rooms: (RoomNid | 0)[] = [...roomsOf("account_data", DIRTY.accountData, world, engine, draft)].map(
    ([nid]) => nid,
  );
  const needsGlobal = draft.startedExtensions.has("account_data") || (draft.dirtyUser & DIRTY_USER.accountData) !== 0;
  return { receipts, timelines, accountData: needsGlobal ? [0, ...rooms] : rooms };
}

/** Puts the enabled extensions together (spec 9). */
export function buildExtensions(
  world: World,
  engine: SyncedEngine,
  draft: Draft,
  data: RoomData,
  device: DeviceData | null,
  sent: SentRooms,
): ExtensionsBody {
  const { extensions } = engine.params;
  const body: ExtensionsBody = {};
  if (extensions.to_device.enabled && device !== null) {
    body.toDevice = { nextBatch: device.nextBatch, events: [...device.toDevice] };
  }
  if (extensions.e2ee.enabled && device !== null) addE2ee(body, draft, device);
  if (extensions.account_data.enabled) addAccountData(body, world, engine, draft, data);
  if (extensions.receipts.enabled) {
    const rooms = new Map<string, string>();
    for (const [nid, scope] of roomsOf("receipts", DIRTY.receipt, world, engine, draft)) {
      const receipts = scope.isInitial
        ? firstReceipts(nid, world, engine, draft, data, sent)
        : data.receiptsAfter(nid, draft.since, world.userId);
      if (receipts.length > 0) rooms.set(scope.roomId, packReceipts(receipts));
    }
    if (rooms.size > 0) body.receipts = rooms;
  }
  if (extensions.typing.enabled) {
    const rooms = new Map<string, Uint8Array>();
    const scoped = roomsOf("typing", DIRTY.typing, world, engine, draft);
    // Whatever else is told of a room, who types in it is told along.
    for (const nid of sent.nids) addRoom(scoped, "typing", nid, false, world, engine);
    for (const [nid, scope] of scoped) {
      const typing = data.typing(nid);
      if (typing !== null) rooms.set(scope.roomId, typing.json);
    }
    if (rooms.size > 0) body.typing = rooms;
  }
  return body;
}

/** True when an extension has something worth an answer (spec 6.6). */
export function hasExtensionData(body: ExtensionsBody): boolean {
  return (
    (body.toDevice?.events.length ?? 0) > 0 ||
    body.e2ee !== undefined ||
    body.accountData !== undefined ||
    body.receipts !== undefined ||
    body.typing !== undefined
  );
}

/** True for a room of which this response sends the timeline whole: the client has nothing else of it. */
function isTimelineWhole(nid: RoomNid, draft: Draft): boolean {
  const room = draft.rooms.get(nid);
  return room?.kind === "initial" && room.withTimeline;
}

/** What receipts begin with: those on the events that the client has, and beside a whole timeline also what is news. */
function firstReceipts(
  nid: RoomNid,
  world: World,
  engine: SyncedEngine,
  draft: Draft,
  data: RoomData,
  sent: SentRooms,
): StoredReceipt[] {
  const { userId } = world;
  if (isTimelineWhole(nid, draft)) return data.receipts(nid, sent.timelineIds(nid), userId);
  const isStart = draft.startedExtensions.has("receipts");
  const held = isStart ? heldEvents(nid, world, engine, draft, data) : sent.timelineIds(nid);
  return [...data.receipts(nid, held, userId), ...data.receiptsAfter(nid, draft.since, userId)];
}

/** Events of a room that the client has with this response, when it was sent the room before. */
function heldEvents(
  nid: RoomNid,
  world: World,
  engine: SyncedEngine,
  { upTo }: Draft,
  data: RoomData,
): ReadonlySet<string> {
  const from = engine.synced.get(nid)?.timelineFrom ?? null;
  const tail = data.tail(nid);
  if (from !== null) return new Set(heldTimeline(world, nid, tail, from, upTo).map(({ id }) => id));
  const span = { since: null, upTo, isAsked: false };
  const { timelineLimit } = engine.configOf(nid);
  return new Set(initialTimeline(world, nid, tail, timelineLimit, span).events.map(({ id }) => id));
}

/** Timelines that `heldEvents` looks at. */
function heldNeeds(world: World, engine: SyncedEngine, draft: Draft): TimelineNeed[] {
  if (!draft.startedExtensions.has("receipts")) return [];
  const { upTo } = draft;
  return [...roomsOf("receipts", DIRTY.receipt, world, engine, draft).keys()].flatMap((nid): TimelineNeed[] => {
    if (isTimelineWhole(nid, draft)) return [];
    const from = engine.synced.get(nid)?.timelineFrom ?? null;
    if (from !== null) return [{ nid, limit: MAX_DELTA_EVENTS, since: from - 1, upTo }];
    return [{ nid, limit: engine.configOf(nid).timelineLimit, since: null, upTo }];
  });
}

function addE2ee(body: ExtensionsBody, draft: Draft, device: DeviceData): void {
  const isStart = draft.startedExtensions.has("e2ee");
  if (!isStart && (draft.dirtyUser & DIRTY_USER.device) === 0) return;
  const after = isStart ? device.deviceListsAfter : draft.since;
  const lists = device.deviceLists.filter((change) => change.pos > after && change.pos <= draft.upTo);
  const otkCounts = isStart || device.otkCountsPos > draft.since ? device.otkCounts : null;
  const fallbackKeyTypes = isStart || device.fallbackKeyTypesPos > draft.since ? device.fallbackKeyTypes : null;
  if (lists.length === 0 && otkCounts === null && fallbackKeyTypes === null) return;
  body.e2ee = {
    otkCounts,
    fallbackKeyTypes,
    lists:
      lists.length === 0
        ? null
        : {
            changed: lists.filter(({ change }) => change === "changed").map(({ target }) => target),
            left: lists.filter(({ change }) => change === "left").map(({ target }) => target),
          },
  };
}

function addAccountData(body: ExtensionsBody, world: World, engine: SyncedEngine, draft: Draft, data: RoomData): void {
  const isStart = draft.startedExtensions.has("account_data");
  let global: Uint8Array[] = [];
  if (isStart) global = data.accountData(0, 0);
  else if ((draft.dirtyUser & DIRTY_USER.accountData) !== 0) global = data.accountData(0, draft.since);
  const rooms = new Map<string, Uint8Array[]>();
  for (const [nid, scope] of roomsOf("account_data", DIRTY.accountData, world, engine, draft)) {
    const events = data.accountData(nid, scope.isInitial ? 0 : draft.since);
    if (events.length > 0) rooms.set(scope.roomId, events);
  }
  if (global.length > 0 || rooms.size > 0) body.accountData = { global, rooms };
}

type PerRoom = "account_data" | "receipts" | "typing";

interface ScopedRoom {
  roomId: string;
  isInitial: boolean;
}

/** Adds a room if the extension speaks about it at all: the user is in it, and the client wants to hear of it. */
function addRoom(
  rooms: Map<RoomNid, ScopedRoom>,
  name: PerRoom,
  nid: RoomNid,
  isInitial: boolean,
  world: World,
  engine: SyncedEngine,
): void {
  const roomId = world.meta(nid)?.roomId;
  if (roomId === undefined || rooms.get(nid)?.isInitial === true || world.standing(nid)?.membership !== "join") return;
  if (engine.inScope(name, nid, roomId)) rooms.set(nid, { roomId, isInitial });
}

/**
 * Rooms an extension speaks about in this response: those sent whole, those in view when the extension starts,
 * and those in view with a change of its kind. Ordered, each once.
 */
function roomsOf(
  name: PerRoom,
  bit: number,
  world: World,
  engine: SyncedEngine,
  draft: Draft,
): Map<RoomNid, ScopedRoom> {
  const rooms = new Map<RoomNid, ScopedRoom>();
  const add = (nid: RoomNid, isInitial: boolean): void => addRoom(rooms, name, nid, isInitial, world, engine);
  for (const { nid, kind, since } of draft.rooms.values()) {
    // Of events that were held back, what was said of them came before them.
    if (kind === "initial" || since < draft.since) add(nid, true);
  }
  if (draft.startedExtensions.has(name)) for (const nid of engine.visibleRooms()) add(nid, true);
  for (const [nid, bits] of draft.dirty) if ((bits & bit) !== 0) add(nid, false);
  return rooms;
}
