import type { EventFields, TypedJson } from "./events.ts";
import type { DeviceId, RoomId, StreamPos, UserId } from "./ids.ts";

/** One receipt of `m.receipt`. */
export interface PolledReceipt {
  userId: string;
  eventId: string;
  /** "" = unthreaded. */
  threadId: string;
  isPrivate: boolean;
  ts: number;
}

/** `rooms.join.{id}` of one poll. */
export interface PolledJoin<B = Uint8Array> {
  kind: "join";
  roomId: RoomId;
  /** `state.events` or, with `isStateAfter`, `state_after.events` (MSC4222). */
  state: EventFields<B>[];
  isStateAfter: boolean;
  timeline: EventFields<B>[];
  /** Sticky events that are in no timeline of this device (MSC4354); absent = none. */
  sticky?: EventFields<B>[];
  limited: boolean;
  /** Token at the start of `timeline`. Belongs to the raw first event: null when that event was rejected. */
  prevBatch: string | null;
  accountData: TypedJson<B>[];
  /** The whole `m.typing` event and its user ids. */
  typing: { json: B; userIds: string[] } | null;
  receipts: PolledReceipt[];
  /** null = the homeserver did not say. */
  notificationCount: number | null;
  highlightCount: number | null;
}

/** `rooms.invite.{id}` or `rooms.knock.{id}`: stripped state as one JSON array, exactly as received. */
export interface PolledStripped<B = Uint8Array> {
  kind: "invite" | "knock";
  roomId: RoomId;
  /** Bytes of the JSON array `invite_state.events` / `knock_state.events`. */
  stripped: B;
}

/** `rooms.leave.{id}`: left, kicked or banned. */
export interface PolledLeave<B = Uint8Array> {
  kind: "leave";
  roomId: RoomId;
  state: EventFields<B>[];
  isStateAfter: boolean;
  timeline: EventFields<B>[];
  limited: boolean;
  prevBatch: string | null;
  accountData: TypedJson<B>[];
}

/**
 * The whole current state of a room, read from the homeserver for a user, to repair what we hold. Every event that the
 * homeserver had then and that a timeline brings to the user is stored before this is.
 */
export interface PolledSnapshot<B = Uint8Array> {
  kind: "snapshot";
  roomId: RoomId;
  state: EventFields<B>[];
  /** Where the stream stood before the homeserver was asked: what changed after it is newer than this. */
  readAt: StreamPos;
  /** False when something in the answer could not be read: what is not listed may be there all the same. */
  isWhole: boolean;
  /** Clients are to be sent the room anew even when nothing was wrong. */
  isForced: boolean;
}

/** The homeserver says that the user is in this room no more; `readAt` as in a snapshot. */
export interface PolledGone {
  kind: "gone";
  roomId: RoomId;
  readAt: StreamPos;
}

/** The user has forgotten a room that they are out of: the homeserver will not mention it again. */
export interface PolledForgotten {
  kind: "forgotten";
  roomId: RoomId;
}

export type PolledRoom<B = Uint8Array> =
  | PolledJoin<B>
  | PolledStripped<B>
  | PolledLeave<B>
  | PolledSnapshot<B>
  | PolledGone
  | PolledForgotten;

/** One to-device message, verbatim. */
export interface PolledToDevice<B = Uint8Array> {
  type: string;
  sender: string;
  json: B;
}

/** Something that was skipped, and why. Never holds more than a bounded sample of the bytes. */
export interface Rejected {
  roomId: string | null;
  /** e.g. `join.timeline`, `to_device`, `rooms`. */
  section: string;
  reason: string;
  /** At most 2 KiB of the offending bytes, base64. */
  sample: string;
}

/**
 * What one poll of one device brought, or one piece of a large first sync.
 * Only the last piece carries `since`; replaying pieces is harmless.
 */
export interface PollBatch<B = Uint8Array> {
  userId: UserId;
  deviceId: DeviceId;
  /** `next_batch`; null for all but the last piece. "" when the homeserver gave none. */
  since: string | null;
  /** True when the poll was made without `since`. */
  isFirstSync: boolean;
  /** Set when the device synced before all the same, as after an answer without `next_batch`: its rooms may be news. */
  hasSyncedBefore?: true;
  /** Set when its `since` came from another database and the rooms are still to be read. */
  roomsAreDue?: true;
  /** Where the stream stood before the poll was asked for, as ingest told its poller; absent = only the stored `since` may tell. */
  polledAt?: StreamPos;
  toDevice: PolledToDevice<B>[];
  deviceListsChanged: string[];
  deviceListsLeft: string[];
  /** JSON text of `device_one_time_keys_count`; null = absent. */
  otkCounts: string | null;
  /** JSON text of `device_unused_fallback_key_types`; null = absent. */
  fallbackKeyTypes: string | null;
  accountData: TypedJson<B>[];
  rooms: PolledRoom<B>[];
  /** The homeserver's token of behind all that is in the rooms' timelines; absent = not known. */
  roomsEnd?: string;
  rejected: Rejected[];
  /** `traceparent` of the poll; null when not sampled. */
  traceparent: string | null;
}

/** A batch that brings nothing but what is given. */
export const newBatch = (userId: UserId, deviceId: DeviceId, parts: Partial<PollBatch> = {}): PollBatch => ({
  userId,
  deviceId,
  since: null,
  isFirstSync: false,
  toDevice: [],
  deviceListsChanged: [],
  deviceListsLeft: [],
  otkCounts: null,
  fallbackKeyTypes: null,
  accountData: [],
  rooms: [],
  rejected: [],
  traceparent: null,
  ...parts,
});
