import { SyncError, invariant } from "#src/errors.ts";
import type { Database, Query } from "../connection.ts";
import {
  HEX,
  type KeyColumn,
  checksumOf,
  columnsOf,
  filledTables,
  keyOf,
  readRows,
  resumeSerials,
  writeRows,
} from "./rows.ts";
import { TABLES, type TableName } from "./tables.ts";

/** How far a move is. */
export interface PortProgress {
  table: TableName;
  /** Rows of this table that are there by now, and that there will be. */
  rows: number;
  total: number;
}

export interface PortOptions {
  source: Database;
  /** At the schema of this executable, as the source is. */
  target: Database;
  /** Waited for before the move goes on. */
  onProgress: (progress: PortProgress) => void | Promise<void>;
  /** Every row has arrived; they are compared now. */
  onVerify: () => void;
  /** Rows of one transaction: what a kill can undo. An event row has some 16 KB at most, a few have more. */
  rowsAtOnce?: number;
}

/** What was moved: rows of each table, all of them compared. */
export type Ported = { table: TableName; rows: number }[];

const ROWS_AT_ONCE = 500;

/** Beside our tables while it is filled: from which database, in which state, and how far each table is. */
const PROGRESS_TABLE = "glissade_port";
const MAKE_PROGRESS = `
  create table ${PROGRESS_TABLE} (name text primary key, state text, row_count int8 not null, is_done bool not null)`;

/** `meta` comes last: a database without it is refused by servers. */
const MOVED = TABLES.filter((name) => name !== "meta");

interface Progress {
  name: string;
  state: string | null;
  row_count: number;
  is_done: boolean;
}

/** Moves a database, table by table and page by page. Begun again after an interruption, it goes on where that was. */
export async function portDatabase(options: PortOptions): Promise<Ported> {
  const { source, target, onVerify } = options;
  const origin = await originOf(source);
  const done = await beginOrResume(target, origin);
  for (const table of MOVED) {
    const before = done.get(table) ?? null;
    if (before?.is_done !== true) await portTable(options, table, before);
  }
  onVerify();
  const ported = await compare(source, target);
  if ((await originOf(source)) !== origin) throw changed();
  await finish(source, target);
  return ported;
}

const changed = (): SyncError =>
  new SyncError("invalid_param", "a server was started on the database meanwhile: stop it and repeat this");

/** Names a database and its state: a server that starts on it, and each commit, makes it another. */
async function originOf(db: Database): Promise<string> {
  const [meta] = await db.query<{ state: string }>(
    "select json_build_array(epoch, writer, commit_seq, head)::text as state from meta",
  );
  if (meta === undefined)
    throw new SyncError("invalid_param", "there is nothing to move: the database is not complete");
  return meta.state;
}

const epochOf = (origin: string): unknown => (JSON.parse(origin) as unknown[])[0];

async function beginOrResume(target: Database, origin: string): Promise<Map<string, Progress>> {
  const [there] = await target.query<{ exists: boolean }>("select to_regclass($1::text) is not null as exists", [
    PROGRESS_TABLE,
  ]);
  if (there?.exists !== true) {
    const [own] = await target.query<{ epoch: string }>("select epoch from meta");
    if (own !== undefined && own.epoch === epochOf(origin)) {
      throw new SyncError("invalid_param", "the target is the same database, or everything was moved there before");
    }
    const filled = await filledTables(target, MOVED);
    if (filled.length > 0) {
      throw new SyncError(
        "invalid_param",
        `the target has data of its own (${filled.join(", ")}): use an empty database`,
      );
    }
    await target.transaction(async (query) => {
      await query("delete from meta");
      await query(MAKE_PROGRESS);
      await note(query, "", origin, 0, false);
    });
    return new Map();
  }
  const rows = await target.query<Progress>(`select * from ${PROGRESS_TABLE}`);
  const begun = new Map(rows.map((row) => [row.name, row]));
  const begunOrigin = begun.get("")?.state ?? null;
  if (begunOrigin === origin) return begun;
  if (begunOrigin === null || epochOf(begunOrigin) !== epochOf(origin)) {
    throw new SyncError("invalid_param", "another database was being moved to the target: use an empty database");
  }
  // The source was used since: what was copied may be old.
  await target.transaction(async (query) => {
    await query(`truncate ${MOVED.join(", ")}, ${PROGRESS_TABLE}`);
    await note(query, "", origin, 0, false);
  });
  return new Map();
}

async function note(
  query: Query,
  name: string,
  state: string | null,
  rowCount: number,
  isDone: boolean,
): Promise<void> {
  await query(
    `insert into ${PROGRESS_TABLE} values ($1::text, $2::text, $3::int8, $4::bool)
     on conflict (name) do update set state = excluded.state, row_count = excluded.row_count, is_done = excluded.is_done`,
    [name, state, rowCount, isDone],
  );
}

async function portTable(
  { source, target, onProgress, rowsAtOnce = ROWS_AT_ONCE }: PortOptions,
  table: TableName,
  before: Progress | null,
): Promise<void> {
  const { key, columns, total } = await source.transaction((query) => shapeOf(query, table));
  let after = before === null || before.state === null ? null : (JSON.parse(before.state) as string[]);
  let rows = before?.row_count ?? 0;
  for (let isDone = false; !isDone;) {
    const from = after;
    const page = await source.transaction(async (query) => {
      await query(HEX);
      return readRows(query, table, key, from, rowsAtOnce);
    });
    rows += page.rows.length;
    isDone = page.next === null;
    after = page.next;
    const state = after === null ? null : JSON.stringify(after);
    await target.transaction(async (query) => {
      await writeRows(query, table, columns, page.rows);
      await note(query, table, state, rows, isDone);
    });
    await onProgress({ table, rows, total });
  }
}

async function shapeOf(
  query: Query,
  table: TableName,
): Promise<{ key: KeyColumn[]; columns: string[]; total: number }> {
  const [count] = await query<{ n: number }>(`select count(*) as n from ${table}`);
  return { key: await keyOf(query, table), columns: await columnsOf(query, table), total: count?.n ?? 0 };
}

async function compare(source: Database, target: Database): Promise<Ported> {
  const ported: Ported = [];
  const checksum = (db: Database, table: TableName): ReturnType<typeof checksumOf> =>
    db.transaction(async (query) => {
      await query(HEX);
      return checksumOf(query, table);
    });
  for (const table of MOVED) {
    const [ours, theirs] = [await checksum(source, table), await checksum(target, table)];
    if (ours.rows !== theirs.rows || ours.sum !== theirs.sum) {
      throw new SyncError(
        "internal",
        `${table} did not arrive as it was (${ours.rows} rows here, ${theirs.rows} there): empty the target and repeat this`,
      );
    }
    ported.push({ table, rows: ours.rows });
  }
  return ported;
}

/** From here on the target is a database like any other. */
async function finish(source: Database, target: Database): Promise<void> {
  const meta = await source.transaction(async (query) => ({
    columns: await columnsOf(query, "meta"),
    rows: (await readRows(query, "meta", await keyOf(query, "meta"), null, ROWS_AT_ONCE)).rows,
  }));
  invariant(meta.rows.length === 1, "a database has its one row of metadata");
  await target.transaction(async (query) => {
    await resumeSerials(query, MOVED);
    await writeRows(query, "meta", meta.columns, meta.rows);
    await query(`drop table ${PROGRESS_TABLE}`);
  });
}
