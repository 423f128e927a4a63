import type { Config } from "#src/config.ts";
import { requireSchema } from "#db/migrate.ts";
import { type DatabaseStats, readStats } from "#db/tools/stats.ts";
import { vacuumTables } from "#db/tools/vacuum.ts";
import { type Say, counted, grouped } from "./terminal-progress.ts";
import { openToolDatabase, placeOf } from "./tool-database.ts";

const DAY_MS = 86_400_000;
/** A `pos` is good for as long as its connection is kept. */
const CONNECTION_LIFE_DAYS = 7;

/** `glissade db stats`: how large the database is, and what for. */
export async function showStats({ storage }: Pick<Config, "storage">, isJson: boolean, say: Say): Promise<void> {
  const tool = await openToolDatabase(placeOf(storage), { name: "db stats", isAlone: false });
  try {
    await requireSchema(tool.db);
    const stats = await readStats(tool.db);
    say.out(isJson ? `${JSON.stringify(stats, null, 2)}\n` : statsText(stats));
  } finally {
    await tool.close();
  }
}

/** `glissade db vacuum`: gives space back; of an embedded database that nobody uses, all of it. */
export async function vacuum({ storage }: Pick<Config, "storage">, isFull: boolean, say: Say): Promise<void> {
  const tool = await openToolDatabase(placeOf(storage), { name: "db vacuum", isAlone: isFull });
  try {
    await requireSchema(tool.db);
    const isWhole = isFull || (tool.isEmbedded && !tool.isServed);
    let freed = 0;
    for await (const { name, bytesBefore, bytes } of vacuumTables(tool.db, isWhole)) {
      freed += bytesBefore - bytes;
      say.out(`${name.padEnd(14)} ${megabytes(bytesBefore)} → ${megabytes(bytes)}\n`);
    }
    // The engine keeps its log until the next checkpoint.
    if (isWhole && tool.isEmbedded) await tool.db.query("checkpoint");
    say.out(`${megabytes(Math.max(0, freed)).trim()} given back.\n`);
    if (!isWhole) say.out(LEFT);
  } finally {
    await tool.close();
  }
}

const LEFT =
  "Space inside the tables is used again; to give it back to the disk, stop the server and run glissade db vacuum --full.\n";

const megabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MB`.padStart(10);
const aligned = (rows: readonly (readonly string[])[]): string[] => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  "),
  );
};

/** What an operator reads. */
export function statsText(stats: DatabaseStats): string {
  const tables = stats.tables.map(({ name, rows, deadRows, bytes, indexBytes }) => [
    name,
    grouped(rows),
    deadRows === null ? "" : grouped(deadRows),
    megabytes(bytes).trim(),
    megabytes(indexBytes).trim(),
  ]);
  const indexes = stats.tables.flatMap((table) => table.indexes).toSorted((a, b) => b.bytes - a.bytes);
  const lines = [
    `${megabytes(stats.totalBytes).trim()} for ${counted(stats.devices, "device")} of ${counted(stats.users, "user")}`,
    "",
    ...aligned([["table", "rows", "dead rows", "size", "indexes"], ...tables]),
    "",
    ...aligned([
      ["largest indexes", "size"],
      ...indexes.slice(0, LARGEST_INDEXES).map(({ name, bytes }) => [name, megabytes(bytes).trim()]),
    ]),
    "",
    ...aligned([
      ["what", "number", "size"],
      ...stats.kinds.map(({ kind, count, bytes }) => [kind, grouped(count), megabytes(bytes).trim()]),
    ]),
    "",
    ...aligned([
      ["largest rooms", "events", "members", "size"],
      ...stats.rooms.map((room) => [
        room.roomId,
        grouped(room.events),
        grouped(room.members),
        megabytes(room.bytes).trim(),
      ]),
    ]),
    "",
    `with something to fetch: ${counted(stats.devicesWithBacklog, "device")}`,
    ...aligned(
      stats.backlog.map((one) => [
        `${one.userId} ${one.deviceId}`,
        counted(one.messages, "message"),
        counted(one.deviceLists, "device-list change"),
      ]),
    ),
  ];
  if (stats.roomsDue > 0)
    lines.push("", `${counted(stats.roomsDue, "device")} came from elsewhere, with rooms still to be read`);
  if (stats.rotation !== null) lines.push("", rotationText(stats.rotation));
  if (stats.moved !== null)
    lines.push("", `Everything was moved to ${stats.moved.to} on ${new Date(stats.moved.atMs).toISOString()}.`);
  return `${lines.join("\n")}\n`;
}

const LARGEST_INDEXES = 8;

/** Whether the secret before this one is still needed. */
export function rotationText({ atMs, connectionsBefore }: NonNullable<DatabaseStats["rotation"]>): string {
  const since = `The secret was changed on ${new Date(atMs).toISOString()}; no token is under the old one.`;
  if (connectionsBefore === 0) return `${since} SYNCV3_SECRET_OLD can go.`;
  const latest = new Date(atMs + CONNECTION_LIFE_DAYS * DAY_MS).toISOString();
  return (
    `${since} ${counted(connectionsBefore, "connection")} of before may come back with a position under it: ` +
    `keep SYNCV3_SECRET_OLD until they have, or until ${latest}`
  );
}
