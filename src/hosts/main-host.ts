import { SyncError } from "#src/errors.ts";
import type { Clock, Logger, Metrics, Rng, Timers } from "#src/ports/basics.ts";
import type { UpstreamWatch } from "#src/homeserver/upstream-watch.ts";
import { SUPERVISOR } from "#actors/addresses.ts";
import { inspectorKind, type ThreadProbe } from "#actors/inspector/inspector-actor.ts";
import type { Address, KindTable } from "#actors/runtime/actor.ts";
import type { HostSpawner } from "#actors/runtime/host-handle.ts";
import { HostRuntime } from "#actors/runtime/host-runtime.ts";
import { type HostId, hostId, placeOf, splitHostId, type Topology } from "#actors/runtime/placement.ts";
import { Fleet, type PeerListener } from "#actors/supervisor/fleet.ts";
import type { SupervisorMessage } from "#actors/supervisor/messages.ts";
import { runStages, type ShutdownStage } from "#actors/supervisor/shutdown.ts";
import { supervisorKind } from "#actors/supervisor/supervisor-actor.ts";
import type { SpawnedRole } from "./compositions.ts";
import { probeKind } from "./probe.ts";
import { yieldToIo } from "./serve-host.ts";

export interface MainHostDeps {
  topology: Topology;
  /** Whether the embedded database has a host of its own. */
  hasStore: boolean;
  spawner: HostSpawner;
  clock: Clock;
  rng: Rng;
  timers: Timers;
  logger: Logger;
  metrics: Metrics;
  thread?: ThreadProbe;
  upstream?: UpstreamWatch;
  /** Plain data for the composition of a host, made anew for each of its lives. */
  optionsOf: (role: SpawnedRole, index: number) => unknown;
  /** The supervisor gives up: log what happened and end the process with a failure. */
  onEscalate: (reason: string) => void;
}

/** What main does at shutdown besides ending hosts; each must end by itself. */
export interface ShutdownHooks {
  /** No new request is taken; those parked are still answered. */
  stopAccepting: () => Promise<void>;
  /** The last requests are answered: their connections may be closed. */
  closeServer: () => Promise<void>;
  /** The database pool of main. */
  closePools: () => Promise<void>;
  flushSpans: () => Promise<void>;
}

/** The longest a launch may take: each step of it has a limit of its own, of which that for preparing the database is by far the longest. */
const LAUNCH_LIMIT_MS = 25 * 3_600_000;
/** The whole shutdown: less than the 10 s after which a service manager kills. */
const SHUTDOWN_MS = 9500;
/** Of that, what each stage has in any case. */
const SHARES_MS = {
  accept: 200,
  settle: 1000,
  server: 500,
  pollers: 1000,
  ingest: 2000,
  pools: 800,
  store: 1200,
  spans: 500,
};

/** Main's half of the actor system: its own actors, the supervisor, and every other host. */
export class MainHost {
  readonly runtime: HostRuntime;
  readonly #deps: MainHostDeps;
  readonly #fleet: Fleet;
  readonly #hosts: readonly HostId[];
  #shutdown: Promise<boolean> | null = null;

