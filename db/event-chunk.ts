import { invariant } from "#src/errors.ts";
import { MEMBERSHIPS, type Membership, type StoredEvent } from "#src/protocol/events.ts";
import type { EventId, RoomNid, StreamPos } from "#src/protocol/ids.ts";
import { sharedText } from "#src/protocol/shared-text.ts";
import { RecordReader, RecordWriter } from "./record-bytes.ts";

/**
 * Events of one lane of one room, as the bytes of one row: a format byte, then the records, compressed when that pays.
 *
 *   record = position − the one before · flags · memberships · ts · json · type · id · sender · optional fields
 *
 * In a row of one event, texts that occur in its own JSON are stored as a place in it.
 */
const FORMAT_PLAIN = 0;
const FORMAT_ZSTD = 1;

/** Below this, compression saves less than it costs. */
const COMPRESS_FROM_BYTES = 1024;
const COMPRESSION_LEVEL = 1;
/** Bounds what is read and unpacked to find one event. */
export const CHUNK_LIMIT_EVENTS = 64;
const CHUNK_LIMIT_BYTES = 16_384;

const GAP_BEFORE = 1;
const HAS_STATE_KEY = 2;
const HAS_PREV_BATCH = 4;
const HAS_REDACTS = 8;
const HAS_REPLACES_STATE = 16;
const OPTIONAL_TEXTS = HAS_STATE_KEY | HAS_PREV_BATCH | HAS_REDACTS | HAS_REPLACES_STATE;
/** `ts` is not a whole number that a varint can hold. */
const ODD_TS = 32;

/** Types stored as one number. Append only: the index is stored. 0 = spelled out. */
const KNOWN_TYPES = [
  "",
  "m.room.message",
  "m.room.member",
  "m.room.encrypted",
  "m.reaction",
  "m.room.create",
  "m.room.power_levels",
  "m.room.join_rules",
  "m.room.history_visibility",
  "m.room.guest_access",
  "m.room.name",
  "m.room.topic",
  "m.room.avatar",
  "m.room.canonical_alias",
  "m.room.encryption",
  "m.room.redaction",
  "m.room.tombstone",
  "m.room.pinned_events",
  "m.space.child",
  "m.space.parent",
  "m.sticker",
  "m.room.server_acl",
  "m.room.third_party_invite",
  "m.call.member",
  "org.matrix.msc3401.call.member",
] as const;
const KNOWN_TYPE_CODES = new Map<string, number>(KNOWN_TYPES.map((type, code) => [type, code]));
KNOWN_TYPE_CODES.delete("");

/** Stored code of a membership; 0 = none. */
export const membershipCode = (membership: Membership | null): number =>
  membership === null ? 0 : MEMBERSHIPS.indexOf(membership) + 1;
/** The membership with this stored code. */
export const membershipOf = (code: number): Membership | null => MEMBERSHIPS[code - 1] ?? null;

/** One row of `events`, before it is written. */
export interface EventChunk {
  nid: RoomNid;
  inTimeline: boolean;
  firstPos: StreamPos;
  lastPos: StreamPos;
  hasGap: boolean;
  events: readonly StoredEvent[];
  records: Uint8Array;
}

const writer = new RecordWriter();

function encodeRecord(event: StoredEvent, before: StreamPos): void {
  const { ts, stateKey, prevBatch, redacts, replacesState } = event;
  const isOddTs = !Number.isSafeInteger(ts) || ts < 0 || Object.is(ts, -0);
  writer.varint(event.pos - before);
  writer.byte(
    (event.gapBefore ? GAP_BEFORE : 0) |
      (stateKey === null ? 0 : HAS_STATE_KEY) |
      (prevBatch === null ? 0 : HAS_PREV_BATCH) |
      (redacts === null ? 0 : HAS_REDACTS) |
      (replacesState === null ? 0 : HAS_REPLACES_STATE) |
      (isOddTs ? ODD_TS : 0),
  );
  writer.byte(membershipCode(event.membership) | (membershipCode(event.prevMembership) << 3));
  if (isOddTs) writer.double(ts);
  else writer.varint(ts);
  writer.source(event.json);
  const typeCode = KNOWN_TYPE_CODES.get(event.type) ?? 0;
  writer.varint(typeCode);
  if (typeCode === 0) writer.text(event.type);
  writer.text(event.id);
  writer.text(event.sender);
  if (stateKey !== null) writer.text(stateKey);
  if (prevBatch !== null) writer.text(prevBatch);
  if (redacts !== null) writer.text(redacts);
  if (replacesState !== null) writer.text(replacesState);
}

/** Compressed, where that pays. */
function pack(plain: Uint8Array): Uint8Array {
  if (plain.length < COMPRESS_FROM_BYTES) return plain;
  const packed = Bun.zstdCompressSync(plain.subarray(1), { level: COMPRESSION_LEVEL });
  if (packed.length + 1 >= plain.length) return plain;
  const records = new Uint8Array(packed.length + 1);
  records[0] = FORMAT_ZSTD;
  records.set(packed, 1);
  return records;
}

