import type { Metrics } from "#src/ports/basics.ts";
import { systemClock, systemTimers, threadCpuMs, threadHeap } from "#src/system.ts";
import { LoopLag } from "#src/telemetry/loop-lag.ts";
import type { ThreadProbe } from "#actors/inspector/inspector-actor.ts";

/** Watches the calling thread from now on, for operators and metrics. */
export function probeThread(metrics: Metrics): { probe: ThreadProbe; stop: () => void } {
  const lag = new LoopLag({
    clock: systemClock,
    timers: systemTimers,
    cpuMs: threadCpuMs,
    onLag: (lagMs) => metrics.observe("event_loop_lag_secs", lagMs / 1000),
  });
  metrics.gauge("host_heap_bytes", () => threadHeap().usedBytes);
  const probe: ThreadProbe = {
    vitals: () => {
      const { usedBytes, totalBytes } = threadHeap();
      return {
        heapUsedBytes: usedBytes,
        heapTotalBytes: totalBytes,
        threadCpuMs: Math.round(threadCpuMs()),
        loopLagMs: lag.view,
      };
    },
    // Loaded when somebody wants one.
    profileCpu: async (seconds) => (await import("#src/telemetry/profiler.ts")).profileCpu(seconds, systemTimers),
    snapshotHeap: () => new Uint8Array(Bun.generateHeapSnapshot("v8", "arraybuffer")),
  };
  return { probe, stop: () => lag.stop() };
}
