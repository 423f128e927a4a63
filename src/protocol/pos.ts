import { invariant } from "../errors.ts";
import type { RoomNid, StreamPos } from "./ids.ts";

/** What a `pos` proves when a client comes back with it. */
export interface PosClaims {
  /** The life of the connection: another one after every start-over. */
  incarnation: string;
  /** The response it came with. */
  seq: number;
  /** Everything in view up to here was in that response or an earlier one. */
  streamPos: StreamPos;
  /** The generation of the set of rooms in view. */
  generation: number;
  /** Rooms of which that is not true: they wait for the transaction id of an own event. */
  behind: readonly RoomNid[];
}

/** Keyed digest of a text. */
export interface Mac {
  (text: string): string;
  /** With the key before this one: what was made with it is still believed. */
  readonly before?: Mac;
}

/** A digest, and what it was made with before; of each text something else is digested. */
export function mappedMac(mac: Mac, textOf: (text: string) => string): Mac {
  const mapped = (text: string): string => mac(textOf(text));
  return mac.before === undefined ? mapped : Object.assign(mapped, { before: mappedMac(mac.before, textOf) });
}

const SEPARATOR = ".";
const ROOM_SEPARATOR = "-";
const URL_SAFE = /^[A-Za-z0-9_-]+$/;
const BASE36 = /^(?:0|[1-9a-z][0-9a-z]*)$/;
/** Longer texts are none of ours and are not worth a digest. */
const MAX_POS_LENGTH = 512;
/** Digests are longer than anything that a token of a homeserver ends with. */
const MIN_TAG_LENGTH = 16;

/** A text that only the holder of the key can make, for URLs as it is. */
export function encodePos(claims: PosClaims, mac: Mac): string {
  const { incarnation, seq, streamPos, generation, behind } = claims;
  invariant(URL_SAFE.test(incarnation), "an incarnation is URL-safe");
  invariant([seq, streamPos, generation].every(isCount), "the numbers of a pos are counts");
  const parts = [incarnation, seq.toString(36), streamPos.toString(36), generation.toString(36)];
  if (behind.length > 0) parts.push(behind.map((nid) => nid.toString(36)).join(ROOM_SEPARATOR));
  const text = parts.join(SEPARATOR);
  return text + SEPARATOR + urlSafe(mac(text));
}

/** What the text claims; null unless it was made by `encodePos` with the same key. */
export function decodePos(text: string, mac: Mac): PosClaims | null {
  if (text.length > MAX_POS_LENGTH) return null;
  const parts = text.split(SEPARATOR);
  const tag = parts.pop();
  const [incarnation, seq, streamPos, generation, behind, ...rest] = parts;
  if (incarnation === undefined || tag === undefined || tag === "" || rest.length > 0) return null;
  if (!URL_SAFE.test(incarnation)) return null;
  const claims = {
    incarnation,
    seq: readCount(seq),
    streamPos: readCount(streamPos),
    generation: readCount(generation),
    behind: readRooms(behind),
  };
  if (claims.seq === null || claims.streamPos === null || claims.generation === null || claims.behind === null)
    return null;
  const sealed = text.slice(0, -tag.length - SEPARATOR.length);
  const isMadeBy = (made: Mac | undefined): boolean =>
    made !== undefined && isEqualInConstantTime(tag, urlSafe(made(sealed)));
  return isMadeBy(mac) || isMadeBy(mac.before) ? (claims as PosClaims) : null;
}

/** The stream position that a text claims which looks like a `pos`, whoever made it; null for any other text. */
export function claimedStreamPos(text: string): StreamPos | null {
  if (text.length > MAX_POS_LENGTH) return null;
  const parts = text.split(SEPARATOR);
  const tag = parts.pop() ?? "";
  const [incarnation = "", seq, streamPos, generation, behind, ...rest] = parts;
  const isOfForm =
    URL_SAFE.test(incarnation) && tag.length >= MIN_TAG_LENGTH && URL_SAFE.test(tag) && rest.length === 0;
  if (!isOfForm || readCount(seq) === null || readCount(generation) === null || readRooms(behind) === null) return null;
  return readCount(streamPos);
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

function readCount(text: string | undefined): number | null {
  if (text === undefined || !BASE36.test(text)) return null;
  const value = Number.parseInt(text, 36);
  return isCount(value) ? value : null;
}

function readRooms(text: string | undefined): RoomNid[] | null {
  const nids = text === undefined ? [] : text.split(ROOM_SEPARATOR).map(readCount);
  return nids.includes(null) ? null : (nids as RoomNid[]);
}

/** Base64 with the letters of base64url, without padding. */
const urlSafe = (digest: string): string => digest.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Takes the same time wherever the two differ, so that a digest cannot be guessed letter by letter. */
function isEqualInConstantTime(given: string, expected: string): boolean {
  let difference = given.length ^ expected.length;
  for (let index = 0; index < expected.length; index += 1) {
    difference |= expected.charCodeAt(index) ^ (given.charCodeAt(index) || 0);
  }
  return difference === 0;
}
