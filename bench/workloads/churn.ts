import { Deliveries } from "../deliveries.ts";
import type { Figures, Workload } from "../workload.ts";
import type { Rig } from "../rig.ts";
import { connectAll, keepPolling, untilQuiet, whilePolling } from "../rig.ts";
import { usersOfRoom } from "../topology.ts";

const VIEW = { windowEnd: 19, timelineLimit: 20 };
const BURST = 10;
const ARRIVAL_LIMIT_MS = 60_000;

async function run(rig: Rig): Promise<Figures> {
  const { server, database, topology, upstream, isQuick } = rig;
  const clients = await connectAll(rig, VIEW, 1);
  const deliveries = new Deliveries(clients.length, true);
  const polling = keepPolling(clients, deliveries);
  const measured = async (): Promise<Figures> => {
    await untilQuiet(server);
    const sizeBefore = await database.sizeBytes();
    const cpuBeforeMs = server.cpuMs;
    const startedAt = performance.now();
    for (let burst = 0; burst < (isQuick ? 10 : 40); burst += 1) {
      const first = deliveries.nextSequence;
      for (let index = 0; index < BURST; index += 1) deliveries.expect(usersOfRoom(topology, 0));
      await upstream.join(0, BURST, first);
      await deliveries.settled(ARRIVAL_LIMIT_MS);
    }
    const allMs = performance.now() - startedAt;
    await untilQuiet(server);
    const { lostCount, doubledCount } = deliveries.count();
    return {
      all_ms: allMs,
      cpu_ms: server.cpuMs - cpuBeforeMs,
      database_growth_mb: ((await database.sizeBytes()) - sizeBefore) / 1e6,
      lost: lostCount,
      doubled: doubledCount,
    };
  };
  return whilePolling(polling, measured());
}

/** People join a very large room while one client watches. */
export const churn: Workload = {
  name: "churn",
  topology: (isQuick) => ({
    users: 1,
    rooms: 1,
    usersPerRoom: 1,
    othersPerRoom: isQuick ? 1000 : 4999,
    messages: 20,
  }),
  run,
};
