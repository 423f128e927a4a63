import type { OtlpSignal, OtlpTarget } from "#src/telemetry/otlp.ts";
import type { TelemetryConfig } from "#src/telemetry/start.ts";
import { Environment } from "./config/environment.ts";
import type { Env, Problem, ReadFile } from "./config/environment.ts";
import { parseUserPatterns } from "./config/user-patterns.ts";
import type { UserPatterns } from "./config/user-patterns.ts";
import {
  LOG_LEVELS,
  parseBindAddress,
  parseDatabase,
  parseHttpUrl,
  parseIdleTime,
  parseInteger,
  parseKept,
  parseServer,
  parseSwitch,
  parseToken,
} from "./config/values.ts";
import type { BindAddress, LogLevel, ServerAddress } from "./config/values.ts";

/** Everything an operator decides; plain data, frozen, sent to Workers as it is. */
export interface Config {
  /** `SYNCV3_SERVER` as it was written. */
  readonly server: string;
  readonly homeserver: ServerAddress & { readonly timeoutMs: number; readonly initialTimeoutMs: number };
  readonly storage: {
    /** Connection string of PostgreSQL; null = the embedded database. */
    readonly database: string | null;
    /** null only with the embedded database, which generates one. */
    readonly secret: string | null;
    /** The one before, while what was made with it is still around. */
    readonly oldSecret: string | null;
    /** Of the database that `glissade import` reads; null = the same. */
    readonly importSecret: string | null;
    readonly dataDir: string;
    /** Over all Workers; null = our choice. */
    readonly maxConnections: number | null;
    /** null = never. */
    readonly idleTimeoutMs: number | null;
  };
  /** Where browsers reach the homeserver, if not at `server`; null = there. */
  readonly publicServer: string | null;
  readonly bind: BindAddress;
  /** Everything else of the homeserver's is served too, by handing it on. */
  readonly isForwarding: boolean;
  /** Whoever asks with the header of `glissade doctor` is told how the request arrived. */
  readonly answersProbes: boolean;
  /** The console is served to clients. */
  readonly hasConsole: boolean;
  /** MSC4186 is spoken beside the other dialects. */
  readonly speaksV4: boolean;
  readonly tls: { readonly certPath: string; readonly keyPath: string } | null;
  /** Where `/metrics` is served; null = nowhere, and nothing is counted. */
  readonly metricsBind: BindAddress | null;
  /** Where operators are served; null = nowhere. */
  readonly admin: AdminConfig | null;
  readonly telemetry: TelemetryConfig;
  readonly users: UserPatterns;
  /** Of the requests of each device; null = none. */
  readonly rateLimit: { readonly perSecond: number; readonly burst: number } | null;
  /** After so long without a request a poller is parked; null = never. */
  readonly pollerIdleMs: number | null;
  /** First syncs at once on each poller host. */
  readonly firstSyncs: number;
  readonly syncHosts: number;
  readonly pollerHosts: number;
  /** Ingest, pollers and sync hosts run in one Worker. */
  readonly sharesWorker: boolean;
  /** Timeline events kept of each room; null = all. */
  readonly keepEvents: number | null;
  /** For cached events, over all Workers. */
  readonly cacheBytes: number;
}

/** The listener for operators. `token` null = whoever may open its unix socket is one. */
export interface AdminConfig {
  readonly bind: BindAddress;
  readonly token: string | null;
}

/** A configuration, or everything that is wrong with it; warnings either way. */
export type ReadConfig = ({ config: Config } | { problems: Problem[] }) & { warnings: Problem[] };

/** Where nothing else is said. */
export const DEFAULT_BIND: BindAddress = { kind: "tcp", host: "0.0.0.0", port: 8008 };
const NO_SERVER: ServerAddress = { url: "", socketPath: null };
/** Far more than a client scrolls through; what is older comes from the homeserver. */
const DEFAULT_KEEP_EVENTS = 10_000;
const DEFAULT_POLLER_IDLE_MS = 3 * 86_400_000;
/** A day: longer waits are a typing error. */
const MOST_TIMEOUT_SECS = 86_400;
/** Below this a secret can be guessed. */
const SHORT_SECRET_CHARS = 16;

