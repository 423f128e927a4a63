import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { createGunzip } from "node:zlib";
import { SyncError } from "#src/errors.ts";
import type { Database, Query } from "../connection.ts";
import { syncDirectory } from "../directory-archive.ts";
import { MIGRATIONS } from "../migrate.ts";
import { ROOMS_DUE } from "./import-plan.ts";
import { movedAway, movedFrom } from "../moved.ts";
import { HEX, type PageLimit, columnsOf, filledTables, readRows, resumeSerials, shapeOf, writeRows } from "./rows.ts";
import { TABLES } from "./tables.ts";

/** What nobody could tell anew: everything else is read from the homeserver. */
const KEPT = ["devices", "tokens", "to_device", "device_lists", "device_keys", "audit"] as const;
type KeptTable = (typeof KEPT)[number];

const FORMAT = "glissade-backup";
const VERSION = 1;
const PAGE: PageLimit = { rows: 500, bytes: 4 * 1024 * 1024 };
/** A line holds one row; to-device messages and tokens are far smaller. */
const MAX_LINE_CHARS = 64 * 1024 * 1024;

/** How many rows of each table. */
export type KeptRows = Record<KeptTable, number>;

/** What of `meta` makes a database what its clients know. */
interface KeptMeta {
  epoch: string;
  secret_check: string | null;
  head: number;
  /** These came later: an older backup has none. */
  imported_pos?: number | null;
  secret_rotated_ms?: number | null;
}

interface Header {
  format: string;
  version: number;
  madeAt: string;
  schema: number;
  meta: KeptMeta;
  columns: Record<KeptTable, string[]>;
}

interface End {
  rows: Partial<KeptRows>;
  sha256: string;
}

const noRows = (): KeptRows => ({ devices: 0, tokens: 0, to_device: 0, device_lists: 0, device_keys: 0, audit: 0 });

/** Collects lines and writes them as members of one gzip file, with a digest over all text. */
class BackupWriter {
  readonly #file: Awaited<ReturnType<typeof open>>;
  readonly #digest = createHash("sha256");

  constructor(file: Awaited<ReturnType<typeof open>>) {
    this.#file = file;
  }

  async write(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const text = lines.map((line) => `${line}\n`).join("");
    this.#digest.update(text);
    await this.#file.writeFile(Bun.gzipSync(Buffer.from(text)));
  }

