const encoder = new TextEncoder();
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const UNSIGNED = encoder.encode('"unsigned"');

/**
 * The event with `unsigned.transaction_id` set: the one member that belongs to the sending device alone and is
 * therefore not stored with the event (I3). All other bytes stay as they are.
 */
export function withTransactionId(event: Uint8Array, txnId: string): Uint8Array {
  const member = `"transaction_id":${JSON.stringify(txnId)}`;
  const inside = unsignedStart(event);
  if (inside !== null) {
    const isEmpty = event[skipSpace(event, inside)] === CLOSE;
    return splice(event, inside, isEmpty ? member : `${member},`);
  }
  const end = event.lastIndexOf(CLOSE);
  return end < 0 ? event : splice(event, end, `,"unsigned":{${member}}`);
}

function splice(bytes: Uint8Array, at: number, text: string): Uint8Array {
  const added = encoder.encode(text);
  const result = new Uint8Array(bytes.length + added.length);
  result.set(bytes.subarray(0, at));
  result.set(added, at);
  result.set(bytes.subarray(at), at + added.length);
  return result;
}

/** Index just inside the braces of the last top-level `unsigned` object; null when there is none. */
function unsignedStart(bytes: Uint8Array): number | null {
  let depth = 0;
  let found: number | null = null;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (byte === OPEN || byte === OPEN_LIST) depth += 1;
    else if (byte === CLOSE || byte === CLOSE_LIST) depth -= 1;
    else if (byte === QUOTE) {
      const end = stringEnd(bytes, index);
      if (depth === 1 && end - index === UNSIGNED.length && startsWith(bytes, index, UNSIGNED)) {
        const colon = skipSpace(bytes, end);
        const value = skipSpace(bytes, colon + 1);
        if (bytes[colon] === 0x3a && bytes[value] === OPEN) found = value + 1;
      }
      index = end - 1;
    }
  }
  return found;
}

/** Index after the closing quote of the string that opens at `start`. */
function stringEnd(bytes: Uint8Array, start: number): number {
  let index = start + 1;
  while (index < bytes.length && bytes[index] !== QUOTE) index += bytes[index] === BACKSLASH ? 2 : 1;
  return index + 1;
}

function startsWith(bytes: Uint8Array, at: number, prefix: Uint8Array): boolean {
  for (let index = 0; index < prefix.length; index += 1) if (bytes[at + index] !== prefix[index]) return false;
  return true;
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let index = from;
  while (bytes[index] === 0x20 || bytes[index] === 0x0a || bytes[index] === 0x0d || bytes[index] === 0x09) index += 1;
  return index;
}
