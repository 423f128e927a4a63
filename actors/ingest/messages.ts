import type { SyncError } from "#src/errors.ts";
import type { RoomNid, StreamPos } from "#src/protocol/ids.ts";
import type { Packed } from "#src/protocol/packed.ts";
import type { Reduction } from "#src/state/ingest-reducer.ts";
import type { Asked } from "#actors/runtime/actor.ts";

/** The batch is committed and every sync host has applied it. */
export interface BatchApplied {
  /** Where the stream stands: what the poller asks for next, the homeserver answers later than all of this came about. */
  pos: StreamPos;
}

/** Everything this poller ever brought is stored, or gone. */
export interface PollerSettled {
  ok: true;
}

/** Who types in which room, by pollers that told so. */
export interface TypingRecalled {
  /** The `m.typing` event as JSON text. */
  rooms: { nid: RoomNid; json: string; userIds: readonly string[] }[];
}

export type IngestCommand =
  /** One `PollBatch` (`packPollBatch`), its bytes transferred. Answered after storage and fan-out. */
  | Asked<{ type: "store-batch"; packed: Packed }, BatchApplied>
  /**
   * A poller starts: answered when nothing of an earlier life of it waits any more. Only then is the stored `since` the last
   * one, and what was polled with it not polled again.
   */
  | Asked<{ type: "settle-poller"; userId: string; deviceId: string }, PollerSettled>
  /** A sync host begins, and nothing that is stored says who is typing. */
  | Asked<{ type: "recall-typing" }, TypingRecalled>
  /** To an ingest that has just begun: these devices are being polled, though their pollers may have nothing to say for a while. */
  | { type: "pollers-run"; devices: readonly { userId: string; deviceId: string }[] }
  /** The poller of this device ended or parked: what it alone reported (typing) is released. */
  | { type: "poller-stopped"; userId: string; deviceId: string };

/** What ingest sends to itself. */
export type IngestEvent =
  | { type: "head-loaded"; head: StreamPos; maxRoomNid: number }
  | { type: "head-failed"; error: SyncError }
  | { type: "load-head" }
  | { type: "group-reduced"; groupId: number; reduction: Reduction }
  | { type: "group-stored"; groupId: number }
  | { type: "group-applied"; groupId: number }
  | { type: "group-failed"; groupId: number; error: SyncError }
  | { type: "flush-sinces" }
  | { type: "drain-timeout" };

export type IngestMessage = IngestCommand | IngestEvent;