/**
 * Reads the environment; `cores` decides how many Workers there are where nothing else does. Who does not speak to the homeserver does
 * without the variable that names it.
 */
export function readConfig(env: Env, readFile: ReadFile, cores: number, { needsServer = true } = {}): ReadConfig {
  const environment = new Environment(env, readFile);
  const syncHosts = readCount(environment, "SYNCV3_SYNC_HOSTS", share(cores, 2, 8), 1, 64);
  const pollerHosts = readCount(environment, "SYNCV3_POLLER_HOSTS", share(cores, 4, 4), 1, 64);
  // Who asks for several of a kind wants them side by side.
  const isSmall = cores <= FEW_CORES && syncHosts === 1 && pollerHosts === 1;
  const bind = environment.parsed("SYNCV3_BINDADDR", DEFAULT_BIND, parseBindAddress);
  const server = environment.text("SYNCV3_SERVER");
  if (server === null && needsServer) {
    const advice = "set it to the URL of your homeserver, for example https://matrix.example.org";
    environment.problem("SYNCV3_SERVER", "is not set", advice);
  }
  const config: Config = {
    server: server ?? "",
    homeserver: {
      ...(needsServer ? environment.parsed("SYNCV3_SERVER", NO_SERVER, parseServer) : NO_SERVER),
      timeoutMs: 1000 * readCount(environment, "SYNCV3_HTTP_TIMEOUT_SECS", 300, 1, MOST_TIMEOUT_SECS),
      initialTimeoutMs: 1000 * readCount(environment, "SYNCV3_HTTP_INITIAL_TIMEOUT_SECS", 1800, 1, MOST_TIMEOUT_SECS),
    },
    publicServer: environment.parsed<string | null>("SYNCV3_PUBLIC_SERVER", null, parseHttpUrl),
    storage: readStorage(environment),
    bind,
    isForwarding: environment.parsed("SYNCV3_FORWARD", false, parseSwitch),
    answersProbes: environment.parsed("SYNCV3_PROBES", true, parseSwitch),
    hasConsole: environment.parsed("SYNCV3_CONSOLE", true, parseSwitch),
    speaksV4: environment.parsed("SYNCV3_V4", true, parseSwitch),
    tls: readTls(environment, bind),
    metricsBind: environment.parsed<BindAddress | null>("SYNCV3_PROM", null, parseBindAddress),
    admin: readAdmin(environment),
    telemetry: readTelemetry(environment),
    users: {
      allow: environment.parsed<readonly string[]>("SYNCV3_ALLOW", [], parseUserPatterns),
      deny: environment.parsed<readonly string[]>("SYNCV3_DENY", [], parseUserPatterns),
    },
    rateLimit: readRateLimit(environment),
    pollerIdleMs: environment.parsed<number | null>("SYNCV3_POLLER_IDLE", DEFAULT_POLLER_IDLE_MS, parseIdleTime),
    firstSyncs: readCount(environment, "SYNCV3_FIRST_SYNCS", 8, 1, 1000),
    syncHosts,
    pollerHosts,
    sharesWorker: environment.parsed("SYNCV3_SHARED_WORKER", isSmall, parseSwitch),
    keepEvents: environment.parsed<number | null>("SYNCV3_KEEP_EVENTS", DEFAULT_KEEP_EVENTS, parseKept),
    cacheBytes: 1024 * 1024 * readCount(environment, "SYNCV3_CACHE_MB", 128, 1, 1024 * 1024),
  };
  const { problems, warnings } = environment;
  return problems.length > 0 ? { problems, warnings } : { config: deepFreeze(config), warnings };
}

type CountName =
  | "SYNCV3_RATE_LIMIT"
  | "SYNCV3_RATE_BURST"
  | "SYNCV3_HTTP_TIMEOUT_SECS"
  | "SYNCV3_HTTP_INITIAL_TIMEOUT_SECS"
  | "SYNCV3_MAX_DB_CONN"
  | "SYNCV3_DB_IDLE_TIMEOUT_SECS"
  | "SYNCV3_FIRST_SYNCS"
  | "SYNCV3_SYNC_HOSTS"
  | "SYNCV3_POLLER_HOSTS"
  | "SYNCV3_CACHE_MB";

