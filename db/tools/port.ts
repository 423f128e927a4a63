import { SyncError, invariant } from "#src/errors.ts";
import type { Database, Query } from "../connection.ts";
import { type Moved, movedAway, movedFrom } from "../moved.ts";
import {
  HEX,
  type PageLimit,
  type TableShape,
  checksumOf,
  filledTables,
  readRows,
  resumeSerials,
  shapeOf,
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
  /** How the target is called where the source says that it was moved. */
  to: string;
  nowMs: number;
  /** Waited for before the move goes on. */
  onProgress: (progress: PortProgress) => void | Promise<void>;
  /** Every row has arrived; they are compared now. */
  onVerify: () => void;
  /** What goes over in one transaction: what a kill can undo, and what has to fit into memory a few times. */
  page?: PageLimit;
}

/** What was moved: rows of each table, all of them compared. */
export type Ported = { table: TableName; rows: number }[];

const PAGE: PageLimit = { rows: 500, bytes: 4 * 1024 * 1024 };

/** Beside our tables while it is filled: from which database, in which state, and how far each table is. */
const PROGRESS_TABLE = "glissade_port";
const MAKE_PROGRESS = `
  create table ${PROGRESS_TABLE} (name text primary key, state text, row_count int8 not null, is_done bool not null)`;

/** Names what the source is marked with at the end; no table is called so. */
const MARK = "moved";

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
  const moved = await movedFrom((...statement) => source.query(...statement));
  const done = await beginOrResume(target, origin, moved);
  for (const table of MOVED) {
    const before = done.get(table) ?? null;
    if (before?.is_done !== true) await portTable(options, table, before);
  }
  onVerify();
  const ported = await compare(source, target);
  // Before there is a second one that can be used: of the two at most one ever is.
  await markMoved(options, origin, moved);
  await finish(source, target);
  return ported;
}

/**
 * From here on servers refuse the source, unless one was started on it meanwhile, or everything was moved elsewhere. The target
 * knows the mark before: by it, and by nothing else, this move is known as that which may go on once the source is marked.
 */
async function markMoved(
  { source, target, to, nowMs }: PortOptions,
  origin: string,
  moved: Moved | null,
): Promise<void> {
  const mark = moved ?? { to, atMs: nowMs };
  await target.transaction((query) => note(query, MARK, markText(mark), 0, true));
  const marked = await source.query(
    `update meta set moved_to = $2::text, moved_ms = $3::int8
     where ${STATE} = $1::text and moved_to is not distinct from $4::text and moved_ms is not distinct from $5::int8
     returning id`,
    [origin, mark.to, mark.atMs, moved?.to ?? null, moved?.atMs ?? null],
  );
  if (marked.length === 0) throw changed();
}

const markText = ({ to, atMs }: Moved): string => JSON.stringify([to, atMs]);

const changed = (): SyncError =>
  new SyncError(
    "invalid_param",
    "a server was started on the database meanwhile, or it was moved: stop it and repeat this",
  );

const STATE = "json_build_array(epoch, writer, commit_seq, head)::text";

/** Names a database and its state: a server that starts on it, and each commit, makes it another. */
async function originOf(db: Database): Promise<string> {
  const [meta] = await db.query<{ state: string }>(`select ${STATE} as state from meta`);
  if (meta === undefined)
    throw new SyncError("invalid_param", "there is nothing to move: the database is not complete");
  return meta.state;
}

const epochOf = (origin: string): unknown => (JSON.parse(origin) as unknown[])[0];

/** `moved`: everything in the source was moved away; only that one move may be brought to its end. */
async function beginOrResume(target: Database, origin: string, moved: Moved | null): Promise<Map<string, Progress>> {
  const [there] = await target.query<{ exists: boolean }>("select to_regclass($1::text) is not null as exists", [
    PROGRESS_TABLE,
  ]);
  if (there?.exists !== true) {
    if (moved !== null) throw movedAway(moved);
    await requireRoom(target, origin);
    await target.transaction(async (query) => {
      await query(`truncate ${TABLES.join(", ")}`);
      await query(MAKE_PROGRESS);
      await note(query, "", origin, 0, false);
    });
    return new Map();
  }
  const rows = await target.query<Progress>(`select * from ${PROGRESS_TABLE}`);
  const begun = new Map(rows.map((row) => [row.name, row]));
  const begunOrigin = begun.get("")?.state ?? null;
  const isOurs = moved === null || begun.get(MARK)?.state === markText(moved);
  if (begunOrigin === origin && isOurs) return begun;
  if (moved !== null) throw movedAway(moved);
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

/** What is in the target has to be nothing, or what was once moved from there: the way back. */
async function requireRoom(target: Database, origin: string): Promise<void> {
  const [own] = await target.query<{ epoch: string; is_moved: boolean }>(
    "select epoch, moved_to is not null as is_moved from meta",
  );
  if (own !== undefined && own.epoch === epochOf(origin)) {
    if (own.is_moved) return;
    throw new SyncError(
      "invalid_param",
      "the target is the same database, or everything was moved there before: use another one, which is empty",
    );
  }
  const filled = await filledTables(target, MOVED);
  if (filled.length === 0) return;
  throw new SyncError("invalid_param", `the target has data of its own (${filled.join(", ")}): use an empty database`);
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
  { source, target, onProgress, page: limit = PAGE }: PortOptions,
  table: TableName,
  before: Progress | null,
): Promise<void> {
  const { shape, total } = await source.transaction((query) => measure(query, table));
  const columns = shape.columns.map(({ name }) => name);
  let after = before === null || before.state === null ? null : (JSON.parse(before.state) as string[]);
  let rows = before?.row_count ?? 0;
  for (let isDone = false; !isDone;) {
    const from = after;
    const page = await source.transaction(async (query) => {
      await query(HEX);
      return readRows(query, shape, from, limit);
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

async function measure(query: Query, table: TableName): Promise<{ shape: TableShape; total: number }> {
  const [count] = await query<{ n: number }>(`select count(*) as n from ${table}`);
  return { shape: await shapeOf(query, table), total: count?.n ?? 0 };
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
  const meta = await source.transaction(async (query) => {
    const shape = await shapeOf(query, "meta");
    return { columns: shape.columns.map(({ name }) => name), rows: (await readRows(query, shape, null, PAGE)).rows };
  });
  invariant(meta.rows.length === 1, "a database has its one row of metadata");
  await target.transaction(async (query) => {
    await resumeSerials(query, MOVED);
    await writeRows(query, "meta", meta.columns, meta.rows);
    await query("update meta set moved_to = null, moved_ms = null");
    await query(`drop table ${PROGRESS_TABLE}`);
  });
}
