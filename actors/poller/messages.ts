import type { SyncError } from "#src/errors.ts";
import type { UpstreamResult } from "#src/ports/homeserver.ts";
import type { DeviceRecord } from "#src/ports/stores.ts";
import type { RoomId, StreamPos } from "#src/protocol/ids.ts";
import type { Packed } from "#src/protocol/packed.ts";
import type { Presence } from "#src/protocol/presence.ts";
import type { Asked, Reply } from "#actors/runtime/actor.ts";

/** Answer of `ensure-polling`: the device's first sync is stored and applied. */
export interface PollingEnsured {
  ok: true;
}

/** A part of a room's history that the homeserver is asked for. */
export interface HistoryQuery {
  roomId: RoomId;
  /** Events from before this token, so many at most. */
  from: string;
  limit: number;
  deadlineMs: number;
}

/** What the homeserver has of it, or why there is nothing to go by. */
export type HistoryAnswer =
  /** See `OlderEvents`. */
  | { kind: "read"; events: Packed; prevBatch: string | null; hasMore: boolean }
  /** Nobody may ask for the device now: there is no token, or the homeserver is left in peace. */
  | { kind: "unavailable" }
  /** It is not for this user. */
  | { kind: "refused" }
  | { kind: "failed"; retryAfterMs: number };

/** What others send to a poller. */
export type PollerCommand =
  /**
   * Start or resume; answered when the first sync is done. Rejected `unknown_token` or `soft_logout` when the token is dead,
   * `homeserver_unreachable` or `storage_unavailable` when the first sync keeps failing (the poller goes on trying).
   */
  | Asked<{ type: "ensure-polling" }, PollingEnsured>
  /** The device is in use: stay awake, resume when parked. */
  | { type: "touch" }
  /** One of the device's connections says how its user is to be seen, for so long. */
  | { type: "be-seen"; connection: string; presence: Presence; forMs: number }
  /** A newer token is stored for this device: use it from the next poll on, and at once after a 401. */
  | { type: "token-changed" }
  /** Nobody has used this token for so long that it was removed: a poller that still polls with it ends. */
  | { type: "token-unused"; tokenHash: string }
  /**
   * Poll now, or when patient as soon as the poll under way is through; answered when a poll that was begun after this is stored and applied: everything the homeserver had for the user
   * by then is here. Rejected `homeserver_unreachable` or `storage_unavailable` when polls keep failing.
   */
  | Asked<{ type: "poll-through"; isPatient?: true }, PollingEnsured>
  /** Read a part of a room's history with the device's token. */
  | Asked<{ type: "read-history"; query: HistoryQuery }, HistoryAnswer>
  /** An operator has paused or resumed the device: storage says which. */
  | { type: "pause-changed" }
  /** Poll now (keys were uploaded, an invite accepted …). Wakes nobody, and says nothing of the device being in use. */
  | { type: "poll-now" };

/** The end of what a poller is doing at the moment; `stepId` tells it from the end of something given up. */
export type StepEvent =
  | { type: "slot-granted"; stepId: number }
  | { type: "poll-ended"; stepId: number; result: UpstreamResult<Uint8Array<ArrayBuffer>> }
  | { type: "send-batch"; stepId: number }
  | { type: "batch-stored"; stepId: number; pos: StreamPos }
  | { type: "batch-failed"; stepId: number; error: SyncError }
  | { type: "retry"; stepId: number }
  | { type: "check-idle"; stepId: number };

/** What a poller sends to itself. */
export type PollerEvent =
  | { type: "device-loaded"; loadId: number; device: DeviceRecord | null }
  | { type: "load-failed"; loadId: number; error: SyncError }
  | { type: "filter-ready"; filterId: string | null }
  | { type: "patience-over" }
  /** Another device of the user is as far as this one was, or will not be. */
  | { type: "companion-polled"; isThrough: boolean }
  | { type: "history-read"; answer: HistoryAnswer; reply: Reply<HistoryAnswer> }
  | StepEvent;

export type PollerMessage = PollerCommand | PollerEvent;
