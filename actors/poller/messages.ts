import type { SyncError } from "#src/errors.ts";
import type { UpstreamResult } from "#src/ports/homeserver.ts";
import type { DeviceRecord } from "#src/ports/stores.ts";
import type { Asked } from "#actors/runtime/actor.ts";

/** Answer of `ensure-polling`: the device's first sync is stored and applied. */
export interface PollingEnsured {
  ok: true;
}

/** What others send to a poller. */
export type PollerCommand =
  /** Start or resume; answered when the first sync is done. Rejected `unknown_token` when the token is dead. */
  | Asked<{ type: "ensure-polling" }, PollingEnsured>
  /** The device is in use: stay awake, resume when parked. */
  | { type: "touch" }
  /** A newer token is stored for this device: use it from the next poll on, and at once after a 401. */
  | { type: "token-changed" }
  /** Poll now (keys were uploaded, an invite accepted …). */
  | { type: "poll-now" };

/** What a poller sends to itself. */
export type PollerEvent =
  | { type: "device-loaded"; device: DeviceRecord | null }
  | { type: "load-failed"; error: SyncError }
  | { type: "filter-ready"; filter: string }
  | { type: "poll-ended"; pollId: number; result: UpstreamResult<Uint8Array<ArrayBuffer>> }
  | { type: "batch-stored"; pollId: number }
  | { type: "batch-failed"; pollId: number; error: SyncError }
  | { type: "retry"; attempt: number }
  | { type: "check-idle" };

export type PollerMessage = PollerCommand | PollerEvent;
