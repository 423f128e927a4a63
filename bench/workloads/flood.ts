import { Deliveries } from "../deliveries.ts";
import type { Figures, Workload } from "../workload.ts";
import type { Rig } from "../rig.ts";
import { connectAll, keepPolling, untilQuiet, whilePolling } from "../rig.ts";
import { percentile } from "../statistics.ts";
import { usersOfRoom } from "../topology.ts";

const VIEW = { windowEnd: 29, timelineLimit: 10 };
const IN_FLIGHT = 16;
const ARRIVAL_LIMIT_MS = 30_000;

async function measure(rig: Rig, deliveries: Deliveries): Promise<Figures> {
  const { server, topology, upstream, isQuick } = rig;
  await untilQuiet(server);
  let isSending = true;
  const sendNext = (): void => {
    if (!isSending) return;
    const room = deliveries.nextSequence % topology.rooms;
    const sequence = deliveries.expect(usersOfRoom(topology, room));
    // A failed command shows as an event that never arrives.
    upstream.send([room], sequence).catch(() => undefined);
  };
  deliveries.onComplete = sendNext;
  for (let index = 0; index < IN_FLIGHT; index += 1) sendNext();

  await Bun.sleep(isQuick ? 1000 : 3000);
  deliveries.takeLatencies();
  const before = { cpuMs: server.cpuMs, deliveredCount: deliveries.deliveredCount, at: performance.now() };
  const upstreamBeforeMs = upstream.cpuMs;
  const own = process.cpuUsage();
  await Bun.sleep(isQuick ? 3000 : 12_000);
  const seconds = (performance.now() - before.at) / 1000;
  const deliveredCount = deliveries.deliveredCount - before.deliveredCount;
  const cpuMs = server.cpuMs - before.cpuMs;
  const { user, system } = process.cpuUsage(own);
  const upstreamMs = upstream.cpuMs - upstreamBeforeMs;
  const latenciesMs = deliveries.takeLatencies();
  isSending = false;
  await deliveries.settled(ARRIVAL_LIMIT_MS);
  const { lostCount, doubledCount } = deliveries.count();
  return {
    deliveries_per_s: deliveredCount / seconds,
    cpu_per_delivery_ms: cpuMs / deliveredCount,
    lost: lostCount,
    doubled: doubledCount,
    p50_ms: percentile(latenciesMs, 0.5),
    client_cpu_per_delivery_ms: (user + system) / 1000 / deliveredCount,
    upstream_cpu_per_delivery_ms: upstreamMs / deliveredCount,
  };
}

async function run(rig: Rig): Promise<Figures> {
  const clients = await connectAll(rig, VIEW, 10);
  const deliveries = new Deliveries(clients.length);
  const polling = keepPolling(clients, deliveries);
  return whilePolling(polling, measure(rig, deliveries));
}

/** As many deliveries as the server can do, with a bounded number of events under way. */
export const flood: Workload = {
  name: "flood",
  topology: () => ({ users: 60, rooms: 60, usersPerRoom: 20, othersPerRoom: 0, messages: 10 }),
  run,
};
