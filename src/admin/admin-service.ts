import { SyncError } from "#src/errors.ts";
import type { SlowRequest } from "#src/http/recent-requests.ts";
import type { AdminStore, RepairEntry } from "#src/ports/admin-store.ts";
import type { Clock } from "#src/ports/basics.ts";
import type { HealthSource } from "#src/ports/health.ts";
import type { RepairStore, RepairTarget } from "#src/ports/repair.ts";
import type { ConnectionStore, DeviceStore } from "#src/ports/stores.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { MetricSeries } from "#src/telemetry/metrics-snapshot.ts";
import type {
  AuditView,
  ConnectionView,
  DatabaseView,
  FirstSyncView,
  HostView,
  Overview,
  Page,
  PollerView,
  QuarantineView,
  ResyncView,
  SlowRequestView,
  SuccessView,
  UpstreamView,
  UserView,
} from "./api.ts";
import type { DescribedHost, ListQuery, Operator } from "./operator.ts";
import { homeserverView, upstreamView } from "./upstream-view.ts";
import { quarantineView, userView } from "./user-view.ts";

/** What the admin listener tells is put together of these. */
export interface AdminDeps {
  operator: Operator;
  store: AdminStore;
  devices: Pick<DeviceStore, "setPaused">;
  connections: Pick<ConnectionStore, "delete">;
  repair: Pick<RepairStore, "ask">;
  health: HealthSource;
  recent: { success(): SuccessView; slow(): SlowRequest[] };
  /** All metrics as they are now. */
  series: () => Promise<readonly MetricSeries[]>;
  usage: () => { residentBytes: number; cpuSeconds: number; startedAtSeconds: number };
  isAllowed: (userId: UserId) => boolean;
  about: { version: string; server: string; isEmbedded: boolean; cores: number };
  clock: Clock;
}

/** Part of a list whose items have numbers: those before `before`, the newest first. */
export interface NewestQuery {
  before: number | null;
  limit: number;
}

/** One user has few of each. */
const OF_USER_LIMIT = 500;
const QUARANTINE_OF_USER = 20;
const RESYNCS_SHOWN = 100;

/** Answers what operators ask, and does what they want done. */
export class AdminService {
  readonly #deps: AdminDeps;

  constructor(deps: AdminDeps) {
    this.#deps = deps;
  }

  async overview(): Promise<Overview> {
    const { about, clock, operator, recent, usage } = this.#deps;
    const [hosts, pollers, connections, first, { ready, checks }, series] = await Promise.all([
      operator.describeHosts(),
      operator.countPollers(),
      operator.countConnections(),
      operator.pollers({ after: null, limit: OF_USER_LIMIT, where: { hasSynced: "false" } }),
      this.#deps.health.report(),
      this.#deps.series(),
    ]);
    const { residentBytes, cpuSeconds, startedAtSeconds } = usage();
    return {
      version: about.version,
      startedAtMs: Math.round(startedAtSeconds * 1000),
      nowAtMs: clock.now(),
      health: { ready, checks: [...checks] },
      process: { residentBytes, cpuSeconds, cores: about.cores },
      homeserver: homeserverView(about.server, hosts),
      hosts: hosts.map(hostView),
      pollers,
      connections,
      firstSyncs: first.items.length,
      requestsInFlight: sumOf(series, "sliding_sync_api_requests_in_flight"),
      success: recent.success(),
    };
  }

  pollers(query: ListQuery): Promise<Page<PollerView>> {
    return this.#deps.operator.pollers(query);
  }

  connections(query: ListQuery): Promise<Page<ConnectionView>> {
    return this.#deps.operator.connections(query);
  }

  async firstSyncs({ after, limit }: Omit<ListQuery, "where">): Promise<Page<FirstSyncView>> {
    const { items, next } = await this.#deps.operator.pollers({ after, limit, where: { hasSynced: "false" } });
    return {
      next,
      items: items.map(({ host, userId, deviceId, state, startedAtMs, failures, storing }) => ({
        host,
        userId,
        deviceId,
        state,
        startedAtMs,
        failures,
        progress: storing,
      })),
    };
  }

