import { isUtf8 } from "node:buffer";
import type { DeviceId, RoomId, StreamPos, UserId } from "#src/protocol/ids.ts";
import { parseRoomId } from "#src/protocol/ids.ts";
import { type PollBatch, newBatch } from "#src/protocol/poll-batch.ts";
import { EventReader, MAX_EVENT_BYTES, identifierFault } from "./event-fields.ts";
import { decodeString, stringAt } from "./json-text.ts";
import type { EventsMemo } from "./events-memo.ts";
import { RejectLog } from "./reject-log.ts";
import { readAccountData, readRoom } from "./room-reader.ts";
import { FAIL, bodyStart, byteAt, eachMember, isObjectAt, skipSpace, skipValue } from "./slicer.ts";
import { readDeviceLists, readJsonText, readToDevice } from "./device-reader.ts";

/** Sections of `rooms`, in the order in which they are stored: an invite must not be undone by a leave of the same poll. */
const SECTIONS = ["join", "leave", "invite", "knock"] as const;
export type RoomSection = (typeof SECTIONS)[number];

/** Longest `next_batch` taken; those of real homeservers have tens to hundreds of bytes. */
const MAX_SINCE_BYTES = 16 * 1024;

/** Bodies that are larger get several batches, so that live traffic is not held up by one transaction. */
export const PIECE_BYTES = 1024 * 1024;

/** Where one room lies in a body. */
interface RoomSlice {
  section: RoomSection;
  roomId: RoomId;
  at: number;
  end: number;
}

/** Where everything lies in the body of one poll; FAIL = absent. */
export interface SyncOutline {
  readonly bytes: Buffer;
  readonly isUtf8: boolean;
  /** "" when the homeserver gave none. */
  readonly nextBatch: string;
  /** The homeserver's token of behind all that is in the rooms; "" when it gave none. */
  readonly roomsEnd: string;
  readonly rooms: readonly RoomSlice[];
  readonly accountData: number;
  readonly toDevice: number;
  readonly deviceLists: number;
  readonly otkCounts: number;
  readonly fallbackKeyTypes: number;
  /** What could not be taken while finding the rooms. */
  readonly rejects: RejectLog;
}

/** Whose poll it is. */
export interface PollOrigin {
  userId: UserId;
  deviceId: DeviceId;
  isFirstSync: boolean;
  hasSyncedBefore?: true;
  roomsAreDue?: true;
  polledAt?: StreamPos;
  traceparent: string | null;
}

export interface PieceLimits {
  /** A piece ends with the room that reaches this. */
  pieceBytes?: number;
  maxEventBytes?: number;
  memo?: EventsMemo;
}

/** One batch and where the next one begins; null after the last, which carries `since`. */
export interface SyncPiece {
  batch: PollBatch;
  nextRoom: number | null;
  /** All that was skipped; `batch.rejected` holds a bounded part of it. */
  rejectedCount: number;
}

type Offsets = Record<string, number>;

/** The rooms of `rooms`, and where that ends. */
interface FoundRooms {
  sections: Partial<Record<RoomSection, readonly RoomSlice[]>>;
  rejects: RejectLog;
  end: number;
}

/** Names under which a member is sent, the one to prefer first. */
const FALLBACK_KEY_NAMES = [
  "device_unused_fallback_key_types",
  "org.matrix.msc2732.device_unused_fallback_key_types",
] as const;

/**
 * Finds the sections and rooms of a body; a string says why it is unreadable as a whole. Only a complete body is readable:
 * a `next_batch` in front of missing data must not be believed.
 */
export function outlineSync(body: Uint8Array): SyncOutline | string {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const end = bytes.length;
  const start = bodyStart(bytes);
  const top: Offsets = {};
  let found: FoundRooms = { sections: {}, rejects: new RejectLog(), end: FAIL };
  if (start === end) return "empty body";
  const isNull = byteAt(bytes, start, end) === 0x6e;
  if (!isNull && !isObjectAt(bytes, start, end)) return "not a json object";
  const after = isNull
    ? skipValue(bytes, start, end)
    : eachMember(bytes, start, end, (keyStart, keyEnd, valueAt) => {
        const key = decodeString(bytes, keyStart, keyEnd);
        if (key !== null) top[key] = valueAt;
        // Nearly all of a body: walked here, so that it is not skipped first and walked later.
        if (key === "rooms") found = findRooms(bytes, valueAt, end);
        return key === "rooms" ? found.end : skipValue(bytes, valueAt, end);
      });
  if (after === FAIL) return "truncated or malformed json";
  if (skipSpace(bytes, after, end) !== end) return "bytes after the end of the body";
  const section = (name: string): number => present(bytes, top[name]);
  const nextBatch = stringAt(bytes, section("next_batch"), end) ?? "";
  if (nextBatch.length > MAX_SINCE_BYTES || nextBatch.includes("\0") || !nextBatch.isWellFormed()) {
    return "unusable next_batch";
  }
  return {
    bytes,
    isUtf8: isUtf8(bytes),
    nextBatch,
    roomsEnd: nextBatch,
    rooms: SECTIONS.flatMap((name) => found.sections[name] ?? []),
    accountData: section("account_data"),
    toDevice: section("to_device"),
    deviceLists: section("device_lists"),
    otkCounts: section("device_one_time_keys_count"),
    fallbackKeyTypes: FALLBACK_KEY_NAMES.map(section).find((at) => at !== FAIL) ?? FAIL,
    rejects: found.rejects,
  };
}

