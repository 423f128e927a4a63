import { Deliveries } from "../deliveries.ts";
import type { Figures, Workload } from "../workload.ts";
import type { Rig } from "../rig.ts";
import { connectAll, keepPolling, untilQuiet, whilePolling } from "../rig.ts";
import { percentile } from "../statistics.ts";
import { sendSteadily } from "./live.ts";

const VIEW = { windowEnd: 19, timelineLimit: 10 };
const CONNECT_AT_ONCE = 50;
const PER_SECOND = 16;
const ARRIVAL_LIMIT_MS = 30_000;

async function run(rig: Rig): Promise<Figures> {
  const { server, isQuick } = rig;
  await untilQuiet(server);
  const emptyBytes = server.residentBytes;
  const startedAt = performance.now();
  const clients = await connectAll(rig, VIEW, CONNECT_AT_ONCE);
  const connectMs = performance.now() - startedAt;
  const deliveries = new Deliveries(clients.length);
  const polling = keepPolling(clients, deliveries);
  const measured = async (): Promise<Figures> => {
    await untilQuiet(server);
    const before = { cpuMs: server.cpuMs, at: performance.now() };
    await Bun.sleep(isQuick ? 5000 : 30_000);
    const idleCpu = (server.cpuMs - before.cpuMs) / ((performance.now() - before.at) / 1000);
    const residentBytes = server.residentBytes;

    await sendSteadily(rig, deliveries, { perSecond: PER_SECOND, durationMs: isQuick ? 1000 : 4000 });
    await deliveries.settled(ARRIVAL_LIMIT_MS);
    deliveries.takeLatencies();
    await sendSteadily(rig, deliveries, { perSecond: PER_SECOND, durationMs: isQuick ? 5000 : 20_000 });
    await deliveries.settled(ARRIVAL_LIMIT_MS);
    const latenciesMs = deliveries.takeLatencies();
    const { lostCount, doubledCount } = deliveries.count();
    return {
      connect_s: connectMs / 1000,
      device_kb: (residentBytes - emptyBytes) / 1000 / clients.length,
      idle_cpu_ms_per_s: idleCpu,
      p50_ms: percentile(latenciesMs, 0.5),
      p99_ms: percentile(latenciesMs, 0.99),
      lost: lostCount,
      doubled: doubledCount,
      resident_mb: residentBytes / 1e6,
    };
  };
  return whilePolling(polling, measured());
}

/** Very many devices on line at once, few events. */
export const many: Workload = {
  name: "many",
  topology: (isQuick) => ({
    users: isQuick ? 300 : 2000,
    rooms: isQuick ? 150 : 1000,
    usersPerRoom: 10,
    othersPerRoom: 0,
    messages: 10,
  }),
  run,
};
