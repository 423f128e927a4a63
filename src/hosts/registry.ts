import { systemClock, systemRng, systemTimers } from "#src/system.ts";
import { startTelemetry } from "#src/telemetry/start.ts";
import { hostId } from "#actors/runtime/placement.ts";
import type { HostRegistry } from "./compositions.ts";
import type { HostOptions } from "./options.ts";

/** How the hosts of this executable are made. */
export const REGISTRY: HostRegistry = {
  environment: async (init) => {
    const { telemetry } = init.options as HostOptions;
    const started = await startTelemetry(telemetry, hostId(init.role, init.index));
    return {
      clock: systemClock,
      rng: systemRng,
      timers: systemTimers,
      logger: started.log,
      metrics: started.metrics,
      collectMetrics: () => started.collectMetrics(),
      shutdown: () => started.shutdown(),
    };
  },
  roles: {
    store: async () => (await import("./store-host.ts")).composeStoreHost,
    ingest: async () => (await import("./ingest-host.ts")).composeIngestHost,
    poller: async () => (await import("./poller-host.ts")).composePollerHost,
    sync: async () => (await import("./sync-host.ts")).composeStoredSyncHost,
  },
};
