import type { StoredEvent, TypedJson } from "./events.ts";
import type { DeviceId, RoomId, RoomNid, StreamPos, UserId } from "./ids.ts";
import type { RoomMeta, UserRoom } from "./room-meta.ts";
import type { StickyEvent } from "./sticky-events.ts";

/** A receipt with its place in the stream. */
export interface StoredReceipt {
  nid: RoomNid;
  userId: string;
  eventId: string;
  threadId: string;
  isPrivate: boolean;
  ts: number;
  pos: StreamPos;
}

/** What a commit changed in one room; the same for every viewer, except that private receipts are for their owner. */
export interface RoomUpdate<B = Uint8Array> {
  nid: RoomNid;
  roomId: RoomId;
  /** The room as it is after this update. */
  meta: RoomMeta;
  /** New timeline events in stream order. */
  timeline: StoredEvent<B>[];
  /** New current state that arrived outside the timeline (state blocks, `state_after`). */
  state: StoredEvent<B>[];
  /** Events stored before as they are after a redaction; their places in the stream stay. */
  redacted: StoredEvent<B>[];
  /** True when a client that knows the room has to be sent it anew: a gap, a reset, a rejoin with a state block. */
  isReset: boolean;
  /** Timeline events at and behind this position are told anew by `timeline`, in another order; null = none are. */
  retoldFrom: StreamPos | null;
  receipts: StoredReceipt[];
  /** Events that are sticky from now on, and those redacted that were; absent = none. */
  sticky?: StickyEvent<B>[];
  /** The new `m.typing` event; null = unchanged. Never stored. */
  typing: { json: B; userIds: string[] } | null;
}

/** What a commit changed for one user. */
export interface UserUpdate<B = Uint8Array> {
  userId: UserId;
  /** Standing in rooms: memberships, invites, unread counts. */
  rooms: UserRoom<B>[];
  /** `roomNid` null = global. */
  accountData: (TypedJson<B> & { roomNid: RoomNid | null; pos: StreamPos })[];
  /** Newest stored to-device position by device. */
  toDevice: { deviceId: DeviceId; pos: StreamPos }[];
  /** Newest device-list or key-count change by device. */
  deviceChanges: { deviceId: DeviceId; pos: StreamPos }[];
  /** The user's own events now known with the transaction id of the sending device. */
  txns: { deviceId: DeviceId; eventId: string; txnId: string }[];
  /** The user's own new events whose transaction id may still come from the poller of another device. */
  awaited: { nid: RoomNid; eventId: string; pos: StreamPos }[];
  /** Awaited events of which every device has been heard: no transaction id will come. */
  cleared: string[];
  /** Devices whose first sync is complete with this commit. */
  firstSyncDone: DeviceId[];
}

/** One committed transaction, as the sync hosts learn of it. */
export interface UpdateBatch<B = Uint8Array> {
  /** Everything in (fromPos, toPos] is in here. */
  fromPos: StreamPos;
  toPos: StreamPos;
  rooms: RoomUpdate<B>[];
  users: UserUpdate<B>[];
  /** `traceparent` of one of the polls in it; null when none is sampled. */
  traceparent: string | null;
}
