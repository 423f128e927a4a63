import type { StoredEvent, TypedJson } from "#src/protocol/events.ts";
import type { ConnId, DeviceId, EventId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { StoredReceipt } from "#src/protocol/update.ts";
import type { IngestTransaction, StateRow } from "#src/state/ingest-transaction.ts";

/** Every method rejects with `SyncError("storage_unavailable")` when the database cannot be reached in time. */

// ---------------------------------------------------------------- ingest

/** What ingest writes; the pure reducer that makes it may not import a port. */
export type { IngestTransaction, StateRow } from "#src/state/ingest-transaction.ts";

/** The single writer's view of the database. */
export interface IngestStore {
  /** Stream head, highest room number, and the random id made with the database. */
  loadHead(): Promise<{ head: StreamPos; maxRoomNid: number; epoch: string }>;
  /** Known rooms among `roomIds`. */
  loadRooms(roomIds: readonly RoomId[]): Promise<RoomMeta[]>;
  /** Which of these events are stored. */
  knownEvents(eventIds: readonly EventId[]): Promise<Set<EventId>>;
  /** These events, as far as they are stored. */
  loadEvents(eventIds: readonly EventId[]): Promise<StoredEvent[]>;
  /** Current rows for these keys; absent where there is none. */
  loadState(keys: readonly { nid: RoomNid; type: string; stateKey: string }[]): Promise<StateRow[]>;
  /** Every current row of a room. */
  loadRoomState(nid: RoomNid): Promise<StateRow[]>;
  /** Joined and invited members in order of their membership position, with their events, up to `limit` for each room. */
  loadHeroEvents(nids: readonly RoomNid[], limit: number): Promise<StoredEvent[]>;
  /** Standings for these pairs. */
  loadUserRooms(keys: readonly { userId: UserId; nid: RoomNid }[]): Promise<UserRoom[]>;
  /** Which of these users have a device with us. */
  knownUsers(userIds: readonly string[]): Promise<Set<UserId>>;
  /** As `RoomReader.loadTimelines`. */
  loadTimelines(queries: readonly TimelineQuery[]): Promise<TimelineChunk[]>;
  /** Standings of users who are in these rooms since this position or a later one. */
  loadStays(queries: readonly { nid: RoomNid; from: StreamPos }[]): Promise<UserRoom[]>;
  /** Sticky events of these rooms that expire after `afterMs`, redacted or not. */
  loadStickyIds(
    nids: readonly RoomNid[],
    afterMs: number,
  ): Promise<{ nid: RoomNid; id: EventId; sender: string; expiresMs: number; sizeBytes: number }[]>;
  /** Stored tokens of these devices, and where the stream stood when they were stored; absent where there is none. */
  loadSinces(
    devices: readonly { userId: UserId; deviceId: DeviceId }[],
  ): Promise<{ userId: UserId; deviceId: DeviceId; since: string; pos: StreamPos }[]>;
  /** Writes all or nothing. */
  commit(tx: IngestTransaction): Promise<void>;
}

// ---------------------------------------------------------------- reading for clients

/** What a user actor needs to start, all as of one position. */
export interface UserSnapshot {
  head: StreamPos;
  /** `meta` is null for rooms that the caller has. */
  rooms: { standing: UserRoom; meta: RoomMeta | null }[];
  /** Global account data of the types that steer us (`m.direct`, `m.ignored_user_list`), and `m.tag` by room. */
  direct: Uint8Array | null;
  /** Where `m.direct` was changed last; 0 = it never was set. */
  directPos: StreamPos;
  ignored: Uint8Array | null;
  tags: { nid: RoomNid; json: Uint8Array }[];
  /** Transaction ids of the last hour. */
  txns: { deviceId: DeviceId; eventId: string; txnId: string }[];
}

/** Newest first cut of a room's timeline: ascending, contiguous, cut at the newest gap (whose event is included). */
export interface TimelineChunk {
  nid: RoomNid;
  events: StoredEvent[];
  /** True when older events are stored beyond the cut by `limit` (not by a gap). */
  hasMore: boolean;
}

export interface TimelineQuery {
  nid: RoomNid;
  upTo: StreamPos;
  limit: number;
}

export interface StateQuery {
  nid: RoomNid;
  /** [type, state_key]; "*" as type or key matches all. */
  entries: readonly (readonly [type: string, stateKey: string])[];
}

export interface DeviceSnapshot {
  otkCounts: string | null;
  fallbackKeyTypes: string | null;
  /** Positions of their last changes. */
  otkCountsPos: StreamPos;
  fallbackKeyTypesPos: StreamPos;
  /** Undelivered device-list changes, oldest first. */
  deviceLists: { target: string; change: "changed" | "left"; pos: StreamPos }[];
  /** Changes up to here may be deleted although somebody may not have them; 0 = none is. */
  deviceListsFrom: StreamPos;
  /** Newest stored to-device position; 0 = none stored. */
  toDevicePos: StreamPos;
  /** How far the device's connections had read when they were last written down. */
  connections: Pick<StoredConnection, "connId" | "toDevicePos" | "deviceListsPos">[];
}

export interface RoomReader {
  /** Stream head. */
  loadHead(): Promise<StreamPos>;
  /** `hasRoom`: rooms whose metadata the caller has, as of a commit that reached it or will. */
  loadUser(userId: UserId, hasRoom: (nid: RoomNid) => boolean): Promise<UserSnapshot>;
  /** Metadata of known rooms among these ids, with the user's standing where there is one. */
  loadRooms(roomIds: readonly RoomId[]): Promise<RoomMeta[]>;
  /** For each room, the newest `limit` timeline events at or below `upTo`. */
  loadTimelines(queries: readonly TimelineQuery[]): Promise<TimelineChunk[]>;
  /** Current state events that match. */
  loadState(queries: readonly StateQuery[]): Promise<StoredEvent[]>;
  /** Current state that changed after these positions, each event at the position of the change. */
  loadStateSince(queries: readonly { nid: RoomNid; since: StreamPos }[]): Promise<StoredEvent[]>;
  /** All receipts of these rooms; private ones only of `userId`. */
  loadReceipts(nids: readonly RoomNid[]): Promise<StoredReceipt[]>;
  /** Sticky events of these rooms that expire after `afterMs`, oldest first; `json` is empty where one was redacted. */
  loadSticky(nids: readonly RoomNid[], afterMs: number): Promise<StickyEvent[]>;
  /** Account data of a user: of these rooms (0 = global), changed after `after`. */
  loadAccountData(
    userId: UserId,
    nids: readonly (RoomNid | 0)[],
    after: StreamPos,
  ): Promise<(TypedJson & { roomNid: RoomNid | 0; pos: StreamPos })[]>;
  loadDevice(userId: UserId, deviceId: DeviceId): Promise<DeviceSnapshot>;
  /** Messages in (after, ∞), oldest first. */
  loadToDevice(
    userId: UserId,
    deviceId: DeviceId,
    after: StreamPos,
    limit: number,
  ): Promise<{ pos: StreamPos; json: Uint8Array }[]>;
  deleteToDevice(userId: UserId, deviceId: DeviceId, upTo: StreamPos): Promise<void>;
  /** `isForgotten`: not everybody is known to have them; from then on `deviceListsFrom` follows what is deleted. */
  deleteDeviceLists(userId: UserId, deviceId: DeviceId, upTo: StreamPos, isForgotten: boolean): Promise<void>;
}

// ---------------------------------------------------------------- connections

/** What survives of a connection; see `src/protocol/pos.ts` for what a `pos` proves beyond it. */
export interface StoredConnection {
  userId: UserId;
  deviceId: DeviceId;
  connId: ConnId;
  /** Random, new with every start-over: a `pos` of an earlier life is unknown. */
  incarnation: string;
  /** Dialect name and sticky parameters as JSON. */
  params: string;
  /** Which rooms the client holds, as JSON, written behind; null = as they are stored for this incarnation, if at all. */
  cursors: string | null;
  /** The client has to-device messages up to here; null = the connection does not read them. */
  toDevicePos: StreamPos | null;
  /** The client has device-list changes up to here; null = the connection does not read them. */
  deviceListsPos: StreamPos | null;
  lastUsedMs: number;
}

export interface ConnectionStore {
  load(userId: UserId, deviceId: DeviceId, connId: ConnId): Promise<StoredConnection | null>;
  /** Upserts; concurrent calls are grouped into one statement. Resolves when durable against our own crash. */
  save(connection: StoredConnection): Promise<void>;
  delete(userId: UserId, deviceId: DeviceId, connId: ConnId): Promise<void>;
  /** Removes connections not used since `beforeMs`, and of each device all but the `perDevice` used last; how many went. */
  expire(beforeMs: number, perDevice: number): Promise<number>;
}

// ---------------------------------------------------------------- retention

/** Where a walk over all rooms goes on: behind a room, or, with a position, behind that in it. */
export interface RetentionPlace {
  nid: number;
  pos: StreamPos;
}

/** What one step of the walk took away; `next` null = it was the last. */
export interface Trimmed {
  events: number;
  receipts: number;
  next: RetentionPlace | null;
}

export interface RetentionStore {
  /** Takes away sticky events that expired before `beforeMs`; how many went. */
  expireSticky(beforeMs: number): Promise<number>;
  /**
   * Takes away a bounded part of what nobody is shown any more: events before the newest so many of a room, by whether somebody of ours
   * is in it (null = none), but for state; receipts of who is gone. What stays begins with a gap that clients can page into.
   */
  trim(from: RetentionPlace | null, keep: { ours: number; others: number } | null): Promise<Trimmed>;
  /** Has the space of what was removed from one table used again, where the database does not see to that itself; null = nothing to do. */
  clearUp(): Promise<{ table: string } | null>;
}

// ---------------------------------------------------------------- devices and tokens

export interface DeviceRecord {
  userId: UserId;
  deviceId: DeviceId;
  /** null = no first sync yet. */
  since: string | null;
  /** `since` came from another database: the rooms are still to be read. */
  roomsAreDue: boolean;
  /** Unsealed; null when the device has no valid token. */
  accessToken: string | null;
  tokenHash: string | null;
  lastSeenMs: number;
  /** Since when an operator has it paused; null = it is polled. */
  pausedMs: number | null;
}

export interface DeviceStore {
  /** Who a token belongs to, and whether it is the last one proven for its device; null = unknown to us. */
  findToken(
    tokenHash: string,
  ): Promise<{ userId: UserId; deviceId: DeviceId; lastSeenMs: number; isNewest: boolean } | null>;
  /** Remembers a token just proven by whoami, and its device; the newest token of a device is the one polled with. */
  saveToken(token: {
    hash: string;
    accessToken: string;
    userId: UserId;
    deviceId: DeviceId;
    nowMs: number;
  }): Promise<void>;
  touchToken(tokenHash: string, nowMs: number): Promise<void>;
  /** The homeserver refused it. */
  removeToken(tokenHash: string): Promise<void>;
  loadDevice(userId: UserId, deviceId: DeviceId): Promise<DeviceRecord | null>;
  /** Has a device polled no more, or again (null); false when it is not known. */
  setPaused(userId: UserId, deviceId: DeviceId, pausedMs: number | null): Promise<boolean>;
  /** Devices with a token seen since `sinceMs`, newest first, without their tokens. */
  listDevices(sinceMs: number): Promise<{ userId: UserId; deviceId: DeviceId; lastSeenMs: number }[]>;
  /** Uploaded filter id for a user and filter body hash. */
  findFilter(userId: UserId, filterHash: string): Promise<string | null>;
  saveFilter(userId: UserId, filterHash: string, filterId: string): Promise<void>;
  /** Removes the tokens not used since `beforeMs`; whose they were. `since` and all data stay. */
  expireTokens(beforeMs: number): Promise<{ tokenHash: string; userId: UserId; deviceId: DeviceId }[]>;
  /**
   * Deletes what is kept for devices that have had no token since before `beforeMs`, and notes which have none now; how
   * many devices. How far they are polled stays: it tells of the rooms that were left meanwhile.
   */
  expireDevices(beforeMs: number, nowMs: number): Promise<number>;
  /** Forgets transaction ids seen before `beforeMs`; how many went. */
  expireTxns(beforeMs: number): Promise<number>;
}
