import { FAIL, eachMember, equalsText, skipValue } from "./slicer.ts";

const UTF8 = new TextDecoder();

/** How the characters of a string lie in its bytes. */
type Shape = "ascii" | "utf8" | "escaped";

function shapeOf(bytes: Uint8Array, start: number, end: number): Shape {
  let shape: Shape = "ascii";
  for (let i = start; i < end; i++) {
    const c = bytes[i] as number;
    if (c === 0x5c) return "escaped";
    if (c >= 0x80) shape = "utf8";
  }
  return shape;
}

/** The text between two quotes; null when its escapes are malformed. */
export function decodeString(bytes: Buffer, start: number, end: number): string | null {
  switch (shapeOf(bytes, start, end)) {
    case "ascii":
      return bytes.toString("latin1", start, end);
    case "utf8":
      return bytes.toString("utf8", start, end);
    case "escaped":
      return parseJson(bytes, start - 1, end + 1) as string | null;
  }
}

/** The value in [start, end) as JavaScript sees it; null when it is not JSON. For small values only. */
export function parseJson(bytes: Uint8Array, start: number, end: number): unknown {
  try {
    return JSON.parse(UTF8.decode(bytes.subarray(start, end)));
  } catch {
    return null;
  }
}

/** True when the key in [start, end) is this ASCII text, escapes resolved. */
export function isKey(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (equalsText(bytes, start, end, text)) return true;
  // An escape makes a key longer than what it says, so only a longer key is worth decoding.
  return end - start > text.length && hasEscape(bytes, start, end) && decodeString(bytes, start, end) === text;
}

/** True when there is a backslash in [start, end). */
export function hasEscape(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] === 0x5c) return true;
  return false;
}

/** Where the value of a key starts in the object at `at` (the last one when the key is repeated); FAIL when absent. */
export function findMember(bytes: Buffer, at: number, end: number, key: string): number {
  let found = FAIL;
  eachMember(bytes, at, end, (keyStart, keyEnd, valueStart) => {
    if (isKey(bytes, keyStart, keyEnd, key)) found = valueStart;
    return skipValue(bytes, valueStart, end);
  });
  return found;
}

/** Where the members of the object at `at` start, the last one of each name; those that are `null` count as absent. */
export function membersAt(bytes: Buffer, at: number, end: number): { members: Map<string, number>; end: number } {
  const members = new Map<string, number>();
  const after = eachMember(bytes, at, end, (keyStart, keyEnd, valueStart) => {
    const key = decodeString(bytes, keyStart, keyEnd);
    if (key !== null && bytes[valueStart] === 0x6e) members.delete(key);
    else if (key !== null) members.set(key, valueStart);
    return skipValue(bytes, valueStart, end);
  });
  return { members, end: after };
}

/** The number at `at`; null when there is something else. */
export function numberAt(bytes: Buffer, at: number, end: number): number | null {
  const value = at === FAIL ? null : parseJson(bytes, at, skipValue(bytes, at, end));
  return typeof value === "number" ? value : null;
}

/** The string at `at`; null when there is something else. */
export function stringAt(bytes: Buffer, at: number, end: number): string | null {
  if (at === FAIL || bytes[at] !== 0x22) return null;
  const after = skipValue(bytes, at, end);
  return after === FAIL ? null : decodeString(bytes, at + 1, after - 1);
}
