import type { DeviceId, UserId } from "#src/protocol/ids.ts";

/** What main's gateway is told; it keeps the token cache. */
export type GatewayMessage =
  /** The homeserver refused this token: forget it, ask whoami again on the next request. */
  { type: "token-expired"; tokenHash: string; userId: UserId; deviceId: DeviceId };
