import type { SyncError } from "#src/errors.ts";
import type { DeviceId, StreamPos } from "#src/protocol/ids.ts";
import type { RoomUpdate, UserUpdate } from "#src/protocol/update.ts";
import type { UserSnapshot } from "#src/ports/stores.ts";
import type { Barrier } from "#actors/directory/barrier.ts";
import type { Address } from "#actors/runtime/actor.ts";

/** From connections of the same host. */
export type UserCommand =
  /** Answered by `user-ready` or `user-failed` to the connection, once the device's first sync is stored. */
  { type: "attach"; deviceId: DeviceId; connection: Address } | { type: "detach"; connection: Address };

/** From the host's directory, in stream order. */
export type UserFeed = {
  type: "feed";
  toPos: StreamPos;
  rooms: readonly RoomUpdate[];
  user: UserUpdate | null;
  barrier: Barrier;
};

/** `loadId`: what comes of a reading that was given up on is of the past. */
export type UserEvent =
  | { type: "polling-ensured"; deviceId: DeviceId }
  | { type: "polling-failed"; deviceId: DeviceId; error: SyncError }
  | { type: "ensure-polling-again"; deviceId: DeviceId }
  | { type: "snapshot-loaded"; loadId: number; snapshot: UserSnapshot }
  | { type: "snapshot-applied"; loadId: number; snapshot: UserSnapshot }
  | { type: "load-failed"; loadId: number; error: SyncError }
  | { type: "load-timeout"; loadId: number }
  /** An own event has waited long enough for its transaction id. */
  | { type: "held-due" }
  | { type: "idle-check" };

export type UserMessage = UserCommand | UserFeed | UserEvent;
