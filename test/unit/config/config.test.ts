import { describe, expect, test } from "bun:test";
import { readConfig } from "#src/config.ts";
import type { Config } from "#src/config.ts";

const SERVER = { SYNCV3_SERVER: "https://hs.example.org" };

function read(env: Record<string, string>, files: Record<string, string> = {}, cores = 2) {
  const readFile = (path: string): string => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT: no such file or directory, open '${path}'`);
    return text;
  };
  return readConfig(env, readFile, cores);
}

function config(env: Record<string, string>, files: Record<string, string> = {}, cores = 2): Config {
  const result = read({ ...SERVER, ...env }, files, cores);
  if ("problems" in result) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

function problems(env: Record<string, string>, files: Record<string, string> = {}): string[] {
  const result = read(env, files);
  return "problems" in result ? result.problems.map(({ name }) => name) : [];
}

describe("readConfig", () => {
  test("[CFG-1] the homeserver alone is enough", () => {
    expect(config({})).toEqual({
      server: "https://hs.example.org",
      homeserver: { url: "https://hs.example.org", socketPath: null, timeoutMs: 300_000, initialTimeoutMs: 1_800_000 },
      storage: {
        database: null,
        secret: null,
        oldSecret: null,
        importSecret: null,
        dataDir: "./data",
        maxConnections: null,
        idleTimeoutMs: 3_600_000,
      },
      publicServer: null,
      bind: { kind: "tcp", host: "0.0.0.0", port: 8008 },
      isForwarding: false,
      answersProbes: true,
      hasConsole: true,
      speaksV4: true,
      tls: null,
      metricsBind: null,
      admin: null,
      telemetry: { logLevel: "info", otlp: null, hasMetrics: false },
      users: { allow: [], deny: [] },
      rateLimit: { perSecond: 200, burst: 20_000 },
      pollerIdleMs: 259_200_000,
      firstSyncs: 8,
      syncHosts: 1,
      pollerHosts: 1,
      sharesWorker: true,
      keepEvents: 10_000,
      cacheBytes: 134_217_728,
    });
  });

  test("[CFG-2] is frozen all the way down, and crosses to a Worker", () => {
    const made = config({ SYNCV3_OTLP_URL: "http://otel:4318" });
    expect(structuredClone(made)).toEqual(made);
    expect(Object.isFrozen(made)).toBe(true);
    expect(Object.isFrozen(made.telemetry.otlp)).toBe(true);
  });

  test("[CFG-3] every variable reaches its place", () => {
    const made = config(
      {
        SYNCV3_SERVER: "/run/synapse.sock",
        SYNCV3_DB: "user=u dbname=d",
        SYNCV3_SECRET: "0123456789abcdef0123",
        SYNCV3_DATA: "/var/lib/glissade",
        SYNCV3_BINDADDR: "/run/glissade.sock",
        SYNCV3_FORWARD: "1",
        SYNCV3_V4: "0",
        SYNCV3_CONSOLE: "0",
        SYNCV3_PROBES: "0",
        SYNCV3_PROM: ":2112",
        SYNCV3_ADMIN: "127.0.0.1:8009",
        SYNCV3_ADMIN_TOKEN: "0123456789abcdef",
        SYNCV3_LOG_LEVEL: "WARN",
        SYNCV3_OTLP_URL: "http://otel:4318/",
        SYNCV3_OTLP_USERNAME: "u",
        SYNCV3_OTLP_PASSWORD: "p",
        SYNCV3_MAX_DB_CONN: "3",
        SYNCV3_DB_IDLE_TIMEOUT_SECS: "0",
        SYNCV3_PUBLIC_SERVER: "https://hs.example.org:8448/",
        SYNCV3_HTTP_TIMEOUT_SECS: "10",
        SYNCV3_HTTP_INITIAL_TIMEOUT_SECS: "20",
        SYNCV3_POLLER_IDLE: "never",
        SYNCV3_ALLOW: "@a*:hs, *.example.org",
        SYNCV3_DENY: "evil.example.org",
        SYNCV3_RATE_LIMIT: "5",
        SYNCV3_RATE_BURST: "50",
        SYNCV3_FIRST_SYNCS: "9",
        SYNCV3_SYNC_HOSTS: "5",
        SYNCV3_POLLER_HOSTS: "6",
        SYNCV3_SHARED_WORKER: "1",
        SYNCV3_CACHE_MB: "1",
      },
      {},
      64,
    );
    expect(made).toEqual({
      server: "/run/synapse.sock",
      homeserver: { url: "http://unix", socketPath: "/run/synapse.sock", timeoutMs: 10_000, initialTimeoutMs: 20_000 },
      publicServer: "https://hs.example.org:8448",
      storage: {
        database: "user=u dbname=d",
        secret: "0123456789abcdef0123",
        oldSecret: null,
        importSecret: null,
        dataDir: "/var/lib/glissade",
        maxConnections: 3,
        idleTimeoutMs: null,
      },
      bind: { kind: "unix", path: "/run/glissade.sock" },
      isForwarding: true,
      answersProbes: false,
      hasConsole: false,
      speaksV4: false,
      tls: null,
      metricsBind: { kind: "tcp", host: "0.0.0.0", port: 2112 },
      admin: { bind: { kind: "tcp", host: "127.0.0.1", port: 8009 }, token: "0123456789abcdef" },
      telemetry: {
        logLevel: "warn",
        otlp: {
          url: "http://otel:4318",
          username: "u",
          password: "p",
          signals: { traces: true, metrics: true, logs: true },
          metricIntervalMs: 60_000,
        },
        hasMetrics: true,
      },
      users: { allow: ["@a*:hs", "*.example.org"], deny: ["evil.example.org"] },
      rateLimit: { perSecond: 5, burst: 50 },
      pollerIdleMs: null,
      firstSyncs: 9,
      syncHosts: 5,
      pollerHosts: 6,
      sharesWorker: true,
      keepEvents: 10_000,
      cacheBytes: 1_048_576,
    });
  });

  test("[CFG-60] one Worker is shared where there are two cores at most, and nobody asked for more", () => {
    expect([1, 2, 3].map((cores) => config({}, {}, cores).sharesWorker)).toEqual([true, true, false]);
    expect(config({ SYNCV3_SYNC_HOSTS: "2" }).sharesWorker).toBe(false);
    expect(config({ SYNCV3_POLLER_HOSTS: "2" }).sharesWorker).toBe(false);
    expect(config({ SYNCV3_SHARED_WORKER: "0" }).sharesWorker).toBe(false);
    expect(config({ SYNCV3_SHARED_WORKER: "1" }, {}, 64).sharesWorker).toBe(true);
  });

  test("[CFG-4] all problems are reported at once, each with advice, and none with a secret", () => {
    const result = read({
      SYNCV3_DB: "mysql://user:hunter2@host/db",
      SYNCV3_BINDADDR: "nonsense",
      SYNCV3_TLS_CERT: "/cert.pem",
      SYNCV3_OTLP_USERNAME: "u",
      SYNCV3_OTLP_URL: "http://me:hunter2@otel",
      SYNCV3_CACHE_MB: "lots",
      SYNCV3_POLLER_IDLE: "10s",
    });
    const found = "problems" in result ? result.problems : [];
    expect(found.map(({ name }) => name).sort()).toEqual([
      "SYNCV3_BINDADDR",
      "SYNCV3_CACHE_MB",
      "SYNCV3_DB",
      "SYNCV3_OTLP_PASSWORD",
      "SYNCV3_OTLP_URL",
      "SYNCV3_POLLER_IDLE",
      "SYNCV3_SECRET",
      "SYNCV3_SERVER",
      "SYNCV3_TLS_KEY",
    ]);
    expect(found.every(({ advice }) => advice.length > 5)).toBe(true);
    expect(JSON.stringify(found)).not.toContain("hunter2");
  });

  test("[CFG-5] secrets may come from files, white space around them ignored", () => {
    const files = { "/run/s": "  0123456789abcdef0123\n", "/run/db": "postgres://u@h/d\n", "/run/p": "pw\n" };
    const made = config(
      {
        SYNCV3_SECRET_FILE: "/run/s",
        SYNCV3_DB_FILE: "/run/db",
        SYNCV3_OTLP_URL: "http://otel",
        SYNCV3_OTLP_USERNAME: "u",
        SYNCV3_OTLP_PASSWORD_FILE: "/run/p",
      },
      files,
    );
    expect(made.storage.secret).toBe("0123456789abcdef0123");
    expect(made.storage.database).toBe("postgres://u@h/d");
    expect(made.telemetry.otlp?.password).toBe("pw");
  });

  test("[CFG-6] a file that cannot be read, is empty, or competes with its variable is one problem", () => {
    expect(problems({ ...SERVER, SYNCV3_DB: "postgres://h/d", SYNCV3_SECRET_FILE: "/none" })).toEqual([
      "SYNCV3_SECRET_FILE",
    ]);
    expect(problems({ ...SERVER, SYNCV3_DB_FILE: "/e", SYNCV3_SECRET: "0123456789abcdef" }, { "/e": "\n" })).toEqual([
      "SYNCV3_DB_FILE",
    ]);
    expect(problems({ ...SERVER, SYNCV3_SECRET: "0123456789abcdef", SYNCV3_SECRET_FILE: "/s" }, { "/s": "x" })).toEqual(
      ["SYNCV3_SECRET"],
    );
  });

  test("[CFG-7] PostgreSQL needs a secret, the embedded database does not", () => {
    expect(problems({ ...SERVER, SYNCV3_DB: "postgres://h/d" })).toEqual(["SYNCV3_SECRET"]);
    expect(problems({ ...SERVER, SYNCV3_SECRET_OLD: "0123456789abcdef" })).toEqual(["SYNCV3_SECRET"]);
    expect(problems(SERVER)).toEqual([]);
  });

  test("[CFG-8] unknown names are warned about with the nearest known one, obsolete ones with what replaces them", () => {
    const { warnings } = read({
      ...SERVER,
      SYNCV3_BINDADR: ":8008",
      SYNCV3_SECRET_FIL: "x",
      SYNCV3_PPROF: ":6060",
      SYNCV3_SENTRY_DSN: "x",
      SYNCV3_SOMETHING_ELSE_ALTOGETHER: "x",
      OTHER: "x",
    });
    const advice = Object.fromEntries(warnings.map((warning) => [warning.name, warning.advice]));
    expect(Object.keys(advice).sort()).toEqual([
      "SYNCV3_BINDADR",
      "SYNCV3_PPROF",
      "SYNCV3_SECRET_FIL",
      "SYNCV3_SENTRY_DSN",
      "SYNCV3_SOMETHING_ELSE_ALTOGETHER",
    ]);
    expect(advice["SYNCV3_BINDADR"]).toContain("SYNCV3_BINDADDR");
    expect(advice["SYNCV3_SECRET_FIL"]).toContain("SYNCV3_SECRET_FILE");
    expect(advice["SYNCV3_PPROF"]).toContain("SYNCV3_PROM");
    expect(advice["SYNCV3_SENTRY_DSN"]).toContain("SYNCV3_OTLP_URL");
    expect(advice["SYNCV3_SOMETHING_ELSE_ALTOGETHER"]).toBe("remove it");
  });

  test("[CFG-9] an empty variable counts as not set", () => {
    expect(problems({ SYNCV3_SERVER: " " })).toEqual(["SYNCV3_SERVER"]);
    expect(config({ SYNCV3_DB: "", SYNCV3_PROM: "" }).metricsBind).toBeNull();
  });

  test("[CFG-10] TLS needs both files, readable, and a port", () => {
    const files = { "/c": "cert", "/k": "key" };
    const both = { SYNCV3_TLS_CERT: "/c", SYNCV3_TLS_KEY: "/k" };
    expect(config(both, files).tls).toEqual({ certPath: "/c", keyPath: "/k" });
    expect(problems({ ...SERVER, ...both }, { "/c": "cert" })).toEqual(["SYNCV3_TLS_KEY"]);
    expect(problems({ ...SERVER, SYNCV3_TLS_KEY: "/k" }, files)).toEqual(["SYNCV3_TLS_CERT"]);
    const onSocket = read({ ...SERVER, ...both, SYNCV3_BINDADDR: "/run/x.sock" }, files);
    expect("config" in onSocket && onSocket.config.tls).toBeNull();
    expect(onSocket.warnings.map(({ name }) => name)).toEqual(["SYNCV3_TLS_CERT"]);
  });

  test("[CFG-11] log levels: any case, err, debug mode; an unknown one is info with a warning", () => {
    const level = (env: Record<string, string>) => config(env).telemetry.logLevel;
    expect(level({ SYNCV3_LOG_LEVEL: "ERR" })).toBe("error");
    expect(level({ SYNCV3_LOG_LEVEL: "Debug" })).toBe("debug");
    expect(level({ SYNCV3_DEBUG: "1", SYNCV3_LOG_LEVEL: "error" })).toBe("trace");
    expect(level({ SYNCV3_DEBUG: "0" })).toBe("info");
    const { warnings } = read({ ...SERVER, SYNCV3_LOG_LEVEL: "loud" });
    expect(warnings.map(({ name }) => name)).toEqual(["SYNCV3_LOG_LEVEL"]);
  });

  test("[CFG-12] Workers follow the cores, within bounds", () => {
    const hosts = (cores: number) => {
      const { syncHosts, pollerHosts } = config({}, {}, cores);
      return [syncHosts, pollerHosts];
    };
    expect([1, 4, 8, 64].map(hosts)).toEqual([
      [1, 1],
      [2, 1],
      [4, 2],
      [8, 4],
    ]);
  });

  test("[CFG-13] a short secret is used, and warned about", () => {
    const result = read({ ...SERVER, SYNCV3_DB: "postgres://h/d", SYNCV3_SECRET: "short" });
    expect("config" in result && result.config.storage.secret).toBe("short");
    expect(result.warnings.map(({ name }) => name)).toEqual(["SYNCV3_SECRET"]);
  });
});
