import { isUtf8 } from "node:buffer";
import type { EventFields, Membership } from "#src/protocol/events.ts";
import { MEMBERSHIPS } from "#src/protocol/events.ts";
import type { EventId } from "#src/protocol/ids.ts";
import { type Stickiness, stickyDuration } from "#src/protocol/sticky-events.ts";
import { decodeString, findMember, hasEscape, numberAt, stringAt } from "./json-text.ts";
import {
  FAIL,
  byteAt,
  checkString,
  checkValue,
  equalsText,
  isObjectAt,
  isStringAt,
  skipSpace,
  skipValue,
} from "./slicer.ts";
import type { UnsignedFields } from "./unsigned.ts";
import { NO_UNSIGNED, readUnsigned, withoutRanges } from "./unsigned.ts";

/** Why an event is not taken. */
export type EventFault =
  | "not an object"
  | "malformed json"
  | "invalid utf-8"
  | "too large"
  | "no event id"
  | "no type"
  | "state key is not a string"
  | "identifier too long"
  | "identifier contains nul"
  | "identifier is not unicode"
  | "member event without membership";

/** Largest event taken: homeservers refuse to send more than 64 KiB over federation, plus room for bundled relations. */
export const MAX_EVENT_BYTES = 1024 * 1024;

/** Longest identifier of the Matrix specification. */
export const MAX_IDENTIFIER_BYTES = 255;

/** Where the values of interest of one event start; FAIL = absent. */
interface EventOffsets {
  id: number;
  type: number;
  stateKey: number;
  sender: number;
  roomId: number;
  ts: number;
  redacts: number;
  content: number;
  sticky: number;
  /** Starts of all `unsigned` members, in order: what belongs to one user is cut from every one of them. */
  unsigned: number[];
}

/** Spelled-out keys, for the rare one that holds an escape. */
const FIELDS: ReadonlyMap<string | null, keyof EventOffsets> = new Map([
  ["event_id", "id"],
  ["type", "type"],
  ["state_key", "stateKey"],
  ["sender", "sender"],
  ["room_id", "roomId"],
  ["origin_server_ts", "ts"],
  ["redacts", "redacts"],
  ["content", "content"],
  ["msc4354_sticky", "sticky"],
  ["unsigned", "unsigned"],
]);

const isMembership = (value: string | null): value is Membership =>
  (MEMBERSHIPS as readonly (string | null)[]).includes(value);

const membershipAt = (bytes: Buffer, at: number, end: number): Membership | null => {
  const text = at === FAIL ? null : stringAt(bytes, findMember(bytes, at, end, "membership"), end);
  return isMembership(text) ? text : null;
};

/** Notes in `offsets` where the value of the key in [start, end) lies, when the key is one of interest. */
function note(offsets: EventOffsets, bytes: Buffer, start: number, end: number, value: number): void {
  const field = fieldOf(bytes, start, end);
  if (field === null) return;
  if (field === "unsigned") offsets.unsigned.push(value);
  else offsets[field] = value;
}

function fieldOf(bytes: Buffer, start: number, end: number): keyof EventOffsets | null {
  if (hasEscape(bytes, start, end)) return FIELDS.get(decodeString(bytes, start, end)) ?? null;
  switch (end - start) {
    case 4:
      return equalsText(bytes, start, end, "type") ? "type" : null;
    case 6:
      return equalsText(bytes, start, end, "sender") ? "sender" : null;
    case 7:
      if (equalsText(bytes, start, end, "content")) return "content";
      if (equalsText(bytes, start, end, "room_id")) return "roomId";
      return equalsText(bytes, start, end, "redacts") ? "redacts" : null;
    case 8:
      if (equalsText(bytes, start, end, "event_id")) return "id";
      return equalsText(bytes, start, end, "unsigned") ? "unsigned" : null;
    case 9:
      return equalsText(bytes, start, end, "state_key") ? "stateKey" : null;
    case 14:
      return equalsText(bytes, start, end, "msc4354_sticky") ? "sticky" : null;
    case 16:
      return equalsText(bytes, start, end, "origin_server_ts") ? "ts" : null;
    default:
      return null;
  }
}

