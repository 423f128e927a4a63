import { join, resolve } from "node:path";
import type { Config } from "#src/config.ts";
import { parseDatabase } from "#src/config/values.ts";
import { SyncError } from "#src/errors.ts";
import { systemClock } from "#src/system.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { keepSecret, readSecret } from "#db/secrets.ts";
import { portDatabase } from "#db/tools/port.ts";
import { type Say, counted, grouped, progressTeller } from "./terminal-progress.ts";
import { type DatabasePlace, openToolDatabase, placeName, placeOf } from "./tool-database.ts";

/** `glissade db port`: moves everything to another database, from which the server goes on. */
export async function port({ storage }: Pick<Config, "storage">, to: string, say: Say): Promise<void> {
  const target = placeNamed(to);
  const logger = createLogger({ level: "error", host: "main:0" });
  const source = await openToolDatabase(placeOf(storage), { name: "db port", isAlone: true });
  try {
    const ownSecret = storage.secret === null ? readSecret(storage.dataDir) : null;
    if (target.dataDir !== null) carrySecret(ownSecret, target.dataDir);
    const opened = await openToolDatabase(target, { name: "db port target", isAlone: true, isMade: true });
    try {
      await migrateDatabase(source.db, logger);
      await migrateDatabase(opened.db, logger);
      const tell = progressTeller(say, systemClock);
      const ported = await portDatabase({
        source: source.db,
        target: opened.db,
        to: placeName(target),
        nowMs: systemClock.now(),
        onProgress: ({ table, rows, total }) =>
          tell(() => `${table}: ${grouped(rows)} of ${counted(total, "row")}`, table),
        onVerify: () => say.out("comparing both\n"),
      });
      for (const { table, rows } of ported) if (rows > 0) say.out(`${table.padEnd(14)} ${counted(rows, "row")}\n`);
      say.out(`Moved and compared.\n${nextSteps(target, storage, ownSecret !== null)}`);
    } finally {
      await opened.close();
    }
  } finally {
    await source.close();
  }
}

/** What looks like a connection string, well written or not: as a directory its password would be in a path. */
const LIKE_A_CONNECTION = /:\/\/|^\s*(?:postgres|pgsql)\w*(?::|\/\/)|:[^/]*@/i;

/** A connection string, or else a directory. */
function placeNamed(text: string): DatabasePlace {
  const parsed = parseDatabase(text);
  if (!("value" in parsed) && LIKE_A_CONNECTION.test(text)) {
    throw new SyncError("invalid_param", `this is no connection string and no directory: ${parsed.advice}`);
  }
  return "value" in parsed ? { database: parsed.value, dataDir: null } : { database: null, dataDir: resolve(text) };
}

/** What was generated with the source goes along with it; tokens could not be opened without. */
function carrySecret(secret: string | null, dataDir: string): void {
  const there = readSecret(dataDir);
  if (there !== null && secret !== null && there !== secret) {
    throw new SyncError("invalid_param", `${dataDir} has a secret of its own: use an empty directory`);
  }
  if (secret !== null && there === null) keepSecret(dataDir, secret);
}

function nextSteps(target: DatabasePlace, storage: Config["storage"], hasOwnSecret: boolean): string {
  const where =
    target.database === null
      ? `  SYNCV3_DATA=${target.dataDir}, and no SYNCV3_DB\n`
      : "  SYNCV3_DB: the connection string given here\n";
  const secretFile = join(resolve(storage.dataDir), "secret");
  const secret =
    hasOwnSecret && target.database !== null
      ? `  SYNCV3_SECRET_FILE=${secretFile} (or its text as SYNCV3_SECRET)\n`
      : "";
  const kept = hasOwnSecret ? "" : "  SYNCV3_SECRET as it is\n";
  return (
    `Now set\n${where}${secret}${kept}and start Glissade: clients go on where they are. ` +
    "It refuses to start on the old database from now on; glissade db port brings everything back.\n"
  );
}
