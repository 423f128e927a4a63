import type { Homeserver } from "#src/ports/homeserver.ts";
import type { DeviceStore } from "#src/ports/stores.ts";
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
  homeserver: Pick<Homeserver, "sync" | "createFilter" | "roomMessages">;
  devices: Pick<DeviceStore, "loadDevice" | "removeToken" | "findFilter" | "saveFilter">;
  /** One for all pollers of the host. */
  slots: FirstSyncSlots;
  /** One for all pollers of the host. */
  companions: Companions;
  /** One for all pollers of the host. */
  stats: PollerStats;
  config: PollerConfig;
}
