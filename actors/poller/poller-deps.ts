import { LATER_FILTER, filterHash } from "#src/homeserver/filters.ts";
import type { Homeserver } from "#src/ports/homeserver.ts";
import type { DeviceRecord, DeviceStore } from "#src/ports/stores.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Companions } from "./companions.ts";
import type { FirstSyncSlots } from "./first-sync-slots.ts";
import type { PollerStats } from "./poller-stats.ts";

export interface PollerConfig {
  /** Without a request from the device for so long it is parked; null = never. */
  idleMs: number | null;
  /** For the first poll of an incarnation, which may be a first sync. */
  firstPollDeadlineMs: number;
  /** For every later one; longer than a long poll. */
  pollDeadlineMs: number;
}

export interface PollerDeps {
  homeserver: Pick<Homeserver, "sync" | "createFilter">;
  devices: Pick<DeviceStore, "loadDevice" | "removeToken" | "findFilter" | "saveFilter">;
  /** One for all pollers of the host. */
  slots: FirstSyncSlots;
  /** One for all pollers of the host. */
  companions: Companions;
  /** One for all pollers of the host. */
  stats: PollerStats;
  config: PollerConfig;
}

/** The device as stored, without the token that is known to be dead. */
export async function loadDevice(
  deps: PollerDeps,
  userId: UserId,
  deviceId: DeviceId,
  deadTokenHash: string | null,
): Promise<DeviceRecord | null> {
  if (deadTokenHash !== null) await deps.devices.removeToken(deadTokenHash);
  return deps.devices.loadDevice(userId, deviceId);
}

/** The id under which the homeserver keeps our filter for this user; null when it will not keep it. */
export async function prepareFilter(deps: PollerDeps, accessToken: string, userId: UserId): Promise<string | null> {
  const hash = filterHash(LATER_FILTER);
  const known = await deps.devices.findFilter(userId, hash);
  if (known !== null) return known;
  const uploaded = await deps.homeserver.createFilter(accessToken, userId, LATER_FILTER);
  if (!uploaded.ok) return null;
  await deps.devices.saveFilter(userId, hash, uploaded.value);
  return uploaded.value;
}
