/*
 * The JSON of the admin listener, as `docs/admin-api.md` tells it. Times are milliseconds since 1970 and end in `AtMs`,
 * durations are milliseconds, sizes are bytes. Nothing here ever holds an access token, a key or an event's content.
 */

/** Below this every operation lies. */
export const ADMIN_ROOT = "/admin/v1";

/** A part of a long list: the next one is asked for with `?after=<next>`. */
export interface Page<T> {
  items: T[];
  /** null = this was the last. */
  next: string | null;
}

// ---------------------------------------------------------------- GET /admin/v1/overview

/** Everything at one glance. */
export interface Overview {
  version: string;
  startedAtMs: number;
  nowAtMs: number;
  health: HealthView;
  process: { residentBytes: number; cpuSeconds: number; cores: number };
  homeserver: HomeserverView;
  hosts: HostView[];
  pollers: Record<PollerState, number>;
  connections: Record<ConnectionState, number>;
  /** First syncs that run or wait for their turn. */
  firstSyncs: number;
  requestsInFlight: number;
  /** Of sync requests, over the last minutes; see `/health/deep`. */
  success: SuccessView;
}

/** What `/health/ready` says. */
export interface HealthView {
  ready: boolean;
  checks: { name: string; ok: boolean; reason: string | null }[];
}

/** Requests of the last minutes, and how many failed by our fault or the homeserver's. */
export interface SuccessView {
  windowMs: number;
  requests: number;
  failures: number;
}

/** How the homeserver does, over the last minutes. */
export interface HomeserverView {
  url: string;
  windowMs: number;
  /** Calls that ended; long polls are among them. */
  calls: number;
  failures: number;
  /** Of calls that the homeserver was not asked to hold; null when there were none. */
  latencyMs: { p50: number; p95: number; max: number } | null;
  lastFailure: { atMs: number; endpoint: string; reason: string } | null;
}

/** One host: main, or what runs in a Worker. */
export interface HostView {
  /** `main:0`, `ingest:0`, `poller:<n>`, `sync:<n>`, `store:0`. */
  host: string;
  state: "up" | "down";
  /** Counts its lives, from 1. */
  incarnation: number;
  restarts: number;
  /** When this life was ready to work. */
  upSinceAtMs: number | null;
  lastDeath: { atMs: number; reason: string } | null;
  /** Main hears of each host every five seconds; null of main itself. */
  lastHeartbeatAtMs: number | null;
  /** How long the answer to that took. */
  heartbeatMs: number | null;
  /** null when the host does not answer. */
  vitals: HostVitals | null;
}

/** What a host says of itself. Hosts that share a Worker say the same of heap, CPU and lag. */
export interface HostVitals {
  heapUsedBytes: number;
  heapTotalBytes: number;
  /** CPU that its thread has used. */
  threadCpuMs: number;
  /** How late a timer went off that was due: the last one, and the latest of the last minute. */
  loopLagMs: { last: number; max: number };
  actors: ActorCensus[];
}

/** The actors of one kind on one host. */
export interface ActorCensus {
  kind: string;
  count: number;
  /** Messages that wait, in all mailboxes and in the fullest. */
  mailboxDepth: number;
  deepestMailbox: number;
}

// ---------------------------------------------------------------- GET /admin/v1/pollers?state=&userId=

/**
 * What a poller is doing: `queued` for its turn at a first sync, `polling` the homeserver, `storing` what came, `waiting`
 * before it tries again, `paused` by an operator. Pollers of devices that are not in use are parked and not listed.
 */
export type PollerState = "loading" | "queued" | "polling" | "storing" | "waiting" | "paused" | "stopped";

/** The poller of one device. */
export interface PollerView {
  host: string;
  userId: string;
  deviceId: string;
  state: PollerState;
  stateSinceAtMs: number;
  startedAtMs: number;
  /** The first sync of this device is done. */
  hasSynced: boolean;
  /** When a poll was last stored; null = not yet in this life. */
  lastStoredAtMs: number | null;
  /** Failures in a row, and the last of them. */
  failures: number;
  lastFailure: string | null;
  /** When it tries again, while `waiting`. */
  retryAtMs: number | null;
  /** How much of the poll at hand is stored; null while there is none. */
  storing: StoringProgress | null;
  /** Requests of clients that wait for its first sync. */
  waitingRequests: number;
}

// ---------------------------------------------------------------- GET /admin/v1/first-syncs

/** A first sync that runs or waits. Of what the homeserver has not answered yet nothing is known but how long it takes. */
export interface FirstSyncView {
  host: string;
  userId: string;
  deviceId: string;
  state: PollerState;
  startedAtMs: number;
  failures: number;
  /** null before the homeserver has answered. */
  progress: StoringProgress | null;
}

/** How much of what a poll brought is stored. */
export interface StoringProgress {
  roomsDone: number;
  roomsTotal: number;
  bytesDone: number;
  bytesTotal: number;
}

// ---------------------------------------------------------------- GET /admin/v1/connections?userId=&state=

/** `parked` = a request waits for news; `idle` = the client has no request under way. */
export type ConnectionState = "idle" | "loading" | "working" | "parked";

