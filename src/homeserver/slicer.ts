/**
 * A byte scanner over JSON: finds where keys and values lie and builds nothing.
 *
 * Two strengths. *Skipping* follows quotes and brackets only: it finds the end of a value whose inside may be garbage, so
 * that one bad event costs one event. *Checking* accepts exactly RFC 8259 (save for UTF-8, which is checked once for a
 * whole body elsewhere). Nothing recurses, so depth costs no stack. Every function answers `FAIL` instead of throwing.
 */

/** Answer of every scanning function that cannot go on: malformed or ended too early. */
export const FAIL = -1;

/** Nesting levels that fit into one word of the checker's bit stack. */
const LEVELS_PER_WORD = 30;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
/** `[` and `{` differ in this bit alone, and so do `]` and `}`. */
const BRACE_BIT = 0x20;

/** The byte at `at`; -1 beyond `end`. */
export const byteAt = (bytes: Uint8Array, at: number, end: number): number => (at < end ? (bytes[at] as number) : FAIL);

export const isObjectAt = (bytes: Uint8Array, at: number, end: number): boolean =>
  byteAt(bytes, at, end) === OPEN_BRACE;
export const isArrayAt = (bytes: Uint8Array, at: number, end: number): boolean =>
  byteAt(bytes, at, end) === OPEN_BRACKET;
export const isStringAt = (bytes: Uint8Array, at: number, end: number): boolean => byteAt(bytes, at, end) === QUOTE;

/** First byte at or after `at` that is not JSON whitespace; `end` when there is none. */
export function skipSpace(bytes: Uint8Array, at: number, end: number): number {
  let i = at;
  while (i < end) {
    const c = bytes[i] as number;
    if (c > 0x20 || (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09)) return i;
    i++;
  }
  return i;
}

/** Where a body's JSON begins: after a byte order mark and whitespace. */
export function bodyStart(bytes: Uint8Array): number {
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return skipSpace(bytes, hasMark ? 3 : 0, bytes.length);
}

/** End of the string whose opening quote is at `at`, whatever bytes it holds. */
function skipString(bytes: Uint8Array, at: number, end: number): number {
  let i = at + 1;
  while (i < end) {
    const c = bytes[i++] as number;
    if (c === QUOTE) return i;
    if (c === BACKSLASH) i++;
  }
  return FAIL;
}

/** End of the object or array that opens at `at`: quotes and bracket depth only. */
function skipContainer(bytes: Uint8Array, at: number, end: number): number {
  let depth = 0;
  let i = at;
  while (i < end) {
    const c = bytes[i++] as number;
    if (c === QUOTE) {
      let d = 0;
      while (i < end) {
        d = bytes[i++] as number;
        if (d === QUOTE) break;
        if (d === BACKSLASH) i++;
      }
      if (d !== QUOTE) return FAIL;
    } else if (c > 0x5a) {
      const folded = c | BRACE_BIT;
      if (folded === OPEN_BRACE) depth++;
      else if (folded === CLOSE_BRACE && --depth === 0) return i;
    }
  }
  return FAIL;
}

/** End of the value that starts at `at`, without looking at what is inside it. */
export function skipValue(bytes: Uint8Array, at: number, end: number): number {
  const first = byteAt(bytes, at, end);
  if (first === QUOTE) return skipString(bytes, at, end);
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return skipContainer(bytes, at, end);
  let i = at;
  while (i < end) {
    const c = bytes[i] as number;
    if (c <= 0x20 || c === COMMA || c === COLON || c === QUOTE || (c | BRACE_BIT) === CLOSE_BRACE) break;
    if ((c | BRACE_BIT) === OPEN_BRACE) break;
    i++;
  }
  return i === at ? FAIL : i;
}

/**
 * Walks the object at `at`. `visit` gets the key (without quotes) and where its value starts, and answers where that value
 * ends, or FAIL. Answers the end of the object.
 */
export function eachMember(
  bytes: Uint8Array,
  at: number,
  end: number,
  visit: (keyStart: number, keyEnd: number, valueStart: number) => number,
): number {
  if (!isObjectAt(bytes, at, end)) return FAIL;
  let i = skipSpace(bytes, at + 1, end);
  if (byteAt(bytes, i, end) === CLOSE_BRACE) return i + 1;
  for (;;) {
    if (byteAt(bytes, i, end) !== QUOTE) return FAIL;
    const keyStart = i + 1;
    const afterKey = skipString(bytes, i, end);
    if (afterKey === FAIL) return FAIL;
    i = skipSpace(bytes, afterKey, end);
    if (byteAt(bytes, i, end) !== COLON) return FAIL;
    i = visit(keyStart, afterKey - 1, skipSpace(bytes, i + 1, end));
    if (i === FAIL) return FAIL;
    i = skipSpace(bytes, i, end);
    const c = byteAt(bytes, i, end);
    if (c === CLOSE_BRACE) return i + 1;
    if (c !== COMMA) return FAIL;
    i = skipSpace(bytes, i + 1, end);
  }
}

/** Walks the array at `at`; `visit` gets where an item starts and answers where it ends, or FAIL. Answers the array's end. */
export function eachItem(bytes: Uint8Array, at: number, end: number, visit: (itemStart: number) => number): number {
  if (!isArrayAt(bytes, at, end)) return FAIL;
  let i = skipSpace(bytes, at + 1, end);
  if (byteAt(bytes, i, end) === CLOSE_BRACKET) return i + 1;
  for (;;) {
    i = visit(i);
    if (i === FAIL) return FAIL;
    i = skipSpace(bytes, i, end);
    const c = byteAt(bytes, i, end);
    if (c === CLOSE_BRACKET) return i + 1;
    if (c !== COMMA) return FAIL;
    i = skipSpace(bytes, i + 1, end);
  }
}

