import { Deliveries } from "../deliveries.ts";
import type { Figures, Workload } from "../workload.ts";
import type { Rig } from "../rig.ts";
import { connectAll, keepPolling, untilQuiet, whilePolling } from "../rig.ts";

const VIEW = { windowEnd: 49, timelineLimit: 10 };

async function run(rig: Rig): Promise<Figures> {
  const { server, isQuick } = rig;
  const emptyBytes = server.residentBytes;
  const clients = await connectAll(rig, VIEW, 10);
  const polling = keepPolling(clients, new Deliveries(clients.length));
  const measured = async (): Promise<Figures> => {
    await untilQuiet(server);
    const before = { cpuMs: server.cpuMs, at: performance.now() };
    // Longer than a long poll, so that every client asks again at least once.
    await Bun.sleep(isQuick ? 5000 : 40_000);
    return {
      cpu_ms_per_s: (server.cpuMs - before.cpuMs) / ((performance.now() - before.at) / 1000),
      resident_mb: server.residentBytes / 1e6,
      resident_at_start_mb: emptyBytes / 1e6,
      ready_ms: rig.readyMs,
    };
  };
  return whilePolling(polling, measured());
}

/** Everybody waits and nothing happens. */
export const idle: Workload = {
  name: "idle",
  topology: (isQuick) => ({
    users: 100,
    rooms: isQuick ? 50 : 200,
    usersPerRoom: 20,
    othersPerRoom: 0,
    messages: 10,
  }),
  run,
};
