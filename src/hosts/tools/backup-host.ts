import { resolve } from "node:path";
import type { Config } from "#src/config.ts";
import { SyncError } from "#src/errors.ts";
import { systemClock } from "#src/system.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import { migrateDatabase, requireSchema } from "#db/migrate.ts";
import { deriveKeys, readSecret } from "#db/secrets.ts";
import { type Backup, type KeptRows, checkBackup, restoreBackup, writeBackup } from "#db/tools/backup.ts";
import { type Say, counted } from "./terminal-progress.ts";
import { openToolDatabase, placeOf } from "./tool-database.ts";

type Storage = Pick<Config, "storage">;

/** `glissade backup`: writes what cannot be rebuilt to a file. */
export async function backup({ storage }: Storage, path: string, say: Say): Promise<void> {
  const tool = await openToolDatabase(placeOf(storage), { name: "backup", isAlone: false });
  try {
    await requireSchema(tool.db);
    const rows = await writeBackup(tool.db, path, new Date(systemClock.now()).toISOString());
    say.out(`${summary(rows)}\nwritten to ${resolve(path)}. Tokens in it are sealed; ${whereSecret(storage)}\n`);
  } catch (error) {
    throw error instanceof SyncError ? error : new SyncError("invalid_param", reasonOf(error), { cause: error });
  } finally {
    await tool.close();
  }
}

/** `glissade restore`: puts it into an empty database. */
export async function restore({ storage }: Storage, path: string, say: Say): Promise<void> {
  const backedUp = await checkBackup(resolve(path));
  checkSecret(storage, backedUp);
  const tool = await openToolDatabase(placeOf(storage), { name: "restore", isAlone: true, isMade: true });
  try {
    await migrateDatabase(tool.db, createLogger({ level: "error", host: "main:0" }));
    await restoreBackup(tool.db, backedUp);
    say.out(
      `${summary(backedUp.rows)}\nrestored as of ${backedUp.madeAt}. Start Glissade: rooms are read from the homeserver ` +
        "once for each user, as at a first login, and clients begin their connections anew.\n",
    );
  } finally {
    await tool.close();
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const summary = (rows: KeptRows): string =>
  [
    counted(rows.devices, "device"),
    counted(rows.tokens, "token"),
    counted(rows.to_device, "to-device message"),
    counted(rows.device_lists, "device-list change"),
  ].join(", ");

const whereSecret = ({ secret, dataDir }: Config["storage"]): string =>
  secret === null
    ? `the secret is not: keep ${resolve(dataDir, "secret")} as well, elsewhere.`
    : "the secret is not: keep SYNCV3_SECRET as well, elsewhere.";

/** Known before anything is made: with another secret no token could be opened. */
function checkSecret({ secret, oldSecret, dataDir }: Config["storage"], { epoch, secretCheck }: Backup): void {
  if (secretCheck === null) return;
  const known = secret ?? readSecret(dataDir);
  const isIts = (one: string | null): boolean => one !== null && deriveKeys(one, epoch).check === secretCheck;
  if (isIts(known) || isIts(oldSecret)) return;
  const what = known === null ? "there is no secret here" : "the secret is another than that of the backup";
  throw new SyncError(
    "invalid_param",
    `${what}: set SYNCV3_SECRET to what it was, or put the file "secret" of the old data directory into ${resolve(dataDir)}`,
  );
}