function readCount(environment: Environment, name: CountName, fallback: number, least: number, most: number): number {
  return environment.parsed(name, fallback, (text) => parseInteger(text, least, most));
}

/** So few are kept busy by one Worker beside main and the database: more would only wait for each other. */
const FEW_CORES = 2;

/** One Worker for every `each` cores, at least one. */
const share = (cores: number, each: number, most: number): number =>
  Math.min(most, Math.max(1, Math.floor(cores / each)));

function readStorage(environment: Environment): Config["storage"] {
  const database = environment.parsed<string | null>("SYNCV3_DB", null, parseDatabase);
  const secret = environment.text("SYNCV3_SECRET");
  if (secret === null && environment.text("SYNCV3_DB") !== null) {
    const advice = "set it to a long random text and keep it as long as the database; openssl rand -hex 32 makes one";
    environment.problem("SYNCV3_SECRET", "is not set, but SYNCV3_DB is", advice);
  }
  if (secret !== null && secret.length > 1 && secret.length < SHORT_SECRET_CHARS) {
    const advice = "use a longer one for the next new database; the one of an existing database must not change";
    environment.warn("SYNCV3_SECRET", "is short enough to be guessed", advice);
  }
  const oldSecret = environment.text("SYNCV3_SECRET_OLD");
  if (oldSecret !== null && secret === null) {
    const advice = "set the new one too; that of an embedded database is in its directory, in the file secret";
    environment.problem("SYNCV3_SECRET", "is not set, but SYNCV3_SECRET_OLD is", advice);
  }
  const maxConnections = readCount(environment, "SYNCV3_MAX_DB_CONN", 0, 0, 10_000);
  const idleSecs = readCount(environment, "SYNCV3_DB_IDLE_TIMEOUT_SECS", 3600, 0, 7 * MOST_TIMEOUT_SECS);
  return {
    database,
    secret,
    oldSecret,
    importSecret: environment.text("SYNCV3_IMPORT_SECRET"),
    dataDir: environment.text("SYNCV3_DATA") ?? "./data",
    maxConnections: maxConnections === 0 ? null : maxConnections,
    idleTimeoutMs: idleSecs === 0 ? null : 1000 * idleSecs,
  };
}

function readTls(environment: Environment, bind: BindAddress): Config["tls"] {
  const certPath = environment.text("SYNCV3_TLS_CERT");
  const keyPath = environment.text("SYNCV3_TLS_KEY");
  if (certPath === null && keyPath === null) return null;
  if (certPath === null)
    environment.problem("SYNCV3_TLS_CERT", "is not set, but SYNCV3_TLS_KEY is", "set both, or none");
  if (keyPath === null)
    environment.problem("SYNCV3_TLS_KEY", "is not set, but SYNCV3_TLS_CERT is", "set both, or none");
  if (certPath === null || keyPath === null) return null;
  if (bind.kind === "unix") {
    const advice = "remove it together with SYNCV3_TLS_KEY, or listen on a port";
    environment.warn("SYNCV3_TLS_CERT", "has no effect on a unix socket", advice);
    return null;
  }
  environment.checkReadable("SYNCV3_TLS_CERT", certPath);
  environment.checkReadable("SYNCV3_TLS_KEY", keyPath);
  return { certPath, keyPath };
}

function readRateLimit(environment: Environment): Config["rateLimit"] {
  const perSecond = readCount(environment, "SYNCV3_RATE_LIMIT", 200, 0, 100_000);
  const burst = readCount(environment, "SYNCV3_RATE_BURST", 100 * Math.max(perSecond, 1), 1, 10_000_000);
  return perSecond === 0 ? null : { perSecond, burst: Math.max(burst, perSecond) };
}