function isHex(c: number): boolean {
  const folded = c | 0x20;
  return (c >= 0x30 && c <= 0x39) || (folded >= 0x61 && folded <= 0x66);
}

/** End of the escape whose backslash is at `at`. */
function checkEscape(bytes: Uint8Array, at: number, end: number): number {
  switch (byteAt(bytes, at + 1, end)) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f: // slash
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return at + 2;
    case 0x75: // u
      for (let i = at + 2; i < at + 6; i++) if (!isHex(byteAt(bytes, i, end))) return FAIL;
      return at + 6;
    default:
      return FAIL;
  }
}

/** End of the string whose opening quote is at `at`, when it is well-formed. */
export function checkString(bytes: Uint8Array, at: number, end: number): number {
  let i = at + 1;
  while (i < end) {
    const c = bytes[i] as number;
    if (c > QUOTE && c !== BACKSLASH) i++;
    else if (c === QUOTE) return i + 1;
    else if (c === BACKSLASH) {
      i = checkEscape(bytes, i, end);
      if (i === FAIL) return FAIL;
    } else if (c < 0x20) return FAIL;
    else i++;
  }
  return FAIL;
}

function skipDigits(bytes: Uint8Array, at: number, end: number): number {
  let i = at;
  while (i < end && (bytes[i] as number) >= 0x30 && (bytes[i] as number) <= 0x39) i++;
  return i;
}

/** End of the number at `at`, when it is well-formed. */
function checkNumber(bytes: Uint8Array, at: number, end: number): number {
  let i = byteAt(bytes, at, end) === 0x2d ? at + 1 : at;
  const digits = i;
  i = skipDigits(bytes, i, end);
  if (i === digits || (bytes[digits] === 0x30 && i > digits + 1)) return FAIL;
  if (byteAt(bytes, i, end) === 0x2e) {
    const fraction = i + 1;
    i = skipDigits(bytes, fraction, end);
    if (i === fraction) return FAIL;
  }
  if ((byteAt(bytes, i, end) | 0x20) === 0x65) {
    const sign = byteAt(bytes, i + 1, end);
    const exponent = sign === 0x2b || sign === 0x2d ? i + 2 : i + 1;
    i = skipDigits(bytes, exponent, end);
    if (i === exponent) return FAIL;
  }
  return i;
}

/** End of `word` at `at`. */
function checkWord(bytes: Uint8Array, at: number, end: number, word: string): number {
  return equalsText(bytes, at, Math.min(at + word.length, end), word) ? at + word.length : FAIL;
}

/** End of the string, number or word at `at`, when it is well-formed. */
function checkScalar(bytes: Uint8Array, at: number, end: number): number {
  const c = byteAt(bytes, at, end);
  if (c === QUOTE) return checkString(bytes, at, end);
  if (c === 0x74) return checkWord(bytes, at, end, "true");
  if (c === 0x66) return checkWord(bytes, at, end, "false");
  if (c === 0x6e) return checkWord(bytes, at, end, "null");
  return checkNumber(bytes, at, end);
}

/** Start of the value that belongs to the key whose opening quote is at `at`, when both key and colon are well-formed. */
function checkKey(bytes: Uint8Array, at: number, end: number): number {
  if (byteAt(bytes, at, end) !== QUOTE) return FAIL;
  const afterKey = checkString(bytes, at, end);
  if (afterKey === FAIL) return FAIL;
  const colon = skipSpace(bytes, afterKey, end);
  return byteAt(bytes, colon, end) === COLON ? skipSpace(bytes, colon + 1, end) : FAIL;
}

/** End of the value that starts at `at`, when all of it is well-formed JSON. */
export function checkValue(bytes: Uint8Array, at: number, end: number): number {
  const first = byteAt(bytes, at, end);
  return first === OPEN_BRACE || first === OPEN_BRACKET ? checkContainer(bytes, at, end) : checkScalar(bytes, at, end);
}

/** End of the object or array at `at`, when all of it is well-formed. */
function checkContainer(bytes: Uint8Array, at: number, end: number): number {
  // One bit for each open level, 1 = object; full words are put aside, which only deep nesting needs.
  let words: number[] | null = null;
  let kinds = 0;
  let level = 0;
  let i = at;
  for (;;) {
    const c = byteAt(bytes, i, end);
    let isOpen = false;
    if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      const inner = skipSpace(bytes, i + 1, end);
      if (byteAt(bytes, inner, end) === c + 2) i = inner + 1;
      else {
        if (level === LEVELS_PER_WORD) {
          words ??= [];
          words.push(kinds);
          kinds = 0;
          level = 0;
        }
        kinds = (kinds << 1) | (c === OPEN_BRACE ? 1 : 0);
        level++;
        i = c === OPEN_BRACE ? checkKey(bytes, inner, end) : inner;
        isOpen = true;
      }
    } else i = checkScalar(bytes, i, end);
    if (i === FAIL) return FAIL;
    while (!isOpen) {
      if (level === 0) {
        const outer = words?.pop();
        if (outer === undefined) return i;
        kinds = outer;
        level = LEVELS_PER_WORD;
      }
      i = skipSpace(bytes, i, end);
      const next = byteAt(bytes, i, end);
      const isObject = (kinds & 1) === 1;
      if (next === COMMA) {
        i = skipSpace(bytes, i + 1, end);
        if (isObject) i = checkKey(bytes, i, end);
        if (i === FAIL) return FAIL;
        isOpen = true;
      } else if (next === (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
        kinds >>= 1;
        level--;
        i++;
      } else return FAIL;
    }
  }
}

/** True when the bytes in [start, end) are this ASCII text. */
export function equalsText(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}
