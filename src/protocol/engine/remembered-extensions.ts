import type { RoomNid, StreamPos } from "../ids.ts";
import { isWithoutTags } from "../account-data.ts";
import { packReceipts } from "../receipts.ts";
import type { Draft } from "./draft.ts";
import type { DeviceData, ExtensionNeeds, ExtensionsBody, SentRooms } from "./extensions-body.ts";
import { LIVE, NEVER } from "./held-room.ts";
import type { Remembering } from "./remembering-api.ts";
import type { RoomData } from "./room-data.ts";
import { DIRTY, DIRTY_USER, type World } from "./world.ts";

type PerRoom = "account_data" | "receipts" | "typing";

interface ScopedRoom {
  roomId: string;
  /** What the client has of it. */
  upTo: StreamPos;
}

/** Which rooms' receipts and account data have to be in memory. */
export function rememberedExtensionNeeds(world: World, engine: Remembering, draft: Draft): ExtensionNeeds {
  const { extensions } = engine.params;
  const receipts = extensions.receipts.enabled ? [...roomsOf("receipts", world, engine, draft).keys()] : [];
  if (!extensions.account_data.enabled) return { receipts, accountData: [] };
  const rooms = [...roomsOf("account_data", world, engine, draft).keys()];
  return { receipts, accountData: needsGlobal(draft) ? [0, ...rooms] : rooms };
}

const needsGlobal = (draft: Draft): boolean =>
  draft.startedExtensions.has("account_data") || (draft.dirtyUser & DIRTY_USER.accountData) !== 0;

/** Puts the enabled extensions together; each says something, be it that there is nothing. */
export function buildRememberedExtensions(
  world: World,
  engine: Remembering,
  draft: Draft,
  data: RoomData,
  device: DeviceData | null,
  sent: SentRooms,
): ExtensionsBody {
  const { extensions } = engine.params;
  const body: ExtensionsBody = { names: engine.extensionNames };
  if (extensions.to_device.enabled && device !== null) {
    body.toDevice = { nextBatch: device.nextBatch, events: [...device.toDevice] };
  }
  if (extensions.e2ee.enabled && device !== null) addE2ee(body, draft, device);
  if (extensions.account_data.enabled) {
    let global: Uint8Array[] = [];
    if (draft.startedExtensions.has("account_data")) global = data.accountData(0, 0);
    else if (needsGlobal(draft)) global = data.accountData(0, draft.since);
    const rooms = new Map<string, Uint8Array[]>();
    const told = roomsOf("account_data", world, engine, draft);
    engine.held.tell("account_data", [...told.keys()]);
    for (const [nid, { roomId, upTo }] of told) {
      const found = data.accountData(nid, after(upTo, draft));
      // That there are no tags any more is told to who was told of some.
      const events = upTo === NEVER ? found.filter((event) => !isWithoutTags(event)) : found;
      if (events.length > 0) rooms.set(roomId, events);
    }
    body.accountData = { global, rooms };
  }
  if (extensions.receipts.enabled) body.receipts = receiptsOf(world, engine, draft, data, sent);
  if (extensions.typing.enabled) {
    const rooms = new Map<string, Uint8Array>();
    for (const [nid, { roomId }] of roomsOf("typing", world, engine, draft)) {
      const typing = world.standing(nid)?.membership === "join" ? data.typing(nid) : null;
      if (typing === null) continue;
      const isChanged = ((draft.dirty.get(nid) ?? 0) & DIRTY.typing) !== 0 && !draft.isFirst;
      if (typing.userIds.length > 0 || isChanged) rooms.set(roomId, typing.json);
    }
    body.typing = rooms;
  }
  return body;
}

