import { afterAll, describe, expect, test } from "bun:test";
import { MIGRATIONS } from "#db/migrate.ts";
import { connectTestDatabase, temporaryDirectory, withPostgres } from "#test/support/database.ts";
import { ManagedService, managedServiceProblem } from "#test/support/managed-service.ts";
import { freePort } from "#test/support/ports.ts";

const LIMIT_MS = 120_000;
/** Longer than any statement of a server that runs may take. */
const LONG_MS = 21_000;
/** One of the migrations takes its time, as on a large database. */
const SLOW_MIGRATION = `
  create function take_time() returns event_trigger language plpgsql as $$
  begin
    if exists (select from pg_event_trigger_ddl_commands() where object_identity = 'public.audit') then
      perform pg_sleep(${LONG_MS / 1000});
    end if;
  end $$;
  create event trigger take_time on ddl_command_end when tag in ('CREATE TABLE') execute function take_time()`;

const problem = managedServiceProblem();
const cleanup = new AsyncDisposableStack();
afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

async function start(database: string, secrets: Record<string, string>): Promise<ManagedService> {
  const folder = cleanup.use(await temporaryDirectory()).path;
  const service = new ManagedService(`${folder}/data`, 0, {
    SYNCV3_DB: database,
    SYNCV3_BINDADDR: `127.0.0.1:${await freePort()}`,
    ...secrets,
  });
  cleanup.defer(async () => void (await service.end()));
  return service;
}

describe.skipIf(problem !== "")(`a start that takes long${problem}`, () => {
  async function migrates(): Promise<string[]> {
    const database = await (await withPostgres()).createDatabase();
    const db = connectTestDatabase(database, { maxConnections: 1 });
    cleanup.defer(() => db.close(1000));
    await db.query(SLOW_MIGRATION);
    const service = await start(database, { SYNCV3_SECRET: "a secret" });
    await service.until("READY=1");
    return service.told;
  }

  async function rotates(): Promise<string[]> {
    const database = await (await withPostgres()).createDatabase();
    const first = await start(database, { SYNCV3_SECRET: "the first" });
    await first.until("READY=1");
    await first.end();
    const db = connectTestDatabase(database, { maxConnections: 1, deadlineMs: LIMIT_MS });
    cleanup.defer(() => db.close(1000));
    const [held, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holding = db.transaction(async (query) => {
      await query("select from meta for update");
      held.resolve();
      await release.promise;
    });
    await held.promise;
    const service = await start(database, { SYNCV3_SECRET: "the second", SYNCV3_SECRET_OLD: "the first" });
    await service.until("STATUS=starting: sealing");
    await Bun.sleep(LONG_MS);
    release.resolve();
    await holding;
    await service.until("READY=1");
    return service.told;
  }

  test(
    "[SYSD-22] a migration and a change of the secret that take longer than any other statement go through, and the service manager is told how far they are",
    async () => {
      const [migrated, rotated] = await Promise.all([migrates(), rotates()]);
      const extended = (told: string[]): number => told.filter((line) => line.startsWith("EXTEND_TIMEOUT")).length;
      expect(migrated).toContain(`STATUS=starting: migrating the database: 0006_operators, 7 of ${MIGRATIONS.length}`);
      expect(extended(migrated)).toBeGreaterThan(LONG_MS / 5000 - 1);
      expect(rotated).toContain("STATUS=starting: sealing access tokens anew: 0 of 0");
      expect(extended(rotated)).toBeGreaterThan(LONG_MS / 5000 - 1);
    },
    LIMIT_MS,
  );
});