  async quarantine({ before, limit }: NewestQuery): Promise<Page<QuarantineView>> {
    return newestPage((await this.#deps.store.listQuarantine(before, limit, null)).map(quarantineView), limit);
  }

  async audit({ before, limit }: NewestQuery): Promise<Page<AuditView>> {
    return newestPage(await this.#deps.store.listAudit(before, limit), limit);
  }

  async database(): Promise<DatabaseView> {
    return { isEmbedded: this.#deps.about.isEmbedded, ...(await this.#deps.store.sizes()) };
  }

  slowRequests(): SlowRequestView[] {
    return this.#deps.recent.slow().map(slowRequestView);
  }

  async upstream(): Promise<UpstreamView> {
    const [hosts, series] = await Promise.all([this.#deps.operator.describeHosts(), this.#deps.series()]);
    return upstreamView(homeserverView(this.#deps.about.server, hosts), series);
  }

  async user(userId: UserId): Promise<UserView> {
    const { operator, store, isAllowed, clock } = this.#deps;
    const where = { userId };
    const [stored, pollers, connections, quarantined] = await Promise.all([
      store.loadUser(userId),
      operator.pollers({ after: null, limit: OF_USER_LIMIT, where }),
      operator.connections({ after: null, limit: OF_USER_LIMIT, where }),
      store.listQuarantine(null, QUARANTINE_OF_USER, userId),
    ]);
    const live = { pollers: pollers.items, connections: connections.items };
    return userView(
      { userId, isAllowed: isAllowed(userId), stored, live, quarantined: quarantined.map(quarantineView) },
      clock.now(),
    );
  }

  resync(target: RepairTarget): Promise<number> {
    return this.#deps.repair.ask(target, this.#deps.clock.now());
  }

  async resyncs(): Promise<ResyncView[]> {
    const rows = await this.#deps.store.listRepairs(RESYNCS_SHOWN);
    return rows.map(resyncView);
  }

  /** Rejects when there is no such device. */
  async setPaused(userId: UserId, deviceId: DeviceId, isPaused: boolean): Promise<void> {
    const { devices, operator, clock } = this.#deps;
    const isKnown = await devices.setPaused(userId, deviceId, isPaused ? clock.now() : null);
    if (!isKnown) throw new SyncError("not_found", "there is no such device here");
    operator.pauseChanged(userId, deviceId, isPaused);
  }

  async dropConnection(userId: UserId, deviceId: DeviceId, connId: ConnId): Promise<void> {
    await this.#deps.operator.dropConnection(userId, deviceId, connId);
    // One that was asleep had nothing to forget but this.
    await this.#deps.connections.delete(userId, deviceId, connId);
  }

  profileCpu(host: string, seconds: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#deps.operator.profileCpu(host, seconds);
  }

  snapshotHeap(host: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#deps.operator.snapshotHeap(host);
  }
}

function newestPage<T extends { id: number }>(items: T[], limit: number): Page<T> {
  const last = items.at(-1);
  return { items, next: items.length < limit || last === undefined ? null : String(last.id) };
}

function hostView({ upstream: _upstream, ...host }: DescribedHost): HostView {
  return host;
}

const resyncView = ({ askedMs, endedMs, ...row }: RepairEntry): ResyncView => ({
  ...row,
  askedAtMs: askedMs,
  endedAtMs: endedMs,
});

function slowRequestView({ endedAtMs, record, outcome, phases }: SlowRequest): SlowRequestView {
  return {
    endedAtMs,
    traceId: record.traceId,
    dialect: record.dialect,
    status: outcome.status,
    userId: record.userId,
    deviceId: record.deviceId,
    connId: record.connId,
    isInitial: record.posIn === null,
    durationMs: Math.round(outcome.durationMs),
    phases,
    rooms: record.rooms,
    bytes: record.bytes,
  };
}

const sumOf = (series: readonly MetricSeries[], name: string): number =>
  series.find((metric) => metric.name === name)?.points.reduce((sum, { value }) => sum + value, 0) ?? 0;
