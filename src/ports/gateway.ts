import type { DialectName } from "#src/protocol/dialects/dialect.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Presence } from "#src/protocol/presence.ts";
import type { SyncRequest } from "#src/protocol/request.ts";

/** A finished response: one buffer, forwarded by main as it is. */
export interface SyncAnswer {
  body: Uint8Array<ArrayBuffer>;
  /** For the request log. */
  posOut: string;
  rooms: number;
  ops: number;
  waitedMs: number;
  /** How long it took until the connection was ready to serve the request: a first sync is part of that. */
  setupMs: number;
}

/** Whose token it is. */
export interface Identity {
  userId: UserId;
  /** "" for tokens without a device. */
  deviceId: DeviceId;
  tokenHash: string;
}

/** One sync request after all checks of its own. */
export interface SyncInput {
  dialect: DialectName;
  pos: string | null;
  timeoutMs: number;
  /** How its user is to be seen; absent where asking says nothing of that. */
  presence?: Presence;
  request: SyncRequest;
  /** Fires when the client hangs up. */
  signal: AbortSignal;
}

/** Through which HTTP reaches the actors. Rejects with `SyncError` only. */
export interface SyncGateway {
  /** Asks our own storage, then the homeserver; both answers are cached. */
  identify(accessToken: string): Promise<Identity>;
  sync(identity: Identity, input: SyncInput): Promise<SyncAnswer>;
}
