import { readFileSync } from "node:fs";
import postgres from "postgres";
import { SyncError } from "#src/errors.ts";
import type { Clock, Logger, Timers } from "#src/ports/basics.ts";
import { type ConnectionSettings, parseConnectionString } from "./connection-string.ts";
import { driverCode, translateDriverError } from "./driver-error.ts";
import { type SocketMaker, socketMaker } from "./driver-socket.ts";
import { watchReach } from "./reach.ts";

/** How a host uses the database. */
export interface DatabaseOptions {
  /** `postgres://` URL or libpq's `key=value` form. */
  connection: string;
  /** Size of this host's pool; 1 is enough. */
  maxConnections: number;
  /** Connections unused for this long are closed; 0 = never. */
  idleTimeoutMs: number;
  /** No statement, waiting for a connection included, takes longer. */
  deadlineMs: number;
  /** False for poolers that cannot do prepared statements. */
  prepare: boolean;
  /** Shown in `pg_stat_activity`. */
  applicationName: string;
}

export interface DatabaseDeps {
  clock: Pick<Clock, "mono">;
  timers: Timers;
  logger: Logger;
}

/** What a statement may be given: texts include array literals. */
export type Param = string | number | boolean | Uint8Array | null;
/** Runs one statement on the connection it belongs to. */
export type Query = <R extends object>(text: string, params?: readonly Param[]) => Promise<R[]>;

/** `bigint` columns hold positions, times and counts below 2^53. */
type DriverTypes = { int8: postgres.PostgresType<number> };
type Sql = postgres.Sql<{ int8: number }>;
const INT8_OID = 20;

const DEFAULT_PORT = 5432;
const CONNECT_TIMEOUT_MS = 10_000;
const MAX_RECONNECT_DELAY_SECS = 2;
/** The server ends a statement on its own this much before we give up on it. */
const SERVER_HEAD_START_MS = 2000;
/** The driver's word for a connection that was closed under a statement. */
const HUNG_UP = "CONNECTION_CLOSED";
const UNSUPPORTED_STARTUP_PARAMETER = "08P01";
/** Who waits longer for a statement wants to know that there is still somebody who could answer. */
const WATCHED_FROM_MS = 60_000;

function tlsOptions(settings: ConnectionSettings): "prefer" | "require" | boolean | object {
  const { sslMode, sslRootCert, sslCert, sslKey } = settings;
  if (sslMode === "disable") return false;
  const isVerifying = sslMode === "verify-ca" || sslMode === "verify-full" || sslRootCert !== null;
  if (!isVerifying && sslCert === null) return sslMode === "require" ? "require" : "prefer";
  const read = (path: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      throw new SyncError("unusable_setup", `cannot read ${path}, named in the database connection string`, {
        cause: error,
      });
    }
  };
  return {
    rejectUnauthorized: isVerifying,
    // verify-ca checks who signed the certificate, not for whom.
    ...(sslMode === "verify-full" ? {} : { checkServerIdentity: () => undefined }),
    ...(sslRootCert === null || sslRootCert === "system" ? {} : { ca: read(sslRootCert) }),
    ...(sslCert === null ? {} : { cert: read(sslCert) }),
    ...(sslKey === null ? {} : { key: read(sslKey) }),
  };
}

/** The addresses in the driver's own terms; the driver takes lists of them, its types do not say so. */
function addressOptions({ hosts }: ConnectionSettings): { path?: string; host?: string; port?: number } {
  const [first] = hosts;
  if (first === undefined) return {};
  if (first.host.startsWith("/")) return { path: `${first.host}/.s.PGSQL.${first.port ?? DEFAULT_PORT}` };
  return {
    host: hosts.map(({ host }) => host) as unknown as string,
    port: hosts.map(({ port }) => port ?? DEFAULT_PORT) as unknown as number,
  };
}

/** A pool of connections that outlives the database: whatever fails is rejected in time, and later calls connect anew. */
export class Database {
  readonly #options: DatabaseOptions;
  readonly #settings: ConnectionSettings;
  readonly #deps: DatabaseDeps;
  #sql: Sql;
  /** True once a pooler has refused our session settings. */
  #isBare = false;
  #lastProgressMs = 0;
  #isClosed = false;
  readonly #listeners = new Map<string, (payload: string) => void>();

  constructor(options: DatabaseOptions, deps: DatabaseDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#settings = parseConnectionString(options.connection);
    this.#sql = this.#connect();
  }

  /** One statement, committed by itself. */
  query<R extends object>(text: string, params: readonly Param[] = []): Promise<R[]> {
    return this.#run((sql) => this.#send<R>(sql, text, params), this.#options.deadlineMs);
  }

