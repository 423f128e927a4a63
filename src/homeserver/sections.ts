import { findMember } from "./json-text.ts";
import { FAIL, byteAt, eachItem, isObjectAt } from "./slicer.ts";
import { identifierFault } from "./event-fields.ts";

/** Walks the `events` of the section at `at`; false when the section is malformed. Absent and `null` are empty. */
export function eachEvent(bytes: Buffer, at: number, end: number, visit: (itemAt: number) => number): boolean {
  if (at === FAIL) return true;
  if (!isObjectAt(bytes, at, end)) return false;
  return eachListed(bytes, findMember(bytes, at, end, "events"), end, visit);
}

/** Walks the array at `at`; false when it is malformed. Absent and `null` are empty. */
export function eachListed(bytes: Buffer, at: number, end: number, visit: (itemAt: number) => number): boolean {
  if (at === FAIL || byteAt(bytes, at, end) === 0x6e) return true;
  return eachItem(bytes, at, end, visit) !== FAIL;
}

/** The members of a JSON object; null for anything else. */
export function membersOf(value: unknown): Record<string, unknown> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

/** The strings of a JSON array that can be identifiers. */
export function identifiersOf(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (item): item is string => typeof item === "string" && item !== "" && identifierFault(item) === null,
  );
}

/** The bytes in [start, end), not copied. */
export function view(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset + start, end - start);
}
