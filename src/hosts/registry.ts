import { collectGarbage, systemClock, systemRng, systemTimers, threadCpuMs } from "#src/system.ts";
import { startTelemetry } from "#src/telemetry/start.ts";
import { hostId } from "#actors/runtime/placement.ts";
import type { HostRegistry } from "./compositions.ts";
import { giveBackAfterWork } from "./give-back.ts";
import type { HostOptions } from "./options.ts";

/** How the hosts of this executable are made. */
export const REGISTRY: HostRegistry = {
  environment: async (init) => {
    const { telemetry } = init.options as HostOptions;
    const started = await startTelemetry(telemetry, hostId(init.role, init.index));
    const stopGivingBack = giveBackAfterWork({ cpuMs: threadCpuMs, collect: collectGarbage }, systemTimers);
    return {
      clock: systemClock,
      rng: systemRng,
      timers: systemTimers,
      logger: started.log,
      metrics: started.metrics,
      collectMetrics: () => started.collectMetrics(),
      shutdown: () => {
        stopGivingBack();
        return started.shutdown();
      },
    };
  },
  roles: {
    store: async () => (await import("./store-host.ts")).composeStoreHost,
    ingest: async () => (await import("./ingest-host.ts")).composeIngestHost,
    poller: async () => (await import("./poller-host.ts")).composePollerHost,
    sync: async () => (await import("./sync-host.ts")).composeStoredSyncHost,
  },
};
