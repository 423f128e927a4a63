import type { DeviceId, EventId, RoomId, UserId } from "#src/protocol/ids.ts";
import type { Presence } from "#src/protocol/presence.ts";

/** How an upstream call failed; decided once, by `src/homeserver/classify.ts` (E5). */
export type UpstreamFailure =
  /** 401, or 403 on sync: the token is dead. */
  | { kind: "auth"; softLogout: boolean; status: number; body: string }
  /** Worth a retry, not before `retryAfterMs` (0 = own backoff). */
  | { kind: "transient"; status: number; retryAfterMs: number; reason: string }
  /** The request itself is refused (other 4xx). */
  | { kind: "refused"; status: number; errcode: string | null; reason: string; body: string };

export type UpstreamResult<T> = { ok: true; value: T } | { ok: false; failure: UpstreamFailure };

export interface SyncRequestParams {
  accessToken: string;
  /** null on a first sync. */
  since: string | null;
  /** How long the homeserver may hold the request. */
  timeoutMs: number;
  /** How the user is seen while the homeserver holds it. */
  presence: Presence;
  /** Filter id or inline JSON. */
  filter: string;
  /** Give up after this long without a complete answer. */
  deadlineMs: number;
  traceparent: string | null;
}

/** So many events of a room beside a token. */
export interface MessagesPage {
  from: string;
  limit: number;
  deadlineMs: number;
}

/** The homeserver's client-server API, as far as we use it. Never throws; every call has a deadline. */
export interface Homeserver {
  /** Spec versions and unstable features; cached by the implementation. */
  versions(): Promise<UpstreamResult<{ versions: string[]; unstableFeatures: Record<string, boolean> }>>;
  whoami(accessToken: string): Promise<UpstreamResult<{ userId: UserId; deviceId: DeviceId | null; isGuest: boolean }>>;
  /** Body bytes of `GET /rooms/{roomId}/state`: as of now for a member, as of leaving for who left. */
  roomState(accessToken: string, roomId: RoomId): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>>;
  /** Body bytes of `GET /rooms/{roomId}/messages`: events from before a token, the newest first. */
  roomMessages(
    accessToken: string,
    roomId: RoomId,
    page: MessagesPage,
  ): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>>;
  /** Ids of a room's events from behind a token on, the oldest first, and the token behind them; null = it has none. */
  roomEventsAfter(
    accessToken: string,
    roomId: RoomId,
    page: MessagesPage,
  ): Promise<UpstreamResult<{ ids: EventId[]; end: string | null }>>;
  /** The rooms that the token's user is in. */
  joinedRooms(accessToken: string): Promise<UpstreamResult<RoomId[]>>;
  /** Uploads a filter; its id. */
  createFilter(accessToken: string, userId: UserId, filter: string): Promise<UpstreamResult<string>>;
  /** Body bytes of `GET /sync`; aborted by `controller`, and it by the deadline. */
  sync(params: SyncRequestParams, controller: AbortController): Promise<UpstreamResult<Uint8Array<ArrayBuffer>>>;
}