/** True when an extension has something that ends a wait: key counts and empty bodies do not. */
export function hasRememberedData(body: ExtensionsBody): boolean {
  const { toDevice, e2ee, accountData, receipts, typing, sticky } = body;
  return (
    (toDevice?.events.length ?? 0) > 0 ||
    (e2ee?.lists != null && e2ee.lists.changed.length + e2ee.lists.left.length > 0) ||
    (accountData?.global.length ?? 0) + (accountData?.rooms.size ?? 0) > 0 ||
    (receipts?.size ?? 0) > 0 ||
    (typing?.size ?? 0) > 0 ||
    sticky !== undefined
  );
}

function addE2ee(body: ExtensionsBody, draft: Draft, device: DeviceData): void {
  const lists = device.deviceLists.filter(({ pos }) => pos > draft.since && pos <= draft.upTo);
  body.e2ee = {
    otkCounts: device.otkCounts ?? '{"signed_curve25519":0}',
    fallbackKeyTypes: device.fallbackKeyTypes ?? "[]",
    // Who asks for the first time has to look at everybody anyway.
    lists: draft.isFirst
      ? null
      : {
          changed: lists.filter(({ change }) => change === "changed").map(({ target }) => target),
          left: lists.filter(({ change }) => change === "left").map(({ target }) => target),
        },
  };
}

function receiptsOf(
  world: World,
  engine: Remembering,
  draft: Draft,
  data: RoomData,
  sent: SentRooms,
): Map<string, string> {
  const rooms = new Map<string, string>();
  const told = roomsOf("receipts", world, engine, draft);
  engine.held.tell("receipts", [...told.keys()]);
  for (const [nid, { roomId, upTo }] of told) {
    const room = draft.rooms.get(nid);
    const isWhole = upTo === NEVER || room?.kind === "initial" || room?.isExpanded === true;
    const standing = world.standing(nid);
    // Who reads on after the user left, or before they came, is none of their business.
    const lastPos = standing?.membership === "join" ? LIVE : (standing?.leftPos ?? 0);
    const receipts = (
      isWhole
        ? data.receipts(nid, sent.timelineIds(nid), world.userId)
        : data.receiptsAfter(nid, after(upTo, draft), world.userId)
    ).filter(({ pos, userId }) => pos <= lastPos || userId === world.userId);
    if (receipts.length > 0) rooms.set(roomId, packReceipts(receipts));
  }
  return rooms;
}

const after = (upTo: StreamPos, draft: Draft): StreamPos => (upTo === LIVE ? draft.since : Math.max(0, upTo));

const BITS = { account_data: DIRTY.accountData, receipts: DIRTY.receipt, typing: DIRTY.typing } as const;

/** Rooms in its scope of which an extension may have something to say. */
function roomsOf(name: PerRoom, world: World, engine: Remembering, draft: Draft): Map<RoomNid, ScopedRoom> {
  const rooms = new Map<RoomNid, ScopedRoom>();
  const add = (nid: RoomNid, isChanged: boolean): void => {
    if (rooms.has(nid)) return;
    const held = engine.held.get(nid);
    let upTo: StreamPos = NEVER;
    if (name === "receipts") upTo = held?.receiptsUpTo ?? NEVER;
    if (name === "account_data") upTo = held?.accountDataUpTo ?? NEVER;
    const room = draft.rooms.get(nid);
    const isWhole = room?.kind === "initial" || (name === "receipts" && room?.isExpanded === true);
    if (!isChanged && upTo === LIVE && !isWhole) return;
    const roomId = world.meta(nid)?.roomId;
    if (roomId !== undefined && engine.inScope(name, nid, roomId)) rooms.set(nid, { roomId, upTo });
  };
  for (const [nid, bits] of draft.dirty) if ((bits & BITS[name]) !== 0) add(nid, true);
  // Who types is told when it changes and to who comes to see the room: other news of it are none of typing.
  for (const [nid, { kind }] of draft.rooms) if (name !== "typing" || kind === "initial") add(nid, false);
  for (const nid of draft.shown ?? []) add(nid, false);
  return rooms;
}
