import { systemClock, systemRng, systemTimers, thisThread } from "#src/system.ts";
import { onlySignals, startTelemetry, type Telemetry } from "#src/telemetry/start.ts";
import { probeThread } from "./thread.ts";
import { UpstreamWatch } from "#src/homeserver/upstream-watch.ts";
import { hostId } from "#actors/runtime/placement.ts";
import type { HostRegistry } from "./compositions.ts";
import { giveBackAfterWork } from "./give-back.ts";
import type { HostOptions } from "./options.ts";

/** How the hosts of one thread are made. What is global in a thread, its tracing, they share. */
export function createRegistry(threadName: string): HostRegistry {
  let shared: Promise<Telemetry> | null = null;
  let hostCount = 0;
  let stopGivingBack: (() => void) | null = null;
  return {
    environment: async (init) => {
      const { telemetry } = init.options as HostOptions;
      const name = hostId(init.role, init.index);
      hostCount += 1;
      stopGivingBack ??= giveBackAfterWork(thisThread, systemTimers);
      const ofThread = await (shared ??= startTelemetry(
        { ...onlySignals(telemetry, ["traces"]), hasMetrics: false },
        threadName,
      ));
      const own = await startTelemetry(onlySignals(telemetry, ["metrics", "logs"]), name);
      const upstream = new UpstreamWatch({ clock: systemClock, metrics: own.metrics });
      const thread = telemetry.hasMetrics ? probeThread(own.metrics) : null;
      return {
        ...(thread === null ? {} : { thread: thread.probe }),
        upstream,
        clock: systemClock,
        rng: systemRng,
        timers: systemTimers,
        logger: own.log,
        metrics: own.metrics,
        collectMetrics: () => own.collectMetrics(),
        shutdown: async () => {
          thread?.stop();
          await own.shutdown();
          hostCount -= 1;
          if (hostCount > 0) return;
          stopGivingBack?.();
          await ofThread.shutdown();
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
}
