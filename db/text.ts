import { createHash } from "node:crypto";

/** Marks an escape; itself escaped. PostgreSQL cannot hold NUL, and UTF-8 cannot hold half a surrogate pair. */
const ESCAPE = "\u001a";
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const SUSPECT = /[\0\u001a\ud800-\udfff]/;
// oxlint-disable-next-line no-control-regex -- as above
const UNSTORABLE = /[\0\u001a]|\p{Surrogate}/gu;
// oxlint-disable-next-line no-control-regex -- as above
const ESCAPED = /\u001a([01]|u[0-9a-f]{4})/g;
// oxlint-disable-next-line no-control-regex -- as above
const NEEDS_WORK = /["\\\0\u001a\ud800-\udfff]/;

/** An index row holds at most 2,704 bytes, and no key of ours has more than four texts. */
const KEY_LIMIT_BYTES = 600;
/** UTF-8 takes at most three bytes for a UTF-16 unit. */
const KEY_LIMIT_UNITS = KEY_LIMIT_BYTES / 3;

/** Any string as text that PostgreSQL can hold; different strings stay different. */
export function storableText(text: string): string {
  if (!SUSPECT.test(text)) return text;
  return text.replace(UNSTORABLE, (char) => {
    if (char === "\0") return `${ESCAPE}0`;
    if (char === ESCAPE) return `${ESCAPE}1`;
    return `${ESCAPE}u${char.charCodeAt(0).toString(16)}`;
  });
}

/** The string that `storableText` was given. */
export function originalText(stored: string): string {
  if (!stored.includes(ESCAPE)) return stored;
  return stored.replace(ESCAPED, (_, code: string) => {
    if (code === "0") return "\0";
    if (code === "1") return ESCAPE;
    return String.fromCharCode(Number.parseInt(code.slice(1), 16));
  });
}

/** Like `storableText`, for columns that are part of an index: overlong texts become a prefix and a hash. */
export function keyText(text: string): string {
  const stored = storableText(text);
  if (stored.length <= KEY_LIMIT_UNITS || Buffer.byteLength(stored) <= KEY_LIMIT_BYTES) return stored;
  const hash = createHash("sha256").update(stored).digest("hex");
  // A prefix must not end in half a pair.
  return `${storableText(stored.slice(0, 100)).slice(0, 110)}${ESCAPE}#${hash}`.toWellFormed();
}

function quoted(text: string, stored: (text: string) => string): string {
  if (text.length <= KEY_LIMIT_UNITS && !NEEDS_WORK.test(text)) return `"${text}"`;
  return `"${stored(text).replace(/["\\]/g, "\\$&")}"`;
}

function arrayOf(texts: readonly (string | null)[], stored: (text: string) => string): string {
  let literal = "{";
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i] as string | null;
    if (i > 0) literal += ",";
    literal += text === null ? "NULL" : quoted(text, stored);
  }
  return `${literal}}`;
}

/** PostgreSQL array literal of texts for indexed columns. */
export const keyArray = (texts: readonly string[]): string => arrayOf(texts, keyText);
/** PostgreSQL array literal of texts for columns without an index. */
export const textArray = (texts: readonly (string | null)[]): string => arrayOf(texts, storableText);
/** PostgreSQL array literal of integers. */
export const intArray = (numbers: readonly (number | null)[]): string =>
  `{${numbers.map((n) => (n === null ? "NULL" : n)).join(",")}}`;
/** PostgreSQL array literal of booleans. */
export const boolArray = (values: readonly boolean[]): string => `{${values.map((v) => (v ? "t" : "f")).join(",")}}`;

/** Whole milliseconds that a bigint column can hold; what the homeserver sends may be anything. */
export function storableInt(value: number): number {
  if (Number.isSafeInteger(value)) return value;
  if (Number.isNaN(value)) return 0;
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.trunc(value)));
}

const INT4_MAX = 2 ** 31 - 1;
/** A count that an integer column can hold. */
export const storableCount = (value: number): number => Math.max(0, Math.min(INT4_MAX, storableInt(value)));

/** Many byte strings as one parameter, and where each lies in it; SQL offsets begin at 1. */
export function packBytes(parts: readonly (Uint8Array | null)[]): {
  blob: Buffer;
  offsets: number[];
  lengths: (number | null)[];
} {
  const offsets: number[] = [];
  let length = 0;
  for (const part of parts) {
    offsets.push(length + 1);
    length += part?.length ?? 0;
  }
  const blob = Buffer.allocUnsafe(length);
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    if (part !== null && part !== undefined) blob.set(part, (offsets[i] as number) - 1);
  }
  return { blob, offsets, lengths: parts.map((part) => part?.length ?? null) };
}
