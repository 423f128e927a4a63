import { randomUUID } from "node:crypto";
import type { Config } from "#src/config.ts";
import { SyncError } from "#src/errors.ts";
import { systemClock } from "#src/system.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import type { Database } from "#db/connection.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { settleSecret } from "#db/secret-rotation.ts";
import { deriveKeys, loadOrCreateSecret, loadOrigin } from "#db/secrets.ts";
import { raiseHead } from "#db/stream-start.ts";
import { WriterPlace } from "#db/tools/exclusive.ts";
import { type GoRest, GoProxyDatabase, goTokenOpener } from "#db/tools/go-proxy.ts";
import { DeviceImport, type ImportTally } from "#db/tools/import-repository.ts";
import { type Say, counted, grouped, progressTeller } from "./terminal-progress.ts";
import { isThere, openToolDatabase, placeOf } from "./tool-database.ts";

/** How `glissade import` was called. */
export interface ImportRequest {
  /** Connection string of the Go proxy's database; null = the one that Glissade uses too. */
  from: string | null;
  isDryRun: boolean;
  /** Other clients of that database are not the Go proxy. */
  isOldStopped: boolean;
}

/** Tokens on which a secret is tried. */
const SAMPLE_TOKENS = 100;

/** Takes over the devices of a Go proxy. */
export async function importDevices(
  { storage }: Pick<Config, "storage">,
  request: ImportRequest,
  say: Say,
): Promise<void> {
  const from = request.from ?? storage.database;
  if (from === null) throw new SyncError("invalid_param", "say which database: the one the Go proxy had as SYNCV3_DB");
  const use = { name: "import", isAlone: !request.isDryRun, isMade: !request.isDryRun };
  const source = await openToolDatabase({ database: from, dataDir: null }, { name: "import", isAlone: false });
  try {
    const reader = new GoProxyDatabase(source.db);
    const openToken = await readable(reader, storage.importSecret ?? storage.secret);
    await tellOfOtherClients(reader, request, say);
    const counts = await reader.counts();
    say.out(
      `The Go proxy knows ${counted(counts.devices, "device")}, ${counted(counts.tokens, "token")} and ` +
        `${counted(counts.toDevice, "to-device message")} that may not have arrived.\n`,
    );
    const tell = progressTeller(say, systemClock);
    const onProgress = (tally: ImportTally): void =>
      tell(() => {
        const { devices, unchanged, toDevice } = tally;
        return `${grouped(devices + unchanged)} of ${counted(counts.devices, "device")}, ${counted(toDevice, "message")}`;
      });
    const place = placeOf(storage);
    const target = request.isDryRun && !isThere(place) ? null : await openToolDatabase(place, use);
    try {
      const parts =
        request.isDryRun || target === null
          ? { writer: null, tokenKey: new Uint8Array() }
          : await prepare(target.db, storage);
      const options = { source: reader, target: target?.db ?? null, openToken, onProgress, ...parts };
      const tally = await new DeviceImport(options).run();
      say.out(reportOf(tally, await reader.rest(), request.isDryRun));
    } finally {
      await target?.close();
    }
  } finally {
    await source.close();
  }
}

/** How tokens are opened, if this is a Go proxy's database and the secret is its secret. */
async function readable(reader: GoProxyDatabase, secret: string | null): Promise<ReturnType<typeof goTokenOpener>> {
  const missing = await reader.missing();
  if (missing.length > 0) {
    throw new SyncError(
      "invalid_param",
      `this is no database of the Go proxy: it has no ${missing.join(", ")} (a schema other than public is named by ` +
        "options=-csearch_path=NAME in the connection string)",
    );
  }
  if (await reader.isOlder()) {
    throw new SyncError(
      "invalid_param",
      "the Go proxy of this database was an older one, with device lists in another form: start its last version " +
        "(v0.99.19) on it once, stop it, and repeat this",
    );
  }
  if (secret === null) {
    throw new SyncError("invalid_param", "the Go proxy's SYNCV3_SECRET is needed, as SYNCV3_IMPORT_SECRET");
  }
  const openToken = goTokenOpener(secret);
  const sample = await reader.sampleTokens(SAMPLE_TOKENS);
  if (sample.length > 0 && sample.every((encrypted) => openToken(encrypted) === null)) {
    throw new SyncError(
      "invalid_param",
      "the secret opens none of the Go proxy's tokens: set SYNCV3_IMPORT_SECRET to what was its SYNCV3_SECRET",
    );
  }
  return openToken;
}

