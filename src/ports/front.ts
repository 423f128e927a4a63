import type { RoomId } from "#src/protocol/ids.ts";

/** What a request that the homeserver carried out means for the device that made it. */
export type ForwardedEffect =
  /** The homeserver has something new to say to it, which a waiting poll may not bring. */
  | { type: "news" }
  | { type: "forgot-room"; roomId: RoomId }
  | { type: "logged-out" }
  | { type: "logged-out-everywhere" };

/** Told of requests that went by; never waited for, never fails. */
export interface ForwardObserver {
  forwarded(accessToken: string, effect: ForwardedEffect): void;
}

/** Where a token may be that stands for a position: exactly there, or else on this side of it. */
export type TokenSide = "later" | "earlier";

/** Tokens of the homeserver for positions of sliding sync. */
export interface PositionTokens {
  /** A token with which this user can page through a room from `pos` on; "" = none is needed, for nothing is newer; null = there is none. */
  tokenAt(accessToken: string, roomId: RoomId, pos: string, side: TokenSide): Promise<string | null>;
}

/** `/versions` as a client is told. */
export interface VersionsReply {
  status: number;
  /** Lower case; those of the homeserver that say what may be done with the answer. */
  headers: Record<string, string>;
  /** JSON text. */
  body: string;
}

/** What the homeserver speaks, and we on top of it. */
export interface VersionsSource {
  /** As this token's user is told; null = as anybody is. Rejects `homeserver_unreachable` when nothing is known. */
  versionsFor(accessToken: string | null): Promise<VersionsReply>;
}
