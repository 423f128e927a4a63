import { Deliveries } from "../deliveries.ts";
import type { Figures, Workload } from "../workload.ts";
import type { Rig } from "../rig.ts";
import { connectAll, untilQuiet, whilePolling } from "../rig.ts";
import { usersOfRoom } from "../topology.ts";

const VIEW = { windowEnd: 49, timelineLimit: 10 };
const LONG_POLL_MS = 30_000;
const EVENTS = 200;
/** The events go to so few rooms that nobody's window or timeline is too small for what was missed. */
const ROOMS_WITH_EVENTS = 40;
const SERVED_LIMIT_MS = 60_000;

async function run(rig: Rig): Promise<Figures> {
  const { server, topology, upstream } = rig;
  const clients = await connectAll(rig, VIEW, 10);
  const deliveries = new Deliveries(clients.length);
  const unserved = new Set<number>();
  let allServed: (() => void) | null = null;
  const polling = Promise.all(
    clients.map((client, index) =>
      client.run(LONG_POLL_MS, (body) => {
        deliveries.received(index, body);
        if (unserved.delete(index) && unserved.size === 0) allServed?.();
      }),
    ),
  ).then(() => undefined);
  const measured = async (): Promise<Figures> => {
    await untilQuiet(server);
    const stopMs = await server.stop();
    // What a drain answers while stopping is no service after the restart.
    for (const index of clients.keys()) unserved.add(index);
    const rooms = Array.from({ length: EVENTS }, (_, index) => index % ROOMS_WITH_EVENTS);
    const first = deliveries.nextSequence;
    for (const room of rooms) deliveries.expect(usersOfRoom(topology, room));
    await upstream.send(rooms, first);

    const served = new Promise<boolean>((resolve) => {
      allServed = () => resolve(true);
    });
    const startedAt = performance.now();
    const readyMs = await server.start();
    const isServed = await Promise.race([served, Bun.sleep(SERVED_LIMIT_MS).then(() => false)]);
    const servedMs = performance.now() - startedAt;
    await deliveries.settled(SERVED_LIMIT_MS);
    const caughtUpMs = performance.now() - startedAt;
    const { lostCount, doubledCount } = deliveries.count();
    return {
      ready_ms: readyMs,
      served_ms: isServed ? servedMs : Number.POSITIVE_INFINITY,
      start_over: clients.filter((client) => client.startOverCount > 0).length,
      caught_up_ms: caughtUpMs,
      lost: lostCount,
      doubled: doubledCount,
      stop_ms: stopMs,
    };
  };
  return whilePolling(polling, measured());
}

/** The server is restarted while clients wait and events go on. */
export const restart: Workload = {
  name: "restart",
  topology: (isQuick) => ({
    users: 60,
    rooms: isQuick ? 150 : 1500,
    usersPerRoom: 20,
    othersPerRoom: 0,
    messages: 10,
  }),
  run,
};