/** What the old one takes from the homeserver after this is lost to us. */
async function tellOfOtherClients(reader: GoProxyDatabase, request: ImportRequest, say: Say): Promise<void> {
  const others = await reader.otherClients();
  if (others === 0 || request.isOldStopped) return;
  const found = `${counted(others, "other connection")} to the Go proxy's database: does it still run?`;
  if (!request.isDryRun) {
    throw new SyncError("invalid_param", `${found} Stop it first; if these are something else, add --old-is-stopped`);
  }
  say.err(`${found} It has to be stopped for the import.\n`);
}

async function prepare(
  db: Database,
  storage: Config["storage"],
): Promise<{ writer: WriterPlace; tokenKey: Uint8Array }> {
  await migrateDatabase(db, createLogger({ level: "error", host: "main:0" }));
  return { tokenKey: await tokenKeyOf(db, storage), writer: await takeOver(db) };
}

async function tokenKeyOf(db: Database, { secret, oldSecret, dataDir }: Config["storage"]): Promise<Uint8Array> {
  const { epoch } = await loadOrigin(db);
  const keys = deriveKeys(secret ?? loadOrCreateSecret(dataDir), epoch);
  await settleSecret(db, keys, oldSecret === null ? null : deriveKeys(oldSecret, epoch), systemClock.now());
  return keys.tokenKey;
}

async function takeOver(db: Database): Promise<WriterPlace> {
  // The other one's positions are far below ours from here on.
  await raiseHead(db, systemClock.now());
  return WriterPlace.take(db, `import ${randomUUID()}`);
}

/** What was taken and what not, and why. */
function reportOf(tally: ImportTally, rest: GoRest, isDryRun: boolean): string {
  const lines = [
    isDryRun ? "This would be taken:" : "Taken:",
    `  ${counted(tally.devices, "device")}, each polled on from where the Go proxy was with it`,
    `  ${counted(tally.tokens, "access token")}: nobody has to log in again`,
    `  ${counted(tally.toDevice, "to-device message")}, among them keys, for clients to fetch`,
    `  ${counted(tally.deviceLists, "device-list change")}`,
  ];
  const notes = [
    [tally.unchanged, "device", "known here already, and nothing new there"],
    [
      tally.unreadableTokens,
      "token",
      "sealed with another secret or damaged: these devices go on with their clients' next request",
    ],
    [tally.unreadableMessages, "to-device message", "no JSON object: no client could read it"],
    [tally.namelessDevices, "device", "has no user id or no device id: it cannot be told from others"],
  ] as const;
  lines.push("Not taken:");
  for (const [count, what, why] of notes) if (count > 0) lines.push(`  ${counted(count, what)}: ${why}`);
  for (const { table, rows } of rest) {
    if (rows !== null && rows > 0) lines.push(`  ${table} (${counted(rows, "row")}): ${reasonFor(table)}`);
  }
  lines.push("", isDryRun ? "Nothing was changed." : NEXT);
  return `${lines.join("\n")}\n`;
}

const NEXT =
  "Start Glissade with this configuration. Rooms are read from the homeserver once for each user, as at a first login; " +
  "the Go proxy's tables are no longer needed once everybody is through.";

function reasonFor(table: string): string {
  if (table === "syncv3_device_data") return "the homeserver tells key counts with every poll";
  if (table === "syncv3_txns") return "an echo is told within an hour or never";
  if (table === "syncv3_snapshots") return "Glissade keeps no snapshots";
  return "the homeserver tells it anew, as it is now";
}
