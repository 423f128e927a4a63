import { SyncError } from "#src/errors.ts";
import type { Config } from "#src/config.ts";
import type { RepairTarget } from "#src/ports/repair.ts";
import { runResync } from "#src/resync.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import { connectDatabase } from "#db/connection.ts";
import { embeddedConnection } from "#db/embedded.ts";
import { createRepairStore } from "#db/repair-repository.ts";
import { isThere, placeOf } from "./tools/tool-database.ts";

const STATEMENT_DEADLINE_MS = 20_000;
const CLOSE_DEADLINE_MS = 1000;

/** `glissade resync` on the database of this configuration; true when every room was compared. */
export async function resync(
  config: Config,
  target: RepairTarget,
  say: { out: (text: string) => void; err: (text: string) => void },
): Promise<boolean> {
  const { database, dataDir } = config.storage;
  if (!isThere(placeOf(config.storage))) {
    say.err(`there is no embedded database in ${dataDir} (SYNCV3_DATA): start the server on it first\n`);
    return false;
  }
  const deps = {
    clock: systemClock,
    timers: systemTimers,
    logger: createLogger({ level: "error", host: "main:0" }),
  };
  const db = connectDatabase(
    {
      connection: database ?? embeddedConnection(dataDir),
      maxConnections: 1,
      idleTimeoutMs: 0,
      deadlineMs: STATEMENT_DEADLINE_MS,
      prepare: false,
      applicationName: "glissade resync",
    },
    deps,
  );
  try {
    return await runResync(target, { ...deps, ...say, store: createRepairStore(db, deps) });
  } catch (error) {
    const isAway = error instanceof SyncError && error.code === "storage_unavailable";
    const why = database === null ? "the server has to run: the database is inside it" : "it cannot be reached";
    if (isAway) say.err(`no answer from the database (${why}): ${error.message}\n`);
    else say.err("the database does not know repairs: start this version of Glissade on it once\n");
    return false;
  } finally {
    await db.close(CLOSE_DEADLINE_MS);
  }
}
