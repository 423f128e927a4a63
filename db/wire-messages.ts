/** Frontend messages of the PostgreSQL wire protocol that matter here, by their first byte. */
export const MessageType = {
  query: 0x51, // Q
  parse: 0x50, // P
  close: 0x43, // C
  sync: 0x53, // S
  flush: 0x48, // H
  terminate: 0x58, // X
} as const;

const READY_FOR_QUERY = 0x5a; // Z
const STATEMENT = 0x53; // S of a Close message
const NOTIFICATION = 0x41; // A
const HEADER_BYTES = 5;
const LISTEN = "listen ";
/** Z, length 5, status. */
const READY_BYTES = 6;

/** Messages after which the client expects an answer. */
export const FLUSH_TYPES: ReadonlySet<number> = new Set([
  MessageType.query,
  MessageType.sync,
  MessageType.flush,
  MessageType.terminate,
]);

/** What a client may send instead of a startup message, by the code in it. */
export const StartupCode = { protocol3: 196_608, cancel: 80_877_102, ssl: 80_877_103, gss: 80_877_104 } as const;

/** Name of the prepared statement that a Parse makes or a Close closes; null for other messages and the unnamed one. */
export function statementNameOf(message: Uint8Array): string | null {
  let from = HEADER_BYTES;
  if (message[0] === MessageType.close) {
    if (message[HEADER_BYTES] !== STATEMENT) return null;
    from++;
  } else if (message[0] !== MessageType.parse) {
    return null;
  }
  const end = message.indexOf(0, from);
  return end <= from ? null : Buffer.from(message.buffer, message.byteOffset + from, end - from).toString("latin1");
}

/** True for a statement that has its client told of notifications from now on. */
export function startsListening(message: Uint8Array): boolean {
  const isQuery = message[0] === MessageType.query;
  if (!isQuery && message[0] !== MessageType.parse) return false;
  const from = isQuery ? HEADER_BYTES : message.indexOf(0, HEADER_BYTES) + 1;
  const begin = Buffer.from(message.buffer, message.byteOffset + from, Math.min(LISTEN.length, message.length - from));
  return begin.toString("latin1").toLowerCase() === LISTEN;
}

/** Notifications among the messages of an answer. */
export function notificationsIn(answer: Uint8Array): Uint8Array[] {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.length);
  const found: Uint8Array[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const end = at + 1 + bytes.readInt32BE(at + 1);
    if (bytes[at] === NOTIFICATION) found.push(bytes.subarray(at, end));
    at = end;
  }
  return found;
}

/** Transaction status at the end of an answer; null when it does not end with one, as after a flush. */
export function lastReadyStatus(answer: Uint8Array): string | null {
  const at = answer.length - READY_BYTES;
  if (at < 0 || answer[at] !== READY_FOR_QUERY || answer[at + 4] !== READY_BYTES - 1) return null;
  return String.fromCharCode(answer[at + 5] as number);
}

/** The startup message of a client without wishes. */
export function startupMessage(): Uint8Array {
  const settings = Buffer.from("user\0postgres\0database\0postgres\0client_encoding\0UTF8\0\0");
  const bytes = Buffer.alloc(8 + settings.length);
  bytes.writeInt32BE(bytes.length, 0);
  bytes.writeInt32BE(StartupCode.protocol3, 4);
  bytes.set(settings, 8);
  return bytes;
}
