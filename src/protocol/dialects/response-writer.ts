import { ByteWriter } from "../byte-writer.ts";
import type { RoomEntry } from "../engine/room-entry.ts";

/** What a room's entry takes beside its events, roughly. */
const ENTRY_BYTES = 400;

/** Nearly all of a large response are events: a buffer that fits at once need not be copied as it grows. */
function expectedBytes(rooms: readonly RoomEntry[]): number {
  let bytes = 0;
  for (const { timeline, requiredState } of rooms) {
    bytes += ENTRY_BYTES;
    for (const event of timeline) bytes += event.length + 1;
    for (const event of requiredState) bytes += event.length + 1;
  }
  return bytes;
}

/** Writes one entry of a room. */
export type WriteRoom = (out: ByteWriter, room: RoomEntry) => void;

/** Some of a response's rooms, to be written before the others are there. */
export function encodeRooms(rooms: readonly RoomEntry[], write: WriteRoom): Uint8Array {
  const out = new ByteWriter(expectedBytes(rooms));
  writeEntries(out, rooms, write, "");
  return out.finish();
}

/** A writer with room for a response of these rooms. */
export function writerFor(written: readonly Uint8Array[], rooms: readonly RoomEntry[]): ByteWriter {
  return new ByteWriter(written.reduce((sum, { length }) => sum + length + 1, 0) + expectedBytes(rooms));
}

/** Writes the member `rooms`: those that are written already, and then the others. */
export function writeRooms(
  out: ByteWriter,
  written: readonly Uint8Array[],
  rooms: readonly RoomEntry[],
  write: WriteRoom,
): void {
  out.text(',"rooms":{');
  let separator = "";
  for (const part of written) {
    if (part.length === 0) continue;
    out.text(separator);
    out.bytes(part);
    separator = ",";
  }
  writeEntries(out, rooms, write, separator);
  out.text("}");
}

function writeEntries(out: ByteWriter, rooms: readonly RoomEntry[], write: WriteRoom, before: string): void {
  let separator = before;
  for (const room of rooms) {
    out.text(`${separator}${JSON.stringify(room.roomId)}:`);
    write(out, room);
    separator = ",";
  }
}

/** Heroes as clients read them: what is not set is left out. */
export function heroesJson(heroes: NonNullable<RoomEntry["heroes"]>): string {
  return JSON.stringify(
    heroes.map((hero) => ({
      user_id: hero.userId,
      ...(hero.displayName === null ? {} : { displayname: hero.displayName }),
      ...(hero.avatarUrl === null ? {} : { avatar_url: hero.avatarUrl }),
    })),
  );
}

/** Writes a member that is an array of events. */
export function writeEvents(out: ByteWriter, key: string, events: readonly Uint8Array[]): void {
  out.text(`,"${key}":`);
  writeArray(out, events);
}

/** Writes JSON texts as an array. */
export function writeArray(out: ByteWriter, items: readonly Uint8Array[]): void {
  let separator = "[";
  for (const item of items) {
    out.text(separator);
    out.bytes(item);
    separator = ",";
  }
  out.text(items.length === 0 ? "[]" : "]");
}

/** Writes an object by its keys. */
export function writeMap<V>(out: ByteWriter, map: ReadonlyMap<string, V>, write: (value: V) => void): void {
  let separator = "{";
  for (const [key, value] of map) {
    out.text(`${separator}${JSON.stringify(key)}:`);
    write(value);
    separator = ",";
  }
  out.text(map.size === 0 ? "{}" : "}");
}
