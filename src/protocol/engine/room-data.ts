import type { StoredEvent } from "../events.ts";
import type { RoomNid, StreamPos } from "../ids.ts";
import type { StateSelection } from "../required-state.ts";
import type { StickyEvent } from "../sticky-events.ts";
import type { StoredReceipt } from "../update.ts";

/** The newest part of a room's timeline that is in memory. */
export interface TimelineTail {
  /** Ascending, contiguous. */
  events: readonly StoredEvent[];
  /** No timeline event in (coversFrom, head] is missing from `events`. */
  coversFrom: StreamPos;
  /** True when nothing older can be shown: the start of what is stored, or a gap. */
  isComplete: boolean;
}

/** What the engine reads of rooms while a response is put together; everything asked for has been fetched before. */
export interface RoomData {
  tail(nid: RoomNid): TimelineTail;
  /** Current state that is selected, in stream order. */
  state(nid: RoomNid, selection: StateSelection): StoredEvent[];
  member(nid: RoomNid, userId: string): StoredEvent | null;
  /** Current state that changed since the position for which it was asked for; null where it was not. */
  changes(nid: RoomNid): readonly StoredEvent[] | null;
  /** Receipts on these events, and all of this user's own (private ones included). */
  receipts(nid: RoomNid, eventIds: ReadonlySet<string>, userId: string): StoredReceipt[];
  /** Receipts that came after a position: public ones and this user's own. */
  receiptsAfter(nid: RoomNid, after: StreamPos, userId: string): StoredReceipt[];
  /** The latest `m.typing` event and whom it names; null when none was seen. */
  typing(nid: RoomNid): { json: Uint8Array; userIds: readonly string[] } | null;
  /** Account data of the room (0 = global) changed after a position. */
  accountData(nid: RoomNid | 0, after: StreamPos): Uint8Array[];
  /** When it is, in the time of day. */
  readonly nowMs: number;
  /** Sticky events of the room that have not expired, oldest first. */
  sticky(nid: RoomNid): readonly StickyEvent[];
  /** What is left of the time for which an event is sticky; null for one that is not. */
  stickyTtlMs(nid: RoomNid, eventId: string): number | null;
  /** Transaction id under which this device sent one of the user's own events. */
  txnId(eventId: string): string | null;
}