function readAdmin(environment: Environment): AdminConfig | null {
  const bind = environment.parsed<BindAddress | null>("SYNCV3_ADMIN", null, parseBindAddress);
  const token = environment.parsed<string | null>("SYNCV3_ADMIN_TOKEN", null, parseToken);
  const isTold = environment.text("SYNCV3_ADMIN_TOKEN") !== null;
  if (bind?.kind === "tcp" && !isTold) {
    const advice =
      "set it to a long random text, which operators prove themselves with; openssl rand -hex 32 makes one";
    environment.problem("SYNCV3_ADMIN_TOKEN", "is not set, but SYNCV3_ADMIN is", advice);
  }
  if (environment.text("SYNCV3_ADMIN") === null && isTold) {
    environment.warn("SYNCV3_ADMIN_TOKEN", "has no effect without SYNCV3_ADMIN", "set that too, or remove it");
  }
  return bind === null ? null : { bind, token };
}

function readTelemetry(environment: Environment): TelemetryConfig {
  const url = environment.parsed<string | null>("SYNCV3_OTLP_URL", null, parseHttpUrl);
  const username = environment.text("SYNCV3_OTLP_USERNAME");
  const password = environment.text("SYNCV3_OTLP_PASSWORD");
  if ((username === null) !== (password === null)) {
    const [missing, given] =
      username === null
        ? ["SYNCV3_OTLP_USERNAME", "SYNCV3_OTLP_PASSWORD"]
        : ["SYNCV3_OTLP_PASSWORD", "SYNCV3_OTLP_USERNAME"];
    environment.problem(missing ?? "", `is not set, but ${given} is`, "set both, or none");
  }
  if (username !== null && password !== null && environment.text("SYNCV3_OTLP_URL") === null) {
    environment.warn("SYNCV3_OTLP_USERNAME", "has no effect without SYNCV3_OTLP_URL", "set that too, or remove it");
  }
  const otlp = readOtlp(environment, { url, username, password });
  const isAsked = environment.text("SYNCV3_PROM") !== null || environment.text("SYNCV3_ADMIN") !== null;
  return {
    logLevel: readLogLevel(environment),
    otlp,
    // The admin listener tells some of them too.
    hasMetrics: isAsked || otlp?.signals.metrics === true,
  };
}

const METRIC_INTERVAL_MS = 60_000;

/** Where the standard variables name a receiver, or `SYNCV3_OTLP_URL` does; the former also say which signals are wanted. */
function readOtlp(
  environment: Environment,
  target: Pick<OtlpTarget, "url" | "username" | "password">,
): OtlpTarget | null {
  if (environment.standard("OTEL_SDK_DISABLED") === "true") return null;
  const has = (signal: OtlpSignal): boolean => {
    if (environment.standard(`OTEL_${signal.toUpperCase()}_EXPORTER`) === "none") return false;
    if (target.url !== null) return true;
    const names = ["OTEL_EXPORTER_OTLP_ENDPOINT", `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`];
    return names.some((name) => environment.standard(name) !== null);
  };
  const signals = { traces: has("traces"), metrics: has("metrics"), logs: has("logs") };
  if (!Object.values(signals).includes(true)) return null;
  const interval = parseInteger(environment.standard("OTEL_METRIC_EXPORT_INTERVAL") ?? "", 100, 86_400_000);
  return { ...target, signals, metricIntervalMs: "value" in interval ? interval.value : METRIC_INTERVAL_MS };
}

function readLogLevel(environment: Environment): LogLevel {
  const debug = environment.text("SYNCV3_DEBUG");
  if (debug === "1" || debug === "true") return "trace";
  const text = environment.text("SYNCV3_LOG_LEVEL")?.toLowerCase() ?? "info";
  const level = text === "err" ? "error" : LOG_LEVELS.find((known) => known === text);
  if (level !== undefined) return level;
  environment.warn("SYNCV3_LOG_LEVEL", "is not a level; info is used", `write one of ${LOG_LEVELS.join(", ")}`);
  return "info";
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === "object" && inner !== null) deepFreeze(inner as object);
  }
  return Object.freeze(value);
}
