import type { SyncError } from "#src/errors.ts";
import type { DialectName } from "#src/protocol/dialects/dialect.ts";
import type { ConnId, DeviceId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { SyncRequest } from "#src/protocol/request.ts";
import type { SyncAnswer } from "#src/ports/gateway.ts";
import type { StoredConnection } from "#src/ports/stores.ts";
import type { Barrier } from "#actors/directory/barrier.ts";
import type { Asked } from "#actors/runtime/actor.ts";
import type { UserLink } from "#actors/user/user-link.ts";
import type { UpcomingRooms } from "./reading-ahead.ts";

export type { SyncAnswer };

export type ConnectionCommand =
  | Asked<
      {
        type: "sync-request";
        userId: UserId;
        deviceId: DeviceId;
        connId: ConnId;
        dialect: DialectName;
        pos: string | null;
        timeoutMs: number;
        request: SyncRequest;
        /** Lets main cancel this very request when its client hangs up. */
        requestId: number;
      },
      SyncAnswer
    >
  /** The client of this request has gone. */
  | { type: "cancel-request"; requestId: number }
  /** The device was logged out or its token died: answer what is parked. */
  | { type: "device-expired" }
  /** An operator has it ended for good: its client starts over. */
  | Asked<{ type: "drop" }, { ok: true }>;

/** From the connection's own user actor, in stream order. */
export type ConnectionFeed =
  | { type: "user-ready"; link: UserLink }
  | { type: "user-failed"; error: SyncError }
  /** The device has too many connections: this one ends for good. */
  | { type: "expire" }
  /** `rooms`: with bits of `DIRTY`; `bits`: of `DIRTY_USER`. */
  | {
      type: "updates-applied";
      pos: StreamPos;
      rooms: readonly (readonly [nid: RoomNid, bits: number])[];
      bits: number;
      /** null when nobody waits for it to be taken in. */
      barrier: Barrier | null;
    };

export type ConnectionEvent =
  | { type: "stored-loaded"; stored: StoredConnection | null }
  | { type: "work-ready"; workId: number }
  | { type: "work-failed"; workId: number; error: SyncError }
  | { type: "poll-timeout"; requestId: number }
  | { type: "read-ahead"; rooms: UpcomingRooms }
  | { type: "flush-cursors" }
  | { type: "idle-check" };

export type ConnectionMessage = ConnectionCommand | ConnectionFeed | ConnectionEvent;
