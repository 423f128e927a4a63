import type { Database, DatabaseSource } from "./database.ts";
import type { Deliveries } from "./deliveries.ts";
import type { ServerSpec } from "./processes.ts";
import { MeasuredServer, Upstream } from "./processes.ts";
import { type BenchDialect, SlidingClient } from "./sliding-client.ts";
import type { Topology } from "./topology.ts";
import { roomsOfUsers, tokenOf } from "./topology.ts";

/** Long enough for a first sync of the largest account by a slow server. */
const FIRST_POLL_MS = 60_000;
/** What every client of the workloads uses for its long polls. */
const LONG_POLL_MS = 30_000;
const QUIET_SAMPLE_MS = 500;
const QUIET_CPU_MS = 30;
const QUIET_LIMIT_MS = 30_000;
/** First answers are parsed and checked for one client in so many. */
const CHECK_EVERY = 20;

/** The window and timeline a client asks for. */
export type View = { readonly windowEnd: number; readonly timelineLimit: number };

/** One server on one made-up homeserver with a fresh database, for the time of one workload. */
export type Rig = {
  readonly topology: Topology;
  readonly upstream: Upstream;
  readonly server: MeasuredServer;
  readonly database: Database;
  readonly readyMs: number;
  readonly isQuick: boolean;
  readonly dialect: BenchDialect;
  /** Clients made here are stopped with the rig. */
  client(user: number, view: View, connId?: string): SlidingClient;
  stopClients(): void;
};

/** Sets everything up, runs `work` and takes everything down again, also when it fails. */
export async function withRig<T>(
  setup: {
    readonly topology: Topology;
    readonly spec: ServerSpec;
    readonly source: DatabaseSource;
    readonly isQuick: boolean;
    readonly logFile: string;
    readonly dialect: BenchDialect;
  },
  work: (rig: Rig) => Promise<T>,
): Promise<T> {
  const { topology, spec, source, isQuick, logFile, dialect } = setup;
  const upstream = await Upstream.start(topology);
  const database = await source.create();
  const server = await MeasuredServer.create(spec, upstream, database, logFile);
  const clients: SlidingClient[] = [];
  const stopClients = (): void => {
    for (const client of clients.splice(0)) client.stop();
  };
  try {
    const readyMs = await server.start();
    const client = (user: number, view: View, connId = ""): SlidingClient => {
      const made = new SlidingClient({ port: server.port, dialect, token: tokenOf(user), connId, ...view });
      clients.push(made);
      return made;
    };
    return await work({ topology, upstream, server, database, readyMs, isQuick, dialect, client, stopClients });
  } finally {
    stopClients();
    await server.stop();
    upstream.stop();
    await database.drop();
  }
}

function check(condition: boolean, expectation: string): void {
  if (!condition) throw new Error(`a first answer is wrong: ${expectation}`);
}

/** Speed without correctness is worth nothing: the whole first answer is parsed and looked at. */
export function checkFirstAnswer(
  { topology, dialect }: Pick<Rig, "topology" | "dialect">,
  body: Buffer,
  roomCount: number,
  view: View,
): void {
  // Where there is a token only for the beginning of what came in one piece, simplified sliding sync begins there.
  const longest = dialect === "simplified" ? Math.max(view.timelineLimit, topology.messages) : view.timelineLimit;
  // every member is checked below
  const answer = JSON.parse(body.toString()) as {
    lists?: { list?: { count?: number; ops?: { op: string; range: number[]; room_ids: string[] }[] } };
    rooms?: Record<string, { name?: string; timeline?: unknown[]; required_state?: { type: string }[] }>;
  };
  const shownCount = Math.min(roomCount, view.windowEnd + 1);
  const list = answer.lists?.list;
  check(list?.count === roomCount, `count ${list?.count} instead of ${roomCount}`);
  const op = list?.ops?.[0];
  check(op?.op === "SYNC" && op.room_ids.length === shownCount, `no SYNC of ${shownCount} rooms`);
  for (const roomId of op?.room_ids ?? []) {
    const room = answer.rooms?.[roomId];
    check(room?.name?.startsWith("Room number ") === true, `${roomId} has no name`);
    const length = room?.timeline?.length ?? 0;
    check(length > 0 && length <= longest, `${roomId} has a timeline of ${length}`);
    const types = new Set((room?.required_state ?? []).map(({ type }) => type));
    check(types.has("m.room.create") && types.has("m.room.name"), `${roomId} lacks required state`);
  }
}

/** Connects a client for every account, so many at once, each with its first answer. */
export async function connectAll(rig: Rig, view: View, atOnce: number): Promise<SlidingClient[]> {
  const rooms = roomsOfUsers(rig.topology);
  const clients = rooms.map((_, user) => rig.client(user, view));
  const waiting = clients.entries();
  const connectInTurn = async (): Promise<void> => {
    for (const [user, client] of waiting) {
      const { body } = await client.poll(FIRST_POLL_MS);
      if (user % CHECK_EVERY === 0) checkFirstAnswer(rig, body, rooms[user]?.length ?? 0, view);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, connectInTurn));
  return clients;
}

/** Keeps every client in long polls; what arrives is counted. A client that is refused ends the workload. */
export function keepPolling(clients: readonly SlidingClient[], deliveries: Deliveries): Promise<void> {
  const refused = clients.map((client, index) =>
    client.run(LONG_POLL_MS, (body) => {
      deliveries.received(index, body);
    }),
  );
  return Promise.all(refused).then(() => undefined);
}

/** The result of `work`, unless the clients are refused meanwhile: then nothing that is measured means anything. */
export function whilePolling<T>(polling: Promise<void>, work: Promise<T>): Promise<T> {
  return Promise.race([work, polling.then(() => Promise.reject(new Error("the clients stopped")))]);
}

/** Waits until the server has nothing left to do, so that work put off is counted too. */
export async function untilQuiet(server: MeasuredServer): Promise<void> {
  const deadline = performance.now() + QUIET_LIMIT_MS;
  let before = server.cpuMs;
  while (performance.now() < deadline) {
    await Bun.sleep(QUIET_SAMPLE_MS);
    const now = server.cpuMs;
    if (now - before < QUIET_CPU_MS) return;
    before = now;
  }
}
