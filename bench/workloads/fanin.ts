import { Deliveries } from "../deliveries.ts";
import type { Figures, Workload } from "../workload.ts";
import type { Rig } from "../rig.ts";
import { connectAll, keepPolling, untilQuiet, whilePolling } from "../rig.ts";
import { usersOfRoom } from "../topology.ts";

/** The longest timeline a server gives: a whole burst always fits. */
const VIEW = { windowEnd: 19, timelineLimit: 50 };
const BURST = 20;
const ARRIVAL_LIMIT_MS = 60_000;

async function measure(rig: Rig, deliveries: Deliveries): Promise<Figures> {
  const { server, topology, upstream, isQuick } = rig;
  await untilQuiet(server);
  const everybody = usersOfRoom(topology, 0);
  const bursts = isQuick ? 5 : 30;
  const cpuBeforeMs = server.cpuMs;
  const startedAt = performance.now();
  for (let burst = 0; burst < bursts; burst += 1) {
    const first = deliveries.nextSequence;
    for (let index = 0; index < BURST; index += 1) deliveries.expect(everybody);
    await upstream.send(
      Array.from({ length: BURST }, () => 0),
      first,
    );
    // The next burst follows when everybody has this one: nobody's timeline is cut, so every event can be counted.
    await deliveries.settled(ARRIVAL_LIMIT_MS);
  }
  const allMs = performance.now() - startedAt;
  const { lostCount, doubledCount, deliveredCount } = deliveries.count();
  return {
    all_ms: allMs,
    lost: lostCount,
    doubled: doubledCount,
    cpu_per_delivery_ms: (server.cpuMs - cpuBeforeMs) / deliveredCount,
  };
}

async function run(rig: Rig): Promise<Figures> {
  const clients = await connectAll(rig, VIEW, 10);
  const deliveries = new Deliveries(clients.length);
  const polling = keepPolling(clients, deliveries);
  return whilePolling(polling, measure(rig, deliveries));
}

/** Everybody is in one room: every event arrives once for each of their pollers. */
export const fanin: Workload = {
  name: "fanin",
  topology: () => ({ users: 80, rooms: 1, usersPerRoom: 80, othersPerRoom: 0, messages: 20 }),
  run,
};