  /** Statements that all see the database as of one moment. */
  snapshot<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return this.#transaction("isolation level repeatable read read only", work);
  }

  /** Statements that commit together. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return this.#transaction("", work);
  }

  /** Rejects unless the database answers within `deadlineMs`. */
  async ping(deadlineMs: number): Promise<void> {
    await this.#run((sql) => this.#send(sql, "select 1", []), deadlineMs);
  }

  /**
   * Calls back with what is notified on a channel, over a connection of its own that comes back by itself, until the database is closed.
   * Not every pooler passes notifications on, and those of an outage are lost.
   */
  async listen(channel: string, onNotice: (payload: string) => void): Promise<void> {
    this.#listeners.set(channel, onNotice);
    await this.#run((sql) => sql.listen(channel, onNotice), this.#options.deadlineMs);
  }

  /** Lets running statements end, for at most `deadlineMs`. */
  async close(deadlineMs: number): Promise<void> {
    this.#isClosed = true;
    await this.#sql.end({ timeout: deadlineMs / 1000 });
  }

  #transaction<T>(mode: string, work: (query: Query) => Promise<T>): Promise<T> {
    return this.#run(async (sql) => {
      const result = await sql.begin(mode, async (transaction) => {
        try {
          return { value: await work((text, params = []) => this.#send(transaction, text, params)) };
        } catch (error) {
          // The driver would roll back on the connection that is gone, and fail where nobody can catch it. That it is gone ends
          // the transaction by itself.
          if (driverCode(error) === HUNG_UP) return new Promise<never>(() => {});
          throw error;
        }
      });
      return result.value;
    }, this.#options.deadlineMs);
  }

  async #send<R extends object>(
    sql: Sql | postgres.TransactionSql<{ int8: number }>,
    text: string,
    params: readonly Param[],
  ): Promise<R[]> {
    // Without parameters a text may hold several statements, which cannot be prepared.
    const rows = await sql.unsafe<R[]>(text, params as Param[], {
      prepare: params.length > 0 && this.#options.prepare,
    });
    return rows;
  }

  async #run<T>(work: (sql: Sql) => Promise<T>, deadlineMs: number): Promise<T> {
    if (this.#isClosed) throw new SyncError("storage_unavailable", "the database is closed");
    const sql = this.#sql;
    try {
      const value = await this.#within(deadlineMs, sql, work(sql));
      this.#lastProgressMs = this.#deps.clock.mono();
      return value;
    } catch (error) {
      if (driverCode(error) !== UNSUPPORTED_STARTUP_PARAMETER || this.#isBare) throw translateDriverError(error);
      this.#deps.logger.info({}, "database pooler refuses session settings, going on without");
      this.#isBare = true;
      this.#replacePool(sql);
      return this.#run(work, deadlineMs);
    }
  }

  #within<T>(deadlineMs: number, sql: Sql, work: Promise<T>): Promise<T> {
    const startedMs = this.#deps.clock.mono();
    return new Promise((resolve, reject) => {
      const giveUp = (why: string): void => {
        reject(new SyncError("storage_unavailable", why));
        // Nothing has come back since: the connections are dead, however alive they look.
        if (this.#lastProgressMs <= startedMs) this.#replacePool(sql);
      };
      const cancel = this.#deps.timers.after(deadlineMs, () =>
        giveUp(`the database did not answer within ${deadlineMs} ms`),
      );
      const unwatch =
        deadlineMs < WATCHED_FROM_MS
          ? (): void => {}
          : watchReach(this.#settings, this.#deps.timers, () => giveUp("the database cannot be reached any more"));
      work.then(resolve, reject).finally(() => {
        cancel();
        unwatch();
      });
    });
  }

  #replacePool(old: Sql): void {
    if (this.#sql !== old || this.#isClosed) return;
    this.#deps.logger.warn({}, "database connections replaced");
    this.#sql = this.#connect();
    for (const [channel, onNotice] of this.#listeners) this.#sql.listen(channel, onNotice).catch(() => undefined);
    old.end({ timeout: 0 }).catch(() => undefined);
  }

  #connect(): Sql {
    const { maxConnections, idleTimeoutMs, deadlineMs, prepare, applicationName } = this.#options;
    const { user, password, database, connectTimeoutMs, targetSessionAttrs, parameters } = this.#settings;
    const session = {
      statement_timeout: Math.max(1, deadlineMs - SERVER_HEAD_START_MS),
      // Our statements look rows up by key, whatever the parameters: planning them anew each time is wasted.
      plan_cache_mode: "force_generic_plan",
    };
    const timeoutMs = connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    const options: postgres.Options<DriverTypes> & { socket: SocketMaker } = {
      socket: socketMaker(this.#deps.timers, timeoutMs),
      ...addressOptions(this.#settings),
      ...(user === null ? {} : { user }),
      ...(password === null ? {} : { password }),
      ...(database === null ? {} : { database }),
      ...(targetSessionAttrs === null
        ? {}
        : {
            target_session_attrs: targetSessionAttrs as NonNullable<
              postgres.Options<DriverTypes>["target_session_attrs"]
            >,
          }),
      ssl: tlsOptions(this.#settings),
      max: maxConnections,
      idle_timeout: idleTimeoutMs === 0 ? undefined : idleTimeoutMs / 1000,
      connect_timeout: timeoutMs / 1000,
      backoff: (retries: number) => Math.min(MAX_RECONNECT_DELAY_SECS, 2 ** retries / 50),
      prepare,
      // No statement of ours has arrays as rows; asking for their types would cost every connection a round trip.
      fetch_types: false,
      types: {
        int8: {
          to: INT8_OID,
          from: [INT8_OID],
          serialize: (value: number) => String(value),
          parse: (text: string) => Number(text),
        },
      },
      connection: {
        application_name: this.#settings.applicationName ?? applicationName,
        ...(this.#isBare ? {} : session),
        ...parameters,
      },
      onnotice: () => undefined,
      debug: false,
    };
    return postgres(options);
  }
}

/** Opens nothing yet: the first statement does. Throws `invalid_param` for a malformed connection string. */
export function connectDatabase(options: DatabaseOptions, deps: DatabaseDeps): Database {
  return new Database(options, deps);
}