/** `origin_server_ts`: whole milliseconds, 0 for anything that is not a sane number. */
function timestampAt(bytes: Buffer, at: number, end: number): number {
  if (at === FAIL || isStringAt(bytes, at, end)) return 0;
  let value = 0;
  let i = at;
  for (let c = byteAt(bytes, i, end); c >= 0x30 && c <= 0x39; c = byteAt(bytes, ++i, end))
    value = value * 10 + c - 0x30;
  // A fraction or an exponent is legal and never seen.
  const rest = byteAt(bytes, i, end);
  if (rest === 0x2e || (rest | 0x20) === 0x65) value = Number(bytes.toString("latin1", at, skipValue(bytes, at, end)));
  return value <= Number.MAX_SAFE_INTEGER ? Math.trunc(value) : 0;
}

/**
 * Reads events out of one body. After `read`, `end` says where the event ends even when it was refused, so that its
 * neighbours are not lost; it is FAIL when the body is over before the event is.
 */
export class EventReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #maxBytes: number;
  /** Validity of UTF-8 is asked for once: only when the whole is not valid is each event looked at. */
  readonly #isUtf8: boolean;
  end: number = FAIL;
  /** Neighbours mostly share their type: one string for all of them saves time and memory. */
  #lastType = "";

  constructor(bytes: Buffer, isWholeUtf8: boolean = isUtf8(bytes), maxBytes: number = MAX_EVENT_BYTES) {
    this.#bytes = bytes;
    this.#end = bytes.length;
    this.#maxBytes = maxBytes;
    this.#isUtf8 = isWholeUtf8;
  }

  /** The fields of the event that starts at `at`, or why it is refused. */
  read(at: number): EventFields | EventFault {
    const bytes = this.#bytes;
    const isObject = isObjectAt(bytes, at, this.#end);
    const offsets: EventOffsets | null = isObject ? this.#locate(at) : null;
    if (offsets === null) {
      this.end = skipValue(bytes, at, this.#end);
      return isObject ? "malformed json" : "not an object";
    }
    if (this.end - at > this.#maxBytes) return "too large";
    if (!this.isText(at, this.end)) return "invalid utf-8";
    return this.#extract(at, this.end, offsets);
  }

  /** True when the whole body is valid UTF-8. */
  get isUtf8(): boolean {
    return this.#isUtf8;
  }

  /** True when the bytes in [start, end) are valid UTF-8. */
  isText(start: number, end: number): boolean {
    return this.#isUtf8 || isUtf8(this.#bytes.subarray(start, end));
  }

  /** Checks the whole event and notes where its members are; null when it is malformed. */
  #locate(at: number): EventOffsets | null {
    const bytes = this.#bytes;
    const end = this.#end;
    const offsets: EventOffsets = {
      id: FAIL,
      type: FAIL,
      stateKey: FAIL,
      sender: FAIL,
      roomId: FAIL,
      ts: FAIL,
      redacts: FAIL,
      content: FAIL,
      sticky: FAIL,
      unsigned: [],
    };
    let i = skipSpace(bytes, at + 1, end);
    if (byteAt(bytes, i, end) === 0x7d) {
      this.end = i + 1;
      return offsets;
    }
    for (;;) {
      const afterKey = isStringAt(bytes, i, end) ? checkString(bytes, i, end) : FAIL;
      if (afterKey === FAIL) return null;
      const colon = skipSpace(bytes, afterKey, end);
      if (byteAt(bytes, colon, end) !== 0x3a) return null;
      const value = skipSpace(bytes, colon + 1, end);
      const after = checkValue(bytes, value, end);
      if (after === FAIL) return null;
      note(offsets, bytes, i + 1, afterKey - 1, value);
      i = skipSpace(bytes, after, end);
      const next = byteAt(bytes, i, end);
      if (next === 0x7d) {
        this.end = i + 1;
        return offsets;
      }
      if (next !== 0x2c) return null;
      i = skipSpace(bytes, i + 1, end);
    }
  }

  #extract(start: number, end: number, at: EventOffsets): EventFields | EventFault {
    const bytes = this.#bytes;
    const id = stringAt(bytes, at.id, end);
    if (id === null || id === "") return "no event id";
    const type = this.#typeAt(at.type, end);
    if (type === null) return "no type";
    const stateKey = stringAt(bytes, at.stateKey, end);
    if (stateKey === null && at.stateKey !== FAIL && bytes[at.stateKey] !== 0x6e) return "state key is not a string";
    const sender = stringAt(bytes, at.sender, end) ?? "";
    const fault =
      identifierFault(id) ??
      identifierFault(type) ??
      identifierFault(stateKey ?? "") ??
      identifierFault(sender) ??
      (at.roomId === FAIL ? null : identifierFault(stringAt(bytes, at.roomId, end) ?? ""));
    if (fault !== null) return fault;

    const isMember = type === "m.room.member";
    if (isMember && stateKey !== null && stateKey !== "" && !this.#hasMembership(at.content, end)) {
      return "member event without membership";
    }
    let unsigned: UnsignedFields = NO_UNSIGNED;
    for (const unsignedAt of at.unsigned) unsigned = readUnsigned(bytes, unsignedAt, end, unsigned);
    const sticky = at.sticky === FAIL ? null : this.#stickiness(at.sticky, end, unsigned.stickyTtlMs);
    const redacts = type === "m.room.redaction" ? this.#redacted(at, end) : null;
    return {
      id: id as EventId,
      type,
      stateKey,
      sender,
      ts: timestampAt(bytes, at.ts, end),
      membership: isMember ? membershipAt(bytes, at.content, end) : null,
      prevMembership: isMember ? membershipAt(bytes, unsigned.prevContentAt, end) : null,
      redacts: redacts === null || identifierFault(redacts) !== null ? null : redacts,
      replacesState: unsigned.replacesState,
      txnId: unsigned.txnId,
      ...(sticky === null ? {} : { sticky }),
      json: withoutRanges(bytes, start, end, unsigned.cuts),
    };
  }

  #typeAt(at: number, end: number): string | null {
    const last = this.#lastType;
    const after = at + last.length + 1;
    const isString = at !== FAIL && isStringAt(this.#bytes, at, end);
    if (isString && this.#bytes[after] === 0x22 && equalsText(this.#bytes, at + 1, after, last)) return last;
    const type = isString ? stringAt(this.#bytes, at, end) : null;
    this.#lastType = type ?? "";
    return type;
  }

  #hasMembership(contentAt: number, end: number): boolean {
    const at = contentAt === FAIL ? FAIL : findMember(this.#bytes, contentAt, end, "membership");
    return (stringAt(this.#bytes, at, end) ?? "") !== "";
  }

  #stickiness(at: number, end: number, ttlMs: number | null): Stickiness | null {
    const durationMs = stickyDuration(numberAt(this.#bytes, findMember(this.#bytes, at, end, "duration_ms"), end));
    return durationMs === null ? null : { durationMs, ttlMs };
  }

  #redacted(at: EventOffsets, end: number): string | null {
    const top = stringAt(this.#bytes, at.redacts, end);
    if (top !== null || at.content === FAIL) return top;
    return stringAt(this.#bytes, findMember(this.#bytes, at.content, end, "redacts"), end);
  }
}

/** Storage can hold neither NUL nor half a surrogate pair in identifiers, and the specification bounds them. */
export function identifierFault(text: string): EventFault | null {
  // A UTF-16 unit is at most three bytes, so most strings need no counting.
  if (text.length * 3 > MAX_IDENTIFIER_BYTES && Buffer.byteLength(text) > MAX_IDENTIFIER_BYTES) {
    return "identifier too long";
  }
  if (!text.isWellFormed()) return "identifier is not unicode";
  return text.includes("\0") ? "identifier contains nul" : null;
}
