import { randomUUID } from "node:crypto";
import { systemTimers } from "#src/system.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { startEmbeddedDatabase } from "#db/embedded.ts";
import { connectDatabase } from "#db/connection.ts";
import { systemClock } from "#src/system.ts";
import type { Logger } from "#src/ports/basics.ts";
import { storedEvent, transaction } from "./stored-samples.ts";

/** Commits one event after another to the embedded database in a directory, and prints the head after each; until killed. */
async function main(dataDir: string): Promise<void> {
  const logger: Logger = {
    trace: () => undefined,
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    child: () => logger,
  };
  const embedded = await startEmbeddedDatabase({ dataDir, timers: systemTimers, logger });
  const db = connectDatabase(
    {
      connection: embedded.connection,
      maxConnections: 1,
      idleTimeoutMs: 0,
      deadlineMs: 30_000,
      prepare: true,
      applicationName: "embedded-writer",
    },
    { clock: systemClock, timers: systemTimers, logger },
  );
  await migrateDatabase(db, logger);
  const ingest = createIngestStore(db, { makeWriterId: randomUUID });
  for (let { head } = await ingest.loadHead(); ;) {
    head++;
    await ingest.commit(transaction(head, { events: [storedEvent(1, head)] }));
    process.stdout.write(`${head}\n`);
  }
}

await main(process.argv[2] ?? "");
