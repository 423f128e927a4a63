import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { StateRow } from "./ingest-transaction.ts";

/** What a poller's typing report is compared with. */
export interface TypingState {
  /** Key of the poller whose reports count; null when that poller stopped. */
  owner: string | null;
  hash: string;
  /** The event, as sync hosts were told of it. */
  typing: { json: Uint8Array; userIds: readonly string[] };
}

/** Last values of a device's key counts; null = never reported. */
export interface KnownDeviceKeys {
  otkCounts: string | null;
  fallbackKeyTypes: string | null;
}

/** An own event of a user whose transaction id may still come. */
export interface AwaitedEvent {
  userId: UserId;
  /** Polling devices of the user that have not brought the event yet. */
  devices: ReadonlySet<DeviceId>;
}

/** A sticky event that is stored and has not expired, redacted or not. */
export interface KnownSticky {
  sender: string;
  expiresMs: number;
  sizeBytes: number;
}

/** All a group of batches is reduced against: the stored world as far as these batches touch it. */
export interface IngestContext {
  readonly head: StreamPos;
  readonly maxRoomNid: number;
  readonly nowMs: number;
  room(roomId: RoomId): RoomMeta | null;
  isKnownEvent(eventId: EventId): boolean;
  /** An event that a redaction of this group names, or a redaction that one of its events was awaited by; null = not stored. */
  storedEvent(eventId: string): StoredEvent | null;
  stateRow(nid: RoomNid, type: string, stateKey: string): StateRow | null;
  /** All rows of a room of which the group holds a snapshot. */
  roomRows(nid: RoomNid): readonly StateRow[];
  /** Where the stream stood when the device's previous poll was answered; -1 = not known. */
  polledAt(userId: UserId, deviceId: DeviceId): StreamPos;
  userRoom(userId: UserId, nid: RoomNid): UserRoom | null;
  /** The newest timeline events of a room, all since the newest gap or a bounded number; null = not read, for nothing of the group is late. */
  tail(nid: RoomNid): readonly StoredEvent[] | null;
  /** Standings that name a place in a tail. */
  stays(nid: RoomNid): readonly UserRoom[];
  /** True for users that have a device with us. */
  isKnownUser(userId: string): boolean;
  /** Joined and invited members by membership position, as stored before this group. */
  heroEvents(nid: RoomNid): readonly StoredEvent[];
  /** By event id: the sticky events of a room, where the group has any to add or to redact. */
  sticky(nid: RoomNid): ReadonlyMap<string, KnownSticky>;
  /** undefined = not remembered. */
  receipt(key: string): { eventId: string; ts: number } | undefined;
  accountDataHash(key: string): string | undefined;
  deviceKeys(userId: UserId, deviceId: DeviceId): KnownDeviceKeys | undefined;
  /** Stored token of a device of which nothing has been committed in this incarnation; null for others. */
  resumedSince(userId: UserId, deviceId: DeviceId): string | null;
  typing(nid: RoomNid): TypingState | undefined;
  /** Devices of a user that are being polled. */
  pollingDevices(userId: string): ReadonlySet<DeviceId>;
  /** null = nobody waits for a transaction id of this event. */
  awaited(eventId: EventId): AwaitedEvent | null;
}

/** Identifies one poller. */
export const pollerKey = (userId: string, deviceId: string): string => `${userId}\0${deviceId}`;

/** True for the key of one of the user's devices. */
export const isPollerOf = (key: string, userId: string): boolean => key.startsWith(`${userId}\0`);
export const receiptKey = (r: { nid: number; userId: string; threadId: string; isPrivate: boolean }): string =>
  `${r.nid}\0${r.isPrivate ? 1 : 0}${r.userId}\0${r.threadId}`;
export const accountDataKey = (userId: string, roomNid: number, type: string): string =>
  `${userId}\0${roomNid}\0${type}`;
export const standingKey = (userId: string, nid: number): string => `${nid}\0${userId}`;
export const stateKeyOf = (nid: number, type: string, stateKey: string): string => `${nid}\0${type}\0${stateKey}`;
