import type { Membership, StoredEvent, TypedJson } from "#src/protocol/events.ts";
import type { DeviceId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PolledToDevice, Rejected } from "#src/protocol/poll-batch.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { StoredReceipt } from "#src/protocol/update.ts";

/** One row of current state, without its event. */
export interface StateRow {
  nid: RoomNid;
  type: string;
  stateKey: string;
  /**
   * Position of the change. It is the event's own position, except when state fell back to an event that was
   * stored before: that change has a position of its own, and the event is found by its id.
   */
  pos: StreamPos;
  /** For `m.room.member`; null otherwise. */
  membership: Membership | null;
  /** `origin_server_ts` of the event: tells which of two pollers is behind. */
  ts: number;
  /** Event id, to compare with `unsigned.replaces_state`. */
  eventId: string;
}

/** Everything one commit writes. Arrays may be empty; rows within one array have distinct keys. */
export interface IngestTransaction {
  /** Stream head after this commit. */
  head: StreamPos;
  /** New rooms and changed metadata. */
  rooms: { meta: RoomMeta; isNew: boolean }[];
  events: StoredEvent[];
  /** Events stored before as they are after a redaction: only their `json` differs. */
  redacted: StoredEvent[];
  /** Timeline events stored before whose place is another now: they are among `events` again, and go from here. */
  moved: StoredEvent[];
  /** New current state, the row of every (room, type, state_key) that changed. */
  state: StateRow[];
  /** Rooms whose state was compared with the homeserver's: such a repair has a position, and takes rows away. */
  repairs: { nid: RoomNid; pos: StreamPos; removed: { type: string; stateKey: string }[] }[];
  userRooms: UserRoom[];
  receipts: StoredReceipt[];
  /** Events that are sticky now, or were and are redacted. */
  sticky: StickyEvent[];
  /** `roomNid` 0 = global. */
  accountData: (TypedJson & { userId: UserId; roomNid: RoomNid | 0; pos: StreamPos })[];
  toDevice: (PolledToDevice & { userId: UserId; deviceId: DeviceId; pos: StreamPos })[];
  deviceLists: { userId: UserId; deviceId: DeviceId; target: string; change: "changed" | "left"; pos: StreamPos }[];
  /** null = leave the stored value. */
  deviceKeys: {
    userId: UserId;
    deviceId: DeviceId;
    otkCounts: string | null;
    fallbackKeyTypes: string | null;
    pos: StreamPos;
  }[];
  txns: { userId: UserId; deviceId: DeviceId; eventId: string; txnId: string; nowMs: number }[];
  quarantine: (Rejected & { userId: UserId; deviceId: DeviceId; nowMs: number })[];
  /** `pos`: where the stream stood when the poll was stored. `roomsAreDue`: as of a batch, see there. */
  sinces: { userId: UserId; deviceId: DeviceId; since: string; pos: StreamPos; roomsAreDue?: true }[];
}

/** A transaction that changes nothing. */
export const emptyTransaction = (head: StreamPos): IngestTransaction => ({
  head,
  rooms: [],
  events: [],
  redacted: [],
  moved: [],
  state: [],
  repairs: [],
  userRooms: [],
  receipts: [],
  sticky: [],
  accountData: [],
  toDevice: [],
  deviceLists: [],
  deviceKeys: [],
  txns: [],
  quarantine: [],
  sinces: [],
});
