import type { HomeserverAddress } from "#src/homeserver/http-call.ts";
import type { UserPatterns } from "#src/config/user-patterns.ts";
import type { TelemetryConfig } from "#src/telemetry/start.ts";
import type { StorageOptions } from "./storage.ts";

/** What main puts into `HostInit.options`: the same for every role, but for the size of its pool. */
export interface HostOptions {
  telemetry: TelemetryConfig;
  storage: StorageOptions;
  homeserver: HomeserverAddress & { timeoutMs: number; initialTimeoutMs: number };
  /** Of the requests of each device; null = none. */
  rateLimit: { perSecond: number; burst: number } | null;
  /** Who is served. */
  users: UserPatterns;
  pollerIdleMs: number | null;
  /** First syncs at once on this host. */
  firstSyncs: number;
  /** Timeline events kept of each room; null = all. */
  keepEvents: number | null;
  /** For cached events, in this host. */
  cacheBytes: number;
}