function seal(events: readonly StoredEvent[]): EventChunk {
  const first = events[0];
  const last = events.at(-1);
  invariant(first !== undefined && last !== undefined, "a chunk has events");
  return {
    nid: first.nid,
    inTimeline: first.inTimeline,
    firstPos: first.pos,
    lastPos: last.pos,
    hasGap: events.some(({ gapBefore }) => gapBefore),
    events,
    records: pack(writer.finish()),
  };
}

/** Cuts the events of a commit into rows. Within a room and lane they must be in the order of their positions. */
export function encodeChunks(events: readonly StoredEvent[]): EventChunk[] {
  const lanes = new Map<number, StoredEvent[]>();
  for (const event of events) {
    const lane = event.nid * 2 + (event.inTimeline ? 1 : 0);
    const list = lanes.get(lane);
    if (list === undefined) lanes.set(lane, [event]);
    else list.push(event);
  }
  const chunks: EventChunk[] = [];
  for (const list of lanes.values()) {
    list.sort((a, b) => a.pos - b.pos);
    let from = 0;
    while (from < list.length) {
      writer.start(FORMAT_PLAIN, list.length === 1);
      let before = (list[from] as StoredEvent).pos;
      let to = from;
      for (; to < list.length && to - from < CHUNK_LIMIT_EVENTS; to++) {
        const event = list[to] as StoredEvent;
        if (to > from && writer.length + event.json.length > CHUNK_LIMIT_BYTES) break;
        encodeRecord(event, before);
        before = event.pos;
      }
      chunks.push(seal(list.slice(from, to)));
      from = to;
    }
  }
  return chunks;
}

/** The bytes of the row from `firstPos` on that holds exactly these events: a row that is written again is not cut anew. */
export function encodeWhole(events: readonly StoredEvent[], firstPos: StreamPos): Uint8Array {
  writer.start(FORMAT_PLAIN, events.length === 1);
  let before = firstPos;
  for (const event of events) {
    encodeRecord(event, before);
    before = event.pos;
  }
  return pack(writer.finish());
}

function plainRecords(records: Uint8Array): Uint8Array {
  if (records[0] === FORMAT_PLAIN) return records.subarray(1);
  invariant(records[0] === FORMAT_ZSTD, "a chunk has a known format");
  return Bun.zstdDecompressSync(records.subarray(1));
}

/** Passes over the rest of a record, from its JSON on. */
function skipRecord(reader: RecordReader, flags: number): void {
  reader.skipSource();
  if (reader.varint() === 0) reader.skipText();
  reader.skipText();
  reader.skipText();
  for (let optional = flags & OPTIONAL_TEXTS; optional !== 0; optional &= optional - 1) reader.skipText();
}

/**
 * The events of one row, in stream order; only those at `wanted` positions when these are given. Their bytes are copies when
 * they are few, so that keeping one event does not keep the chunk; most of a chunk is kept as it was unpacked.
 */
export function decodeChunk(
  row: { nid: RoomNid; inTimeline: boolean; firstPos: StreamPos; records: Uint8Array },
  wanted?: ReadonlySet<StreamPos>,
): StoredEvent[] {
  const plain = plainRecords(row.records);
  const reader = new RecordReader(plain);
  const events: StoredEvent[] = [];
  let keptBytes = 0;
  let pos = row.firstPos;
  while (!reader.isAtEnd) {
    pos += reader.varint();
    const flags = reader.byte();
    const memberships = reader.byte();
    const ts = (flags & ODD_TS) === 0 ? reader.varint() : reader.double();
    if (wanted !== undefined && !wanted.has(pos)) {
      skipRecord(reader, flags);
      continue;
    }
    const json = reader.source();
    keptBytes += json.length;
    const typeCode = reader.varint();
    const type = typeCode === 0 ? reader.text() : KNOWN_TYPES[typeCode];
    invariant(type !== undefined, "a record has a known type code");
    events.push({
      id: reader.text() as EventId,
      type,
      sender: sharedText(reader.text()),
      stateKey: (flags & HAS_STATE_KEY) === 0 ? null : sharedText(reader.text()),
      prevBatch: (flags & HAS_PREV_BATCH) === 0 ? null : reader.text(),
      redacts: (flags & HAS_REDACTS) === 0 ? null : reader.text(),
      replacesState: (flags & HAS_REPLACES_STATE) === 0 ? null : reader.text(),
      ts,
      membership: membershipOf(memberships & 7),
      prevMembership: membershipOf(memberships >> 3),
      txnId: null,
      json,
      nid: row.nid,
      pos,
      inTimeline: row.inTimeline,
      gapBefore: (flags & GAP_BEFORE) !== 0,
    });
  }
  const isMostlyKept = row.records[0] === FORMAT_ZSTD && keptBytes * 2 >= plain.length;
  if (!isMostlyKept) for (const event of events) event.json = new Uint8Array(event.json);
  return events;
}

/** The event with a copy of its bytes. */
export const withOwnBytes = (event: StoredEvent): StoredEvent => ({ ...event, json: new Uint8Array(event.json) });
