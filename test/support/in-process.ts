import type { Clock, Logger, Metrics, Rng, Timers } from "#src/ports/basics.ts";
import { systemClock, systemRng, systemTimers } from "#src/system.ts";
import type { ComposeHost, HostRegistry, SpawnedRole } from "#src/hosts/compositions.ts";
import { MainHost } from "#src/hosts/main-host.ts";
import { serveHost, type ServedHost } from "#src/hosts/serve-host.ts";
import type { Address, AnyMessage, AskOptions, KindTable } from "#actors/runtime/actor.ts";
import { LocalLines } from "#actors/runtime/local-lines.ts";
import { type HostId, hostId, type HostRole, type Topology } from "#actors/runtime/placement.ts";
import type { HostSpawner } from "#actors/runtime/host-handle.ts";

/** Says nothing. */
export const silentLogger: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};

/** Counts nothing. */
export const noMetrics: Metrics = { count() {}, observe() {}, gauge() {} };

export interface InProcessOptions {
  /** Default: one host of each. */
  topology?: Partial<Topology>;
  /** By role; a role without one has only its probe. */
  compositions?: Partial<Record<SpawnedRole, ComposeHost>>;
  /** Main's own actors; called before any host starts. */
  mainKinds?: (main: MainHost) => KindTable;
  optionsOf?: (role: SpawnedRole, index: number) => unknown;
  clock?: Clock;
  rng?: Rng;
  /** Of the actors. The hosts' own deadlines and restart delays stay on real time. */
  timers?: Timers;
  /** Of main: how long hosts may take, and how soon they are brought back. Default: real time. */
  mainTime?: { clock: Clock; timers: Timers };
  logger?: Logger;
  metrics?: Metrics;
  hasStore?: boolean;
  /** Hosts are joined as those of one Worker are; otherwise as those of Workers of their own. */
  sharesWorker?: boolean;
}

/** All hosts of a node in one thread, wired by MessageChannels as Workers are. */
export interface InProcess {
  readonly main: MainHost;
  tell(to: Address, message: AnyMessage, transfer?: Transferable[]): void;
  ask<T>(to: Address, message: AnyMessage, options?: Partial<AskOptions>): Promise<T>;
  /** The host vanishes as if its Worker had crashed: its peers see the death, the supervisor brings it back. */
  killHost(role: SpawnedRole, index?: number): void;
  /** Resolves when the host takes messages (again). */
  hostUp(role: SpawnedRole, index?: number): Promise<void>;
  /** `killHost`, and waits for the next life. */
  restartHost(role: SpawnedRole, index?: number): Promise<void>;
  /** Resolves when no turn is ready and no message is under way; parked asks and outside work do not count. */
  settled(): Promise<void>;
  /** Drains and ends all hosts in order. */
  stop(): Promise<void>;
  /** Reasons for which the supervisor gave up. */
  readonly escalations: readonly string[];
}

const ASK_DEADLINE_MS = 40_000;
/** A death is noticed and the host made anew within milliseconds; one with a database of its own takes seconds. */
const UP_DEADLINE_MS = 60_000;
/** Turns of the event loop in a row without work before everything counts as settled: a hop takes two. */
const QUIET_ROUNDS = 8;

const nothing: ComposeHost = () => ({ kinds: {} });

/** Starts all hosts in this thread. Crash and drain paths are those of Workers, but for what a thread's end does. */
export async function startInProcess(options: InProcessOptions = {}): Promise<InProcess> {
  const { compositions = {}, logger = silentLogger, metrics = noMetrics } = options;
  const topology: Topology = { poller: 1, sync: 1, ...options.topology };
  const environment = {
    clock: options.clock ?? systemClock,
    rng: options.rng ?? systemRng,
    timers: options.timers ?? systemTimers,
    logger,
    metrics,
  };
  const { store = nothing, ingest = nothing, poller = nothing, sync = nothing } = compositions;
  const registry: HostRegistry = { environment: () => environment, roles: loaded({ store, ingest, poller, sync }) };
  const served = new Map<HostId, ServedHost>();
  const escalations: string[] = [];

  const main = new MainHost({
    clock: systemClock,
    timers: systemTimers,
    ...options.mainTime,
    rng: environment.rng,
    logger,
    metrics,
    topology,
    hasStore: options.hasStore ?? compositions.store !== undefined,
    spawner: spawnerOf(registry, served, options.sharesWorker === true),
    optionsOf: options.optionsOf ?? (() => null),
    onEscalate: (reason) => escalations.push(reason),
  });
  main.addKinds(options.mainKinds?.(main) ?? {});
  await main.launch();

  const hostUp = async (role: SpawnedRole, index = 0): Promise<void> => {
    const isUp = await main.whenHostUp({ kind: "probe", key: "", shard: hostId(role, index) }, UP_DEADLINE_MS);
    if (!isUp) throw new Error(`host ${hostId(role, index)} did not come up`);
  };
  const killHost = (role: SpawnedRole, index = 0): void => main.killHost(hostId(role, index));

  return {
    main,
    escalations,
    tell: (to, message, transfer) => main.runtime.tell(to, message, transfer),
    ask: (to, message, ask) => main.runtime.ask(to, message, { deadlineMs: ASK_DEADLINE_MS, ...ask }),
    killHost,
    hostUp,
    async restartHost(role, index) {
      killHost(role, index);
      await hostUp(role, index);
    },
    async settled() {
      for (let quiet = 0; quiet < QUIET_ROUNDS;) {
        await new Promise((resolve) => setImmediate(resolve));
        const isIdle = main.runtime.isIdle && [...served.values()].every((host) => host.isIdle());
        quiet = isIdle ? quiet + 1 : 0;
      }
    },
    async stop() {
      const done = (): Promise<void> => Promise.resolve();
      await main.shutdown({ stopAccepting: done, closeServer: done, closePools: done, flushSpans: done });
      main.runtime.kill();
    },
  };
}

/** Already loaded. */
const loaded = (roles: Record<SpawnedRole, ComposeHost>): HostRegistry["roles"] => ({
  store: async () => roles.store,
  ingest: async () => roles.ingest,
  poller: async () => roles.poller,
  sync: async () => roles.sync,
});

function spawnerOf(registry: HostRegistry, served: Map<HostId, ServedHost>, sharesWorker: boolean): HostSpawner {
  const lines = new LocalLines();
  const shared = {};
  return {
    async spawn(role: HostRole, index: number) {
      const { port1, port2 } = new MessageChannel();
      const host = serveHost(port2, role as SpawnedRole, index, registry, lines);
      served.set(hostId(role, index), host);
      const end = async (): Promise<boolean> => {
        host.kill();
        port1.close();
        port2.close();
        return true;
      };
      // A host in this thread dies only by `terminate`.
      return { wire: port1, thread: sharesWorker ? shared : {}, onDeath: () => {}, terminate: end, release: end };
    },
  };
}
