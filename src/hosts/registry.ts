import { systemClock, systemRng, systemTimers } from "#src/system.ts";
import { startTelemetry, type TelemetryConfig } from "#src/telemetry/start.ts";
import { hostId } from "#actors/runtime/placement.ts";
import type { ComposeHost, HostRegistry } from "./compositions.ts";

/** What main puts into `HostInit.options` for every role; a role's own options come beside it. */
export interface HostOptions {
  telemetry: TelemetryConfig;
}

const probeOnly = async (): Promise<ComposeHost> => () => ({ kinds: {} });

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
  roles: { store: probeOnly, ingest: probeOnly, poller: probeOnly, sync: probeOnly },
};
