import { expect, test } from "bun:test";
import { readDatabaseFacts } from "#db/database-facts.ts";
import { connectTestDatabase, withPglite, withPostgres } from "#test/support/database.ts";

const LIMIT_MS = 120_000;

for (const [name, server] of [
  ["PostgreSQL", withPostgres],
  ["PGlite", withPglite],
] as const) {
  test(
    `[DCT-55] ${name} tells what a doctor wants to know`,
    async () => {
      const connection = await (await server()).createDatabase();
      const db = connectTestDatabase(connection, { maxConnections: 1 });
      try {
        const facts = await readDatabaseFacts(db);
        expect(facts.version).toMatch(/^\d+\.\d+/);
        expect(facts.versionNumber).toBeGreaterThan(130_000);
        expect(facts).toMatchObject({ encoding: "UTF8", isCollationOutdated: false });
        expect(facts.settings).toMatchObject({
          fsync: expect.stringMatching(/^(?:on|off)$/),
          synchronous_commit: "on",
        });
        expect(Number(facts.settings["max_connections"])).toBeGreaterThan(0);
        expect(facts.sizeBytes).toBeGreaterThan(1024);
        expect(facts.otherConnections).toBeGreaterThanOrEqual(0);
        expect(typeof facts.dataDirectory).toBe("string");
      } finally {
        await db.close(1000);
      }
    },
    LIMIT_MS,
  );
}
