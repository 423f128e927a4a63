import { randomUUID } from "node:crypto";
import { stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "#src/config.ts";
import type { DatabaseSeen } from "#src/doctor/checks/database.ts";
import type { BaseUrl } from "#src/doctor/checks/well-known.ts";
import { examine } from "#src/doctor/examine.ts";
import type { Examination, Inside, Target } from "#src/doctor/examine.ts";
import { createOutside } from "#src/doctor/node-outside.ts";
import { readOrigin } from "#src/doctor/outside.ts";
import type { ProxyKind } from "#src/doctor/proxy-kind.ts";
import { poolTotal } from "#src/hosts/pool-sizes.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import { connectDatabase } from "#db/connection.ts";
import { readDatabaseFacts } from "#db/database-facts.ts";

const STATEMENT_DEADLINE_MS = 10_000;
const CLOSE_DEADLINE_MS = 1000;

/** What was asked of `glissade doctor`. */
export interface DoctorOptions {
  /** null = the listener of the configuration. */
  target: Exclude<Target, { kind: "listener" }> | null;
  token: string | null;
  extraCa: string | null;
  addresses: ReadonlyMap<string, string>;
  proxy: ProxyKind | null;
  isQuick: boolean;
  /** null = seen from outside alone. */
  config: Config | null;
}

/** Examines a server with the real network, and with the database of this configuration. */
export function runDoctor(options: DoctorOptions): Promise<Examination> {
  const { config, extraCa, addresses, token, proxy, isQuick } = options;
  const ports = { clock: systemClock, timers: systemTimers };
  const target = options.target ?? (config === null ? null : listenerOf(config));
  if (target === null) throw new Error("a target or a configuration is needed");
  return examine(target, {
    outside: createOutside({ ...ports, extraCa, addresses }),
    newMark: () => randomUUID().replaceAll("-", ""),
    token,
    proxy,
    isQuick,
    inside: config === null ? null : insideOf(config),
  });
}

/** By which address this configuration's listener is reached from its own machine. */
function listenerOf({ bind, tls }: Config): Target {
  const scheme = tls === null ? "http" : "https";
  const base = (host: string, port: number, socketPath?: string): BaseUrl => ({
    origin: { scheme, host, port, ...(socketPath === undefined ? {} : { socketPath }) },
    prefix: "",
  });
  if (bind.kind === "unix") return { kind: "listener", base: base("localhost", 80, bind.path) };
  const isAny = bind.host === "0.0.0.0" || bind.host === "::";
  const host = bind.host.includes(":") ? `[${bind.host}]` : bind.host;
  return { kind: "listener", base: base(isAny ? "127.0.0.1" : host, bind.port) };
}

function insideOf(config: Config): Inside {
  const { url, socketPath } = config.homeserver;
  const origin = readOrigin(url) ?? { scheme: "http", host: "localhost", port: 80 };
  return {
    homeserver: {
      origin: { ...origin, ...(socketPath === null ? {} : { socketPath }) },
      prefix: socketPath === null ? new URL(url).pathname.replace(/\/+$/, "") : "",
    },
    database: () => lookAtDatabase(config),
  };
}

async function lookAtDatabase(config: Config): Promise<DatabaseSeen> {
  const { database, dataDir } = config.storage;
  if (database === null) {
    const secretMode = await stat(join(dataDir, "secret")).then(
      ({ mode }) => mode & 0o777,
      () => null,
    );
    return { kind: "embedded", dataDir, freeBytes: await freeBytesAt(dataDir), secretMode };
  }
  try {
    return await lookAtPostgres(config, database);
  } catch (error) {
    return { kind: "away", reason: error instanceof Error ? error.message : "unknown" };
  }
}

async function lookAtPostgres(config: Config, connection: string): Promise<DatabaseSeen> {
  const db = connectDatabase(
    {
      connection,
      maxConnections: 1,
      idleTimeoutMs: 0,
      deadlineMs: STATEMENT_DEADLINE_MS,
      prepare: false,
      applicationName: "glissade doctor",
    },
    { clock: systemClock, timers: systemTimers, logger: createLogger({ level: "fatal", host: "main:0" }) },
  );
  try {
    const facts = await readDatabaseFacts(db);
    // The directory of another machine is not here.
    const freeBytes = facts.dataDirectory === null ? null : await freeBytesAt(facts.dataDirectory);
    return { kind: "postgres", facts, wantedConnections: poolTotal(config), freeBytes };
  } finally {
    await db.close(CLOSE_DEADLINE_MS);
  }
}

async function freeBytesAt(path: string): Promise<number | null> {
  return statfs(path).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => null,
  );
}
