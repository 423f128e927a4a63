const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const decoder = new TextDecoder();

/** One member of a JSON object, by place: `start` is the quote of its key, [valueStart, end) its value. */
export interface MemberPlace {
  key: string;
  start: number;
  valueStart: number;
  end: number;
}

/**
 * The members of the object at `at`, in order; empty when there is no object. The JSON is taken to be well-formed: it was checked
 * when it was polled.
 */
export function memberPlaces(bytes: Uint8Array, at: number): MemberPlace[] {
  const places: MemberPlace[] = [];
  if (bytes[at] !== OPEN) return places;
  for (let index = skipSpace(bytes, at + 1); index < bytes.length && bytes[index] !== CLOSE;) {
    const start = index;
    const keyEnd = stringEnd(bytes, start);
    const valueStart = skipSpace(bytes, skipSpace(bytes, keyEnd) + 1);
    const end = valueEnd(bytes, valueStart);
    places.push({ key: keyText(bytes, start, keyEnd), start, valueStart, end });
    const next = skipSpace(bytes, end);
    index = bytes[next] === COMMA ? skipSpace(bytes, next + 1) : next;
  }
  return places;
}

/** The last member of that name, which is the one that counts; null when there is none. */
export function lastMember(places: readonly MemberPlace[], key: string): MemberPlace | null {
  return places.findLast((place) => place.key === key) ?? null;
}

/** Index of the first byte that is not JSON whitespace. */
export function skipSpace(bytes: Uint8Array, from: number): number {
  let index = from;
  while (bytes[index] === 0x20 || bytes[index] === 0x0a || bytes[index] === 0x0d || bytes[index] === 0x09) index += 1;
  return index;
}

/** True when a JSON object opens at `at`. */
export const isObjectAt = (bytes: Uint8Array, at: number): boolean => bytes[at] === OPEN;

function keyText(bytes: Uint8Array, start: number, end: number): string {
  const text = decoder.decode(bytes.subarray(start, end));
  return text.includes("\\") ? (JSON.parse(text) as string) : text.slice(1, -1);
}

/** Index after the closing quote of the string that opens at `start`. */
function stringEnd(bytes: Uint8Array, start: number): number {
  let index = start + 1;
  while (index < bytes.length && bytes[index] !== QUOTE) index += bytes[index] === BACKSLASH ? 2 : 1;
  return index + 1;
}

function valueEnd(bytes: Uint8Array, start: number): number {
  const first = bytes[start];
  if (first === QUOTE) return stringEnd(bytes, start);
  if (first === OPEN || first === OPEN_LIST) return containerEnd(bytes, start);
  let index = start;
  while (index < bytes.length && !isDelimiter(bytes[index])) index += 1;
  return index;
}

function containerEnd(bytes: Uint8Array, start: number): number {
  let depth = 0;
  let index = start;
  while (index < bytes.length) {
    const byte = bytes[index];
    if (byte === QUOTE) {
      index = stringEnd(bytes, index);
      continue;
    }
    index += 1;
    if (byte === OPEN || byte === OPEN_LIST) depth += 1;
    else if (byte === CLOSE || byte === CLOSE_LIST) depth -= 1;
    if (depth === 0) break;
  }
  return index;
}

const isDelimiter = (byte: number | undefined): boolean =>
  byte === COMMA || byte === CLOSE || byte === CLOSE_LIST || byte === undefined || byte <= 0x20;