  constructor(deps: MainHostDeps) {
    this.#deps = deps;
    this.#hosts = hostsOf(deps);
    this.runtime = new HostRuntime({ ...deps, role: "main", index: 0, yieldToIo });
    const tellSupervisor = (message: SupervisorMessage): void => this.runtime.tell(SUPERVISOR, message);
    this.#fleet = new Fleet({
      ...deps,
      runtime: this.runtime,
      initOf: (host, incarnation) => {
        const { role, index } = splitHostId(host);
        const options = deps.optionsOf(role as SpawnedRole, index);
        return { role, index, incarnation, topology: deps.topology, options };
      },
      onDied: (host, incarnation, reason) => tellSupervisor({ type: "host-died", host, incarnation, reason }),
      onUnkillable: (host) => tellSupervisor({ type: "host-unkillable", host }),
    });
    const supervisor = supervisorKind({ ...deps, control: this.#fleet, hosts: this.#hosts });
    const inspector = inspectorKind({ runtime: this.runtime, thread: deps.thread, upstream: deps.upstream });
    this.runtime.addKinds({ supervisor, probe: probeKind("main:0"), inspector });
  }

  /** Main's own actors, before `launch`. */
  addKinds(kinds: KindTable): void {
    this.runtime.addKinds(kinds);
  }

  /** Resolves when every host is up; rejects when one cannot be started. */
  async launch(): Promise<void> {
    await this.runtime.ask(SUPERVISOR, { type: "launch-hosts" }, { deadlineMs: LAUNCH_LIMIT_MS });
  }

  /** What the launch is busy with; null when there is nothing to say. */
  busyWith(): Promise<string | null> {
    return this.#fleet.busyWith();
  }

  /** Resolves true as soon as the host of `address` takes messages, false when it did not within the time. */
  whenHostUp(address: Address, withinMs: number): Promise<boolean> {
    const host = placeOf(address, this.#deps.topology);
    return host === this.runtime.id ? Promise.resolve(true) : this.#fleet.whenUp(host, withinMs);
  }

  /** Told of each host that is ready (`up`) and each that died (`down`); pollers, for example, are resumed on `up`. */
  onHostChange(listener: PeerListener): () => void {
    return this.#fleet.onChange(listener);
  }

  /** All there are, main included. */
  get hosts(): HostId[] {
    return [this.runtime.id, ...this.#hosts];
  }

  /** Hosts that are expected but not up: the truth for `/health/ready`. */
  hostsDown(): HostId[] {
    return this.#hosts.filter((host) => !this.#fleet.isUp(host));
  }

  collectMetrics(limitMs: number): Promise<Map<HostId, unknown>> {
    return this.#fleet.collectMetrics(limitMs);
  }

  /** As a fault would: for tests and `--smoke-test`. */
  killHost(host: HostId): void {
    this.#fleet.kill(host, "killed on request");
  }

  /** Ends everything in order, within 10 s; true when every stage ended well. Further calls share the first. */
  shutdown(hooks: ShutdownHooks): Promise<boolean> {
    this.#shutdown ??= runStages(this.#stages(hooks), SHUTDOWN_MS, this.#deps);
    return this.#shutdown;
  }

  #stages(hooks: ShutdownHooks): ShutdownStage[] {
    const drain = (role: SpawnedRole, limitMs: number): Promise<void> =>
      this.#all(role, (host) => this.#fleet.drain(host, limitMs - DRAIN_RESERVE_MS));
    const close = (role: SpawnedRole, limitMs: number): Promise<void> =>
      this.#all(role, (host) => this.#fleet.close(host, limitMs));
    return [
      {
        name: "stop accepting",
        shareMs: SHARES_MS.accept,
        run: () => {
          this.runtime.tell(SUPERVISOR, { type: "begin-shutdown" });
          return hooks.stopAccepting();
        },
      },
      { name: "settle parked polls", shareMs: SHARES_MS.settle, run: (limitMs) => drain("sync", limitMs) },
      { name: "close server", shareMs: SHARES_MS.server, run: hooks.closeServer },
      { name: "stop pollers", shareMs: SHARES_MS.pollers, run: (limitMs) => drain("poller", limitMs) },
      { name: "flush ingest", shareMs: SHARES_MS.ingest, run: (limitMs) => drain("ingest", limitMs) },
      {
        name: "close pools",
        shareMs: SHARES_MS.pools,
        run: async (limitMs) => {
          const roles: SpawnedRole[] = ["sync", "poller", "ingest"];
          await allOf([hooks.closePools(), ...roles.map((role) => close(role, limitMs))]);
        },
      },
      { name: "close store", shareMs: SHARES_MS.store, run: (limitMs) => close("store", limitMs) },
      { name: "flush spans", shareMs: SHARES_MS.spans, run: hooks.flushSpans },
    ];
  }

  async #all(role: SpawnedRole, run: (host: HostId) => Promise<void>): Promise<void> {
    const hosts = this.#hosts.filter((host) => splitHostId(host).role === role && this.#fleet.isUp(host));
    await allOf(hosts.map(run));
  }
}

/** So that a drain which uses all its time still ends before its stage does. */
const DRAIN_RESERVE_MS = 400;

/** Waits for all, then fails if one did. */
async function allOf(work: Promise<void>[]): Promise<void> {
  const failure = (await Promise.allSettled(work)).find((outcome) => outcome.status === "rejected");
  if (failure !== undefined) throw new SyncError("internal", "a host did not end well", { cause: failure.reason });
}

/** In the order of starting: what others need comes first. */
function hostsOf({ topology, hasStore }: { topology: Topology; hasStore: boolean }): HostId[] {
  const many = (role: "sync" | "poller", count: number): HostId[] =>
    Array.from({ length: count }, (_, index) => hostId(role, index));
  return [
    ...(hasStore ? [hostId("store", 0)] : []),
    hostId("ingest", 0),
    ...many("sync", topology.sync),
    ...many("poller", topology.poller),
  ];
}