  /** The last line: what has to be there, and the digest of all before it. */
  async end(rows: KeptRows): Promise<void> {
    const line = JSON.stringify({ end: { rows, sha256: this.#digest.digest("hex") } });
    await this.#file.writeFile(Bun.gzipSync(Buffer.from(`${line}\n`)));
    await this.#file.sync();
  }
}

/** Writes what cannot be rebuilt to a file, as of one moment; the server may run. The file appears when it is complete. */
export async function writeBackup(db: Database, path: string, madeAt: string): Promise<KeptRows> {
  const draft = `${path}.part`;
  await rm(draft, { force: true });
  const file = await open(draft, "wx", 0o600);
  try {
    const writer = new BackupWriter(file);
    const rows = await db.snapshot(async (query) => {
      await query(HEX);
      await writer.write([JSON.stringify(await headerOf(query, madeAt))]);
      return writeTables(query, writer);
    });
    await writer.end(rows);
    await file.close();
    await chmod(draft, 0o600);
    await rename(draft, path);
    // Not every file system that backups go to can do that; the file itself is on the disk.
    await syncDirectory(dirname(path)).catch(() => undefined);
    return rows;
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(draft, { force: true });
    throw error;
  }
}

async function headerOf(query: Query, madeAt: string): Promise<Header> {
  // Whoever makes one every night must not believe that this is still what there is.
  const moved = await movedFrom(query);
  if (moved !== null) throw movedAway(moved);
  const [meta] = await query<KeptMeta>("select epoch, secret_check, head, imported_pos, secret_rotated_ms from meta");
  if (meta === undefined) throw new SyncError("invalid_param", "the database is not complete");
  const columns = {} as Header["columns"];
  for (const table of KEPT) columns[table] = await columnsOf(query, table);
  return { format: FORMAT, version: VERSION, madeAt, schema: MIGRATIONS.length - 1, meta, columns };
}

async function writeTables(query: Query, writer: BackupWriter): Promise<KeptRows> {
  const rows = noRows();
  for (const table of KEPT) {
    const shape = await shapeOf(query, table);
    for (let after: string[] | null | undefined; after !== null;) {
      const page = await readRows(query, shape, after ?? null, PAGE);
      await writer.write(page.rows.map((row) => `{"table":"${table}","row":${row}}`));
      rows[table] += page.rows.length;
      after = page.next;
    }
  }
  return rows;
}

/** A backup that was read through once and is whole. */
export interface Backup {
  readonly path: string;
  readonly madeAt: string;
  readonly epoch: string;
  /** Tells whether a secret is the one that tokens in it are sealed with; null = none was. */
  readonly secretCheck: string | null;
  readonly rows: KeptRows;
}

/** Reads a backup through and makes sure that it is one, is whole, and can be used by this executable. */
export async function checkBackup(path: string): Promise<Backup> {
  const digest = createHash("sha256");
  const rows = noRows();
  let header: Header | null = null;
  let end: End | null = null;
  for await (const line of linesOf(path)) {
    if (end !== null) throw broken(path, "something comes behind its end");
    if (header === null) header = headerFrom(path, line);
    else if (line.startsWith('{"end":')) {
      end = endFrom(path, line);
      continue;
    } else rows[tableOf(path, line)] += 1;
    digest.update(`${line}\n`);
  }
  if (header === null || end === null) throw broken(path, "it has no end: it was not written to the end, or cut");
  if (end.sha256 !== digest.digest("hex")) throw broken(path, "its digest is another");
  for (const table of KEPT) {
    // Of a table that came later an older backup says nothing.
    if (rows[table] !== (end.rows[table] ?? 0)) throw broken(path, `rows of ${table} are missing`);
  }
  const { madeAt, meta } = header;
  return { path, madeAt, epoch: meta.epoch, secretCheck: meta.secret_check, rows };
}

/** Puts a backup into an empty database at the schema of this executable, all of it or nothing. */
export async function restoreBackup(db: Database, { path }: Backup): Promise<void> {
  const filled = await filledTables(
    db,
    TABLES.filter((table) => table !== "meta"),
  );
  if (filled.length > 0) {
    throw new SyncError(
      "invalid_param",
      `the database has data (${filled.join(", ")}): a backup goes into an empty one`,
    );
  }
  await db.transaction(async (query) => {
    let header: Header | null = null;
    const pending: { table: KeptTable | null; rows: string[]; chars: number } = { table: null, rows: [], chars: 0 };
    const flush = async (): Promise<void> => {
      const { table, rows } = pending;
      [pending.rows, pending.chars] = [[], 0];
      if (table !== null && header !== null) await writeRows(query, table, header.columns[table], rows);
    };
    for await (const line of linesOf(path)) {
      if (header === null) {
        header = headerFrom(path, line);
        await checkColumns(query, path, header);
        await putMeta(query, header.meta);
        continue;
      }
      if (line.startsWith('{"end":')) break;
      const table = tableOf(path, line);
      const isFull = pending.rows.length >= PAGE.rows || pending.chars + line.length > PAGE.bytes;
      if (pending.table !== table || isFull) await flush();
      pending.table = table;
      pending.chars += line.length;
      pending.rows.push(line.slice(`{"table":"${table}","row":`.length, -1));
    }
    await flush();
    // The rooms are not in it: each user's are read from the homeserver, beside the device's own `since`.
    // Their `since` is ours, but for what was imported and never polled here: an import must not take that for older.
    await query(
      "update devices set rooms_due = case when rooms_due = $1::int2 then rooms_due else 2 end where since is not null",
      [ROOMS_DUE],
    );
    await resumeSerials(query, KEPT);
  });
}

/** Their names become part of statements. */
async function checkColumns(query: Query, path: string, { columns }: Header): Promise<void> {
  for (const table of KEPT) {
    const known = new Set(await columnsOf(query, table));
    // A table that came later is not in an older backup.
    if (!(columns[table] ?? []).every((name) => known.has(name))) throw broken(path, `${table} has other columns`);
  }
}

async function putMeta(query: Query, meta: KeptMeta): Promise<void> {
  const rows = await query<{ id: number }>(
    `update meta set epoch = $1::text, secret_check = $2::text, head = greatest(head, $3::int8),
       imported_pos = $4::int8, secret_rotated_ms = $5::int8, moved_to = null, moved_ms = null returning id`,
    [meta.epoch, meta.secret_check, meta.head, meta.imported_pos ?? null, meta.secret_rotated_ms ?? null],
  );
  if (rows.length !== 1) throw new SyncError("invalid_param", "the database is being moved to (db port)");
}

/** Only "\n" ends a line: the ids of devices may hold whatever else a reader of lines would cut at. */
async function* linesOf(path: string): AsyncGenerator<string> {
  const source = createReadStream(path);
  const text = createGunzip();
  source.on("error", (error) => text.destroy(error));
  source.pipe(text);
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for await (const chunk of text as AsyncIterable<Uint8Array>) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > MAX_LINE_CHARS) throw broken(path, "a line is too long");
      yield* lines;
    }
    if (rest !== "") yield rest;
  } catch (error) {
    if (error instanceof SyncError) throw error;
    throw broken(path, error instanceof Error ? error.message : String(error));
  } finally {
    source.destroy();
  }
}

function headerFrom(path: string, line: string): Header {
  const header = parsed(path, line) as Partial<Header> | null;
  if (header?.format !== FORMAT) throw broken(path, "it is no backup of Glissade");
  const newest = MIGRATIONS.length - 1;
  if (header.version !== VERSION || (header.schema ?? Number.POSITIVE_INFINITY) > newest) {
    throw new SyncError("invalid_param", `${path} was made by a newer version of Glissade: use that one`);
  }
  return header as Header;
}

function endFrom(path: string, line: string): End {
  const { end } = parsed(path, line) as { end: Partial<End> | null };
  if (end?.rows === undefined || end.sha256 === undefined) throw broken(path, "its end is damaged");
  return { rows: end.rows, sha256: end.sha256 };
}

function tableOf(path: string, line: string): KeptTable {
  const table = KEPT.find((name) => line.startsWith(`{"table":"${name}","row":`));
  if (table === undefined) throw broken(path, "a line is none of a backup");
  return table;
}

function parsed(path: string, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw broken(path, "it is no backup of Glissade");
  }
}

const broken = (path: string, why: string): SyncError =>
  new SyncError("invalid_param", `${path} cannot be used: ${why}`);
