import { randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import { createAdminApp } from "#src/http/admin-app.ts";
import { AdminService } from "#src/admin/admin-service.ts";
import type { SuccessView } from "#src/admin/api.ts";
import type { Operator } from "#src/admin/operator.ts";
import { recentUpstream } from "#src/admin/upstream-view.ts";
import type { Config } from "#src/config.ts";
import { userFilter } from "#src/config/user-patterns.ts";
import { ownConsole } from "#src/console/console-files.ts";
import { adminConsole, clientConsole } from "#src/console/console-settings.ts";
import { SyncError } from "#src/errors.ts";
import type { Dialect } from "#src/protocol/dialects/dialect.ts";
import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import { AnnouncedVersions } from "#src/homeserver/announced-versions.ts";
import { createHomeserver } from "#src/homeserver/client.ts";
import { UpstreamWatch } from "#src/homeserver/upstream-watch.ts";
import { Forwarder } from "#src/homeserver/forwarder.ts";
import { createApp } from "#src/http/app.ts";
import type { ConsoleRouteDeps } from "#src/http/console-route.ts";
import { ANNOUNCED_FEATURES } from "#src/http/front-paths.ts";
import { createFront } from "#src/http/front.ts";
import { type Certificate, readCertificate } from "#src/http/certificate.ts";
import { type Listener, listen } from "#src/http/listener.ts";
import { createMetricsApp } from "#src/http/metrics-app.ts";
import { RecentRequests } from "#src/http/recent-requests.ts";
import { withProbes } from "#src/http/probes.ts";
import { listenRaw } from "#src/http/raw-listener.ts";
import type { RawListenOptions } from "#src/http/raw-listener.ts";
import { serveWeb } from "#src/http/web-bridge.ts";
import { attend } from "#src/service-manager/attend.ts";
import { inheritedSocket, usableSocket } from "#src/service-manager/inherited-socket.ts";
import { sendDatagram } from "#src/service-manager/libc.ts";
import { serviceManagerOf } from "#src/service-manager/service-manager.ts";
import { type RenewableListener, renewableListener } from "#src/http/renewable-listener.ts";
import { giveBackAfterWork } from "#src/hosts/give-back.ts";
import { MainHost } from "#src/hosts/main-host.ts";
import { yieldToIo } from "#src/hosts/serve-host.ts";
import type { HostOptions } from "#src/hosts/options.ts";
import { probeThread } from "#src/hosts/thread.ts";
import { mayListen, type PoolRole, poolSize } from "#src/hosts/pool-sizes.ts";
import { openStorage, type Storage, type StorageOptions } from "#src/hosts/storage.ts";
import type { ForwardObserver, PositionTokens } from "#src/ports/front.ts";
import type { HealthSource, RecentCalls } from "#src/ports/health.ts";
import { tellOfOwnSlidingSync } from "#src/homeserver/own-sliding-sync.ts";
import { processUsage, systemClock, systemEnv, systemRng, systemTimers, thisThread } from "#src/system.ts";
import { createDeepHealth } from "#src/telemetry/deep-health.ts";
import { createHealthSource } from "#src/telemetry/health.ts";
import { type MetricSeries, MetricsMerger, type MetricsSnapshot } from "#src/telemetry/metrics-snapshot.ts";
import { prometheusText } from "#src/telemetry/prometheus-text.ts";
import { startTelemetry, type Telemetry } from "#src/telemetry/start.ts";
import { FULL_VERSION, VERSION } from "#src/version.ts";
import { createOperator } from "#actors/inspector/operator.ts";
import { createGateway } from "#actors/gateway/gateway.ts";
import { StoredPositionTokens } from "#actors/gateway/position-tokens.ts";
import { hostId } from "#actors/runtime/placement.ts";
import { ownThread, type ThreadOf, workerSpawner } from "#actors/runtime/spawn.ts";
import { hashToken } from "#db/secrets.ts";

const PING_DEADLINE_MS = 2000;
const SCRAPE_LIMIT_MS = 5000;
/** Answers on their way get this long once nobody is let in any more. */
const SERVER_STOP_MS = 300;
const EXIT_FAILED = 1;
/** As for a command line or a configuration that is refused: the service manager need not try again. */
const EXIT_UNUSABLE = 2;

/** Serves clients until it is told to stop; resolves to the exit code. `onReady` is called once requests are taken. */
export async function runServe(config: Config, onReady: () => void = () => undefined): Promise<number> {
  const manager = serviceManagerOf(systemEnv(), process.pid, sendDatagram);
  const telemetry = await startTelemetry(config.telemetry, hostId("main", 0), { isGathering: true });
  const ended = Promise.withResolvers<number>();
  const node = new Node(config, telemetry, (reason) => {
    telemetry.log.error({ reason }, "giving up: the service manager should start glissade again");
    ended.resolve(EXIT_FAILED);
  });
  const attendance = attend({
    manager,
    timers: systemTimers,
    problem: () => node.hostsProblem(),
    busyWith: () => node.busyWith(),
  });
  let isStopping = false;
  const stop = (signal: string): void => {
    isStopping = true;
    attendance.stopping();
    telemetry.log.info({ signal }, "shutting down");
    node.shutdown().then(
      (isClean) => ended.resolve(isClean ? 0 : EXIT_FAILED),
      () => ended.resolve(EXIT_FAILED),
    );
  };
  const renew = (): void => void node.renewCertificate();
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  // Without a certificate it means what it always does: the terminal has gone.
  if (config.tls !== null) process.on("SIGHUP", renew);
  const start = async (): Promise<void> => {
    try {
      attendance.ready(await node.start());
      giveBackAfterWork(thisThread, systemTimers);
      onReady();
    } catch (error) {
      const fields = { error: error instanceof Error ? error.message : String(error) };
      if (isStopping) telemetry.log.info(fields, "stopped before it was ready");
      else {
        telemetry.log.error(fields, "glissade cannot start");
        const isUnusable = error instanceof SyncError && error.code === "unusable_setup";
        ended.resolve(isUnusable ? EXIT_UNUSABLE : EXIT_FAILED);
      }
    }
  };
  // Who is told to stop in the middle of it need not wait for its end.
  void start();
  const code = await ended.promise;
  process.off("SIGTERM", stop);
  process.off("SIGINT", stop);
  process.off("SIGHUP", renew);
  return code;
}

/** Everything of one process, from its hosts to its listeners. */
class Node {
  readonly #config: Config;
  readonly #telemetry: Telemetry;
  readonly #main: MainHost;
  readonly #merger = new MetricsMerger();
  readonly #frontId = randomUUID();
  readonly #console = ownConsole();
  #storage: Storage | null = null;
  #server: RenewableListener | null = null;
  #metricsServer: Listener | null = null;
  #adminServer: Listener | null = null;
  readonly #recent = new RecentRequests(systemClock);
  readonly #upstream: UpstreamWatch;

  constructor(config: Config, telemetry: Telemetry, onEscalate: (reason: string) => void) {
    this.#config = config;
    this.#telemetry = telemetry;
    this.#upstream = new UpstreamWatch({ clock: systemClock, metrics: telemetry.metrics });
    this.#main = new MainHost({
      topology: { poller: config.pollerHosts, sync: config.syncHosts },
      hasStore: config.storage.database === null,
      spawner: workerSpawner({ timers: systemTimers, threadOf: config.sharesWorker ? sharedThread : ownThread }),
      clock: systemClock,
      rng: systemRng,
      timers: systemTimers,
      logger: telemetry.log,
      metrics: telemetry.metrics,
      upstream: this.#upstream,
      ...(config.telemetry.hasMetrics ? { thread: probeThread(telemetry.metrics).probe } : {}),
      optionsOf: (role) => this.#optionsOf(role === "store" ? "main" : role),
      onEscalate,
    });
  }

  /** Resolves to the address that clients are served on. */
  async start(): Promise<string> {
    const { log, metrics } = this.#telemetry;
    const { homeserver: address } = this.#config;
    const startedMs = systemClock.mono();
    log.info({ version: FULL_VERSION, homeserver: this.#config.server }, "starting");
    const homeserver = createHomeserver({
      address,
      version: VERSION,
      clock: systemClock,
      timers: systemTimers,
      deadlineMs: address.timeoutMs,
      onCall: (call) => this.#upstream.ended(call),
    });
    await this.#main.launch();
    const storage = await openStorage(this.#storageOptions("main"), { ...PORTS, logger: log }, { migrate: false });
    this.#storage = storage;
    const gateway = createGateway({
      devices: storage.devices,
      homeserver,
      hashToken,
      isAllowed: userFilter(this.#config.users),
      clock: systemClock,
      timers: systemTimers,
      log,
      metrics,
      actors: this.#main.runtime,
      whenHostUp: (to, withinMs) => this.#main.whenHostUp(to, withinMs),
      initialTimeoutMs: address.initialTimeoutMs,
    });
    this.#main.addKinds({ gateway: gateway.kind });
    const operator = createOperator({
      actors: this.#main.runtime,
      hosts: this.#main.hosts,
      startedAtMs: Math.round(processUsage().startedAtSeconds * 1000),
    });
    const health = createHealthSource({
      log,
      clock: systemClock,
      timers: systemTimers,
      probes: [
        { name: "hosts", probe: async () => this.hostsProblem() },
        { name: "database", probe: () => storage.ping(PING_DEADLINE_MS).then(() => null) },
      ],
    });
    const dialects = Object.values(DIALECTS).filter(({ name }) => name !== "v4" || this.#config.speaksV4);
    const app = createApp({
      afterReply: yieldToIo,
      gateway,
      dialects,
      clock: systemClock,
      timers: systemTimers,
      log,
      metrics,
      health,
      deepHealth: createDeepHealth({
        health,
        clock: systemClock,
        requests: () => callsOf(this.#recent.success()),
        homeserver: async () => recentUpstream(await operator.describeHosts()),
      }),
      versions: new AnnouncedVersions({
        address,
        frontId: this.#frontId,
        version: VERSION,
        features: ANNOUNCED_FEATURES,
        hashToken,
        deadlineMs: address.timeoutMs,
        ...PORTS,
      }),
      serverInfo: { server: this.#config.server, version: FULL_VERSION },
      recent: this.#recent,
      ...(this.#config.hasConsole ? { console: this.#clientConsole(dialects) } : {}),
    });
    const tokens = new StoredPositionTokens({ identifier: gateway, ...storage, homeserver, timers: systemTimers });
    const { isForwarding } = this.#config;
    const handle = this.#config.answersProbes
      ? withProbes((request) => app.handle(request), { ...PORTS, isForwarding, metrics })
      : (request: Request): Response | Promise<Response> => app.handle(request);
    this.#server = await this.#listen(handle, gateway, tokens);
    await this.#serveMetrics();
    await this.#serveAdmin(storage, health, operator);
    void tellOfOwnSlidingSync(homeserver, this.#config.isForwarding, log);
    log.info({ address: this.#server.address, ready_ms: Math.round(systemClock.mono() - startedMs) }, "ready");
    return this.#server.address;
  }

  /** What the start is busy with; null when there is nothing to say. */
  busyWith(): Promise<string | null> {
    return this.#main.busyWith();
  }

  #clientConsole(dialects: readonly Dialect[]): ConsoleRouteDeps {
    const names = dialects.map(({ name }) => name);
    return { files: this.#console, settings: clientConsole(this.#config, FULL_VERSION, names) };
  }

  /** As little as possible lies between clients and us; with the homeserver behind us too, nothing may touch their bytes. */
  #listen(
    handle: (request: Request) => Response | Promise<Response>,
    observer: ForwardObserver,
    tokens: PositionTokens,
  ): Promise<RenewableListener> {
    const { bind, tls, isForwarding, homeserver: address } = this.#config;
    const { log, metrics } = this.#telemetry;
    const read = async (): Promise<Certificate | null> => tls && readCertificate(tls);
    const renewal = {
      read,
      timers: systemTimers,
      onClosed: (error: unknown) =>
        log.error(
          { error: String(error) },
          "clients cannot come in: the listener could not be opened again, trying on",
        ),
      onOpen: () => log.info({}, "clients can come in again"),
    };
    const inherited = usableSocket(inheritedSocket(systemEnv(), process.pid), tls !== null);
    if (!isForwarding) {
      const bridge: RawListenOptions["handle"] = (request, response) =>
        void serveWeb(request, response, handle, systemTimers).catch(() => response.destroy());
      return renewableListener({
        ...renewal,
        open: (certificate) =>
          inherited === null
            ? listen({ bind, tls, certificate, fetch: handle, timers: systemTimers })
            : listenRaw({ bind, tls, certificate, handle: bridge, timers: systemTimers, inherited }),
      });
    }
    const front = createFront({
      forwarder: new Forwarder({ address, frontId: this.#frontId, deadlineMs: address.initialTimeoutMs, ...PORTS }),
      observer,
      tokens,
      handle,
      scheme: tls === null ? "http" : "https",
      log,
      metrics,
      ...PORTS,
    });
    return renewableListener({
      ...renewal,
      open: (certificate) => listenRaw({ bind, tls, certificate, handle: front, timers: systemTimers, inherited }),
    });
  }

  /** Takes up what was put in the place of the certificate; keeps the one there is when that cannot be used. */
  async renewCertificate(): Promise<void> {
    const { log } = this.#telemetry;
    try {
      await this.#server?.renew();
      log.info({}, "the certificate was read anew");
    } catch (error) {
      log.error({ error: error instanceof Error ? error.message : String(error) }, "the certificate was not renewed");
    }
  }

  shutdown(): Promise<boolean> {
    return this.#main.shutdown({
      stopAccepting: async () => {
        // Requests already taken are settled before their connections are closed.
        this.#server?.stopAccepting();
        await Promise.all([this.#metricsServer?.stop(0), this.#adminServer?.stop(0)]);
      },
      closeServer: async () => this.#server?.stop(SERVER_STOP_MS),
      closePools: async () => this.#storage?.close(),
      flushSpans: () => this.#telemetry.shutdown(),
    });
  }

  async #serveMetrics(): Promise<void> {
    const bind = this.#config.metricsBind;
    if (bind === null) return;
    const app = createMetricsApp({ scrape: () => this.#scrape(), log: this.#telemetry.log });
    const fetch = (request: Request): Response | Promise<Response> => app.handle(request);
    this.#metricsServer = await listen({ bind, tls: null, fetch, timers: systemTimers });
    this.#telemetry.log.info({ address: this.#metricsServer.address }, "serving metrics");
  }

  async #serveAdmin(storage: Storage, health: HealthSource, operator: Operator): Promise<void> {
    const { admin, server, storage: stored } = this.#config;
    if (admin === null) return;
    const { log } = this.#telemetry;
    const service = new AdminService({
      ...storage,
      store: storage.admin,
      operator,
      health,
      recent: this.#recent,
      series: () => this.#series(),
      usage: processUsage,
      isAllowed: userFilter(this.#config.users),
      about: { version: FULL_VERSION, server, isEmbedded: stored.database === null, cores: availableParallelism() },
      clock: systemClock,
    });
    const handle = createAdminApp({
      ...PORTS,
      service,
      token: admin.token,
      console: { files: this.#console, settings: adminConsole(FULL_VERSION, admin.token !== null) },
      store: storage.admin,
      log,
      metrics: this.#telemetry.metrics,
    });
    this.#adminServer = await listen({
      bind: admin.bind,
      tls: null,
      fetch: (request, remote) => handle(request, remote()),
      timers: systemTimers,
      isPrivate: true,
    });
    log.info({ address: this.#adminServer.address }, "serving operators");
  }

  async #scrape(): Promise<string> {
    return prometheusText(await this.#series(), processUsage());
  }

  async #series(): Promise<MetricSeries[]> {
    const [own, others] = await Promise.all([
      this.#telemetry.collectMetrics(),
      this.#main.collectMetrics(SCRAPE_LIMIT_MS),
    ]);
    const snapshots = [own, ...others.values()].filter((snapshot): snapshot is MetricsSnapshot => snapshot !== null);
    return this.#merger.merge(snapshots);
  }

  /** Which hosts do not live; null when all do. */
  hostsProblem(): string | null {
    const down = this.#main.hostsDown();
    return down.length === 0 ? null : `down: ${down.join(", ")}`;
  }

  #optionsOf(role: PoolRole): HostOptions {
    const config = this.#config;
    return {
      telemetry: config.telemetry,
      storage: this.#storageOptions(role),
      homeserver: config.homeserver,
      rateLimit: config.rateLimit,
      users: config.users,
      pollerIdleMs: config.pollerIdleMs,
      firstSyncs: config.firstSyncs,
      keepEvents: config.keepEvents,
      cacheBytes: Math.floor(config.cacheBytes / config.syncHosts),
    };
  }

  #storageOptions(role: PoolRole): StorageOptions {
    const { storage } = this.#config;
    const { database, secret, oldSecret, dataDir, idleTimeoutMs } = storage;
    const listens = role === "ingest" && mayListen(this.#config);
    return { database, secret, oldSecret, dataDir, idleTimeoutMs, connections: poolSize(role, this.#config), listens };
  }
}

/** The embedded database keeps a Worker of its own: a query of it must not hold up anybody. */
const sharedThread: ThreadOf = (role, index) => (role === "store" ? hostId(role, index) : "shared:0");

const callsOf = ({ windowMs, requests, failures }: SuccessView): RecentCalls => ({
  windowMs,
  calls: requests,
  failures,
});

const PORTS = { clock: systemClock, timers: systemTimers };