/** A connection that is in memory. */
export interface ConnectionView {
  host: string;
  userId: string;
  deviceId: string;
  /** As it is addressed; the client's own `conn_id`, behind its dialect's scope in the simplified ones. */
  connId: string;
  dialect: string;
  state: ConnectionState;
  lastRequestAtMs: number;
  /** How long the request under way has been. */
  requestAgeMs: number | null;
  /** Numbered from its beginning, over restarts. */
  responses: number;
  lists: { key: string; rooms: number }[];
}

// ---------------------------------------------------------------- GET /admin/v1/quarantine

/** Something that could not be read or stored; what it holds is not shown. */
export interface QuarantineView {
  id: number;
  seenAtMs: number;
  userId: string;
  deviceId: string;
  roomId: string | null;
  section: string;
  reason: string;
}

// ---------------------------------------------------------------- GET /admin/v1/database

/** What the database holds, by table. */
export interface DatabaseView {
  isEmbedded: boolean;
  version: string;
  totalBytes: number;
  tables: TableView[];
}

/** One table; `rows` is the database's own estimate. */
export interface TableView {
  name: string;
  rows: number;
  dataBytes: number;
  indexBytes: number;
  /** With what is stored out of line, and free space. */
  totalBytes: number;
}

// ---------------------------------------------------------------- GET /admin/v1/slow-requests

/** A sync request that took long; the slowest of late, newest first. */
export interface SlowRequestView {
  endedAtMs: number;
  /** null without tracing. */
  traceId: string | null;
  dialect: string;
  status: number;
  userId: string | null;
  deviceId: string | null;
  connId: string | null;
  isInitial: boolean;
  durationMs: number;
  /** Parts of `durationMs`, in order; `waiting` is for news, as the client asked. */
  phases: { name: "body" | "token" | "setup" | "waiting" | "work"; ms: number }[];
  rooms: number | null;
  bytes: number | null;
}

// ---------------------------------------------------------------- GET /admin/v1/upstream

/** Calls of the homeserver since the start, by what was asked for. */
export interface UpstreamView {
  homeserver: HomeserverView;
  endpoints: UpstreamEndpoint[];
  /** Answers that were no success, and calls without an answer, by kind. */
  errors: { endpoint: string; kind: string; count: number }[];
}

/** One kind of call. `long-poll` is held by the homeserver until there is news, up to 30 s. */
export interface UpstreamEndpoint {
  endpoint: string;
  calls: number;
  totalMs: number;
  /** Calls that took at most `leMs`; null = any time. Each counts those of the ones before. */
  histogram: { leMs: number | null; calls: number }[];
}

// ---------------------------------------------------------------- GET /admin/v1/users/<user id>

/** All there is to know of a user, as `glissade explain` prints it. */
export interface UserView {
  userId: string;
  /** Whether `SYNCV3_ALLOW` and `SYNCV3_DENY` let the user in. */
  isAllowed: boolean;
  rooms: Record<string, number>;
  devices: DeviceView[];
  quarantined: QuarantineView[];
  /** What looks wrong, and what to do about it, in words. */
  findings: string[];
}

/** One device of a user. */
export interface DeviceView {
  deviceId: string;
  /** Stored access tokens, and when one was last used. */
  tokens: number;
  lastSeenAtMs: number | null;
  /** Since when it has none: it has to log in again. */
  tokenlessSinceAtMs: number | null;
  pausedAtMs: number | null;
  /** The first sync is stored. */
  hasSynced: boolean;
  /** null = parked, or there is no server to ask. */
  poller: PollerView | null;
  /** What the device has not acknowledged. */
  toDeviceMessages: number;
  deviceListChanges: number;
  /** As the homeserver counts them; null = not told yet. */
  oneTimeKeys: Record<string, number> | null;
  fallbackKeys: string[] | null;
  connections: StoredConnectionView[];
}

/** A connection as it is stored; `live` is there while it is in memory. */
export interface StoredConnectionView {
  connId: string;
  lastUsedAtMs: number;
  live: ConnectionView | null;
}

// ---------------------------------------------------------------- GET /admin/v1/audit

/** Something an operator did, or tried to. */
export interface AuditView {
  id: number;
  atMs: number;
  /** `resync`, `pause-poller`, `resume-poller`, `drop-connection`, `profile-cpu`, `profile-heap`. */
  action: string;
  target: string;
  /** The address it came from. */
  remote: string;
  /** `done`, or why not. */
  result: string;
}

// ---------------------------------------------------------------- POST /admin/v1/resync, GET /admin/v1/resyncs

/** What is to be compared with the homeserver; `target` is a room, a user, or "" for all. */
export interface ResyncRequest {
  kind: "room" | "user" | "all";
  target: string;
}

/** The answer to it. */
export interface ResyncStarted {
  id: number;
}

/** How far it is. */
export interface ResyncView extends ResyncRequest {
  id: number;
  askedAtMs: number;
  endedAtMs: number | null;
  /** Rooms; 0 until it is known how many. */
  total: number;
  done: number;
  failed: number;
}

/** The answer of actions that have nothing to tell. */
export interface Done {
  done: true;
}
