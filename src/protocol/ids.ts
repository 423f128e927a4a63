declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** `@localpart:server` */
export type UserId = Branded<string, "UserId">;
/** Opaque; may be empty for tokens without a device. */
export type DeviceId = Branded<string, "DeviceId">;
/** `!opaque:server`, or `!opaque` from room version 12 on. */
export type RoomId = Branded<string, "RoomId">;
/** `$opaque`, or `$opaque:server` in old room versions. */
export type EventId = Branded<string, "EventId">;
/** Client-chosen name of a connection within a device, up to 16 bytes. */
export type ConnId = Branded<string, "ConnId">;
/** Connections of one device that are kept: clients use two or three. */
export const CONNECTIONS_PER_DEVICE = 20;
/** Our own small number for a room, allocated by ingest, stable for the life of a database. */
export type RoomNid = Branded<number, "RoomNid">;
/** Our own number for everything stored: in commit order, gap-free but for a step at each start. 0 = before everything. */
export type StreamPos = number;

/** A string that starts with `sigil` and is short enough to be a Matrix identifier; null otherwise. */
function identifier(value: unknown, sigil: string): string | null {
  return typeof value === "string" && value.startsWith(sigil) && value.length > 1 && value.length <= 255 ? value : null;
}

export const parseUserId = (value: unknown): UserId | null => identifier(value, "@") as UserId | null;
export const parseRoomId = (value: unknown): RoomId | null => identifier(value, "!") as RoomId | null;
