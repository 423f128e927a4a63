import type { Database } from "#db/connection.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { connectTestDatabase, databaseDeps, withPostgres } from "#test/support/database.ts";
import { CuttingProxy } from "./cutting-proxy.ts";

/** A loaded machine takes its time. */
export const LIMIT_MS = 120_000;

type PoolOptions = Parameters<typeof connectTestDatabase>[1];

/** What a promise is rejected with. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    return { resolvedTo: await promise };
  } catch (error) {
    return error;
  }
}

/** A database of PostgreSQL with our schema, and pools that are closed together. */
export class StorageRig {
  readonly connection: string;
  readonly db: Database;
  readonly #opened: Database[] = [];

  private constructor(connection: string) {
    this.connection = connection;
    this.db = this.open();
  }

  static async begin(): Promise<StorageRig> {
    const rig = new StorageRig(await (await withPostgres()).createDatabase());
    await migrateDatabase(rig.db, databaseDeps.logger);
    return rig;
  }

  open(options: PoolOptions = {}, to = this.connection): Database {
    const made = connectTestDatabase(to, options);
    this.#opened.push(made);
    return made;
  }

  /** A proxy before the database, and how to connect through it. */
  async proxied(): Promise<{ proxy: CuttingProxy; url: string }> {
    const url = new URL(this.connection);
    const proxy = new CuttingProxy({ host: url.hostname, port: Number(url.port) });
    url.port = String(await proxy.listen());
    return { proxy, url: url.href };
  }

  /** A pool behind a proxy. */
  async behindProxy(options: PoolOptions = {}): Promise<{ proxy: CuttingProxy; database: Database }> {
    const { proxy, url } = await this.proxied();
    return { proxy, database: this.open({ maxConnections: 1, ...options }, url) };
  }

  async end(): Promise<void> {
    await Promise.all(this.#opened.map((database) => database.close(1000)));
  }
}
