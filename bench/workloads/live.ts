import { Deliveries } from "../deliveries.ts";
import type { Figures, Workload } from "../workload.ts";
import type { Rig } from "../rig.ts";
import { connectAll, keepPolling, untilQuiet, whilePolling } from "../rig.ts";
import { percentile } from "../statistics.ts";
import type { Topology } from "../topology.ts";
import { usersOfRoom } from "../topology.ts";

/** The window holds all rooms of a client, so that every event must reach it. */
const VIEW = { windowEnd: 49, timelineLimit: 10 };
const CONNECT_AT_ONCE = 10;
const ARRIVAL_LIMIT_MS = 30_000;

/** Sends single messages at a steady rate, room after room, each counted for everybody in its room. */
export async function sendSteadily(
  rig: Rig,
  deliveries: Deliveries,
  load: { readonly perSecond: number; readonly durationMs: number },
): Promise<void> {
  const { topology, upstream } = rig;
  const startedAt = performance.now();
  const count = Math.round((load.perSecond * load.durationMs) / 1000);
  for (let index = 0; index < count; index += 1) {
    const room = (deliveries.nextSequence * 7) % topology.rooms;
    const sequence = deliveries.expect(usersOfRoom(topology, room));
    await upstream.send([room], sequence);
    // Kept on the beat of the start: a late message is no reason to send fewer.
    const pauseMs = startedAt + ((index + 1) * 1000) / load.perSecond - performance.now();
    if (pauseMs > 0) await Bun.sleep(pauseMs);
  }
}

function steady(name: string, perSecond: number): Workload {
  const topology = (isQuick: boolean): Topology => ({
    users: isQuick ? 40 : 100,
    rooms: isQuick ? 80 : 200,
    usersPerRoom: 20,
    othersPerRoom: 0,
    messages: 10,
  });
  const run = async (rig: Rig): Promise<Figures> => {
    const { server, isQuick } = rig;
    const clients = await connectAll(rig, VIEW, CONNECT_AT_ONCE);
    const deliveries = new Deliveries(clients.length);
    const polling = keepPolling(clients, deliveries);
    const measured = async (): Promise<Figures> => {
      await untilQuiet(server);
      await sendSteadily(rig, deliveries, { perSecond, durationMs: isQuick ? 1000 : 4000 });
      await deliveries.settled(ARRIVAL_LIMIT_MS);
      deliveries.takeLatencies();

      const before = { cpuMs: server.cpuMs, deliveredCount: deliveries.deliveredCount, at: performance.now() };
      const own = process.cpuUsage();
      await sendSteadily(rig, deliveries, { perSecond, durationMs: isQuick ? 5000 : 30_000 });
      await deliveries.settled(ARRIVAL_LIMIT_MS);
      const latenciesMs = deliveries.takeLatencies();
      const { user, system } = process.cpuUsage(own);
      const deliveredCount = deliveries.deliveredCount - before.deliveredCount;
      const { lostCount, doubledCount } = deliveries.count();
      return {
        p50_ms: percentile(latenciesMs, 0.5),
        p99_ms: percentile(latenciesMs, 0.99),
        lost: lostCount,
        doubled: doubledCount,
        cpu_per_delivery_ms: (server.cpuMs - before.cpuMs) / deliveredCount,
        client_cpu_per_delivery_ms: (user + system) / 1000 / deliveredCount,
        start_over: clients.reduce((sum, client) => sum + client.startOverCount, 0),
      };
    };
    return whilePolling(polling, measured());
  };
  return { name, topology, run };
}

/** A small server on a quiet day. */
export const calm = steady("calm", 8);

/** The same at the event rate of a very large homeserver. */
export const live = steady("live", 40);
