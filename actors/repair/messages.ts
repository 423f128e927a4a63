import type { SyncError } from "#src/errors.ts";
import type { RepairReader, RepairRequest } from "#src/ports/repair.ts";
import type { RoomId } from "#src/protocol/ids.ts";
import type { Suspicion } from "#src/state/group-draft.ts";
import type { Outcome } from "./compare-room.ts";
import type { RoomTask } from "./repair-queue.ts";
import type { Walked } from "./walk.ts";

/** What others tell the repairs. */
export type RepairCommand =
  /** What was stored does not fit together: these rooms are compared with the homeserver, by and by. */
  { type: "suspect-rooms"; rooms: readonly Suspicion[] };

/** What it sends to itself. */
export type RepairEvent =
  | { type: "room-compared"; task: RoomTask; outcome: Outcome }
  | { type: "go-on" }
  | { type: "walk" }
  | { type: "user-chosen"; reader: RepairReader | null; userCount: number }
  | { type: "user-walked"; walked: Walked }
  | { type: "watch" }
  | { type: "watched"; isTold: boolean }
  | { type: "look-for-requests" }
  | { type: "request-found"; request: RepairRequest | null }
  | { type: "request-listed"; rooms: readonly RequestedRoom[]; request: RepairRequest }
  | { type: "request-saved"; isEnded: boolean }
  | { type: "step-failed"; step: "walk" | "request" | "watch"; error: SyncError };

/** A room of a request; `nid` is how far the request has come when the room is done. */
export interface RequestedRoom {
  nid: number;
  roomId: RoomId;
}

export type RepairMessage = RepairCommand | RepairEvent;