/** `at` unless the value there is missing or `null`. */
function present(bytes: Uint8Array, at: number | undefined): number {
  return at === undefined || bytes[at] === 0x6e ? FAIL : at;
}

function findRooms(bytes: Buffer, at: number, end: number): FoundRooms {
  const rejects = new RejectLog();
  const sections: FoundRooms["sections"] = {};
  if (present(bytes, at) === FAIL) return { sections, rejects, end: skipValue(bytes, at, end) };
  const after = eachMember(bytes, at, end, (keyStart, keyEnd, valueAt) => {
    const key = decodeString(bytes, keyStart, keyEnd);
    const section = SECTIONS.find((name) => name === key);
    if (section === undefined || present(bytes, valueAt) === FAIL) return skipValue(bytes, valueAt, end);
    const rooms = new Map<RoomId, RoomSlice>();
    const sectionEnd = findSection(bytes, section, valueAt, end, rooms, rejects);
    sections[section] = [...rooms.values()];
    return sectionEnd;
  });
  if (after !== FAIL) return { sections, rejects, end: after };
  const skipped = skipValue(bytes, at, end);
  rejects.add(null, "rooms", "malformed json", bytes, at, skipped === FAIL ? end : skipped);
  return { sections, rejects, end: skipped };
}

/** Adds the rooms of one section to `rooms`: one that is listed twice counts once, as it is listed last. Answers its end. */
function findSection(
  bytes: Buffer,
  section: RoomSection,
  at: number,
  end: number,
  rooms: Map<RoomId, RoomSlice>,
  rejects: RejectLog,
): number {
  const after = eachMember(bytes, at, end, (keyStart, keyEnd, valueAt) => {
    const valueEnd = skipValue(bytes, valueAt, end);
    const key = decodeString(bytes, keyStart, keyEnd) ?? "";
    const roomId = identifierFault(key) === null ? parseRoomId(key) : null;
    if (valueEnd === FAIL) return FAIL;
    if (roomId === null) rejects.add(null, section, "bad room id", bytes, keyStart, keyEnd);
    else if (!isObjectAt(bytes, valueAt, end)) {
      rejects.add(roomId, section, "not an object", bytes, valueAt, valueEnd);
    } else rooms.set(roomId, { section, roomId, at: valueAt, end: valueEnd });
    return valueEnd;
  });
  if (after !== FAIL) return after;
  const sectionEnd = skipValue(bytes, at, end);
  rejects.add(null, section, "malformed json", bytes, at, sectionEnd === FAIL ? end : sectionEnd);
  return sectionEnd;
}

/**
 * Reads the batch that begins with room number `fromRoom`: whole rooms up to `pieceBytes`. To-device messages, account data
 * and the rest travel with the last rooms and `since`, so that a crash between two batches cannot lose or double them.
 */
export function readPiece(
  outline: SyncOutline,
  origin: PollOrigin,
  fromRoom: number,
  limits: PieceLimits = {},
): SyncPiece {
  const pieceBytes = limits.pieceBytes ?? PIECE_BYTES;
  const reader = new EventReader(outline.bytes, outline.isUtf8, limits.maxEventBytes ?? MAX_EVENT_BYTES);
  const rejects = new RejectLog();
  const batch = newBatch(origin.userId, origin.deviceId, origin);
  let room = fromRoom;
  for (let size = 0; room < outline.rooms.length && size < pieceBytes; room++) {
    const slice = outline.rooms[room] as RoomSlice;
    size += slice.end - slice.at;
    const polled = readRoom(
      reader,
      outline.bytes,
      slice.section,
      slice.roomId,
      slice.at,
      slice.end,
      rejects,
      limits.memo,
    );
    if (polled !== null) batch.rooms.push(polled);
  }
  if (batch.rooms.length > 0 && outline.roomsEnd !== "") batch.roomsEnd = outline.roomsEnd;
  const isLast = room >= outline.rooms.length;
  if (isLast) {
    readRest(outline, reader, batch, rejects);
    rejects.append(outline.rejects);
  }
  batch.rejected = rejects.entries;
  return { batch, nextRoom: isLast ? null : room, rejectedCount: rejects.count };
}

/** Fills `batch` with everything that is not a room. */
function readRest(outline: SyncOutline, reader: EventReader, batch: PollBatch, rejects: RejectLog): void {
  const { bytes } = outline;
  batch.since = outline.nextBatch;
  batch.toDevice = readToDevice(reader, bytes, outline.toDevice, rejects);
  batch.accountData = readAccountData(reader, bytes, outline.accountData, null, "account_data", rejects);
  const lists = readDeviceLists(bytes, outline.deviceLists, rejects);
  batch.deviceListsChanged = lists.changed;
  batch.deviceListsLeft = lists.left;
  batch.otkCounts = readJsonText(reader, bytes, outline.otkCounts, "device_one_time_keys_count", rejects);
  if (batch.otkCounts?.replaceAll(/\s/g, "") === "{}") batch.otkCounts = null;
  batch.fallbackKeyTypes = readJsonText(
    reader,
    bytes,
    outline.fallbackKeyTypes,
    "device_unused_fallback_key_types",
    rejects,
  );
}

/** All batches of one body, in order. */
export function splitBatch(outline: SyncOutline, origin: PollOrigin, limits: PieceLimits = {}): PollBatch[] {
  const batches: PollBatch[] = [];
  for (let from: number | null = 0; from !== null;) {
    const piece = readPiece(outline, origin, from, limits);
    batches.push(piece.batch);
    from = piece.nextRoom;
  }
  return batches;
}
