import { invariant } from "#src/errors.ts";
import type { Database, Query } from "../connection.ts";
import { keyArray, textArray } from "../text.ts";
import type { TableName } from "./tables.ts";

/** A column as PostgreSQL knows it. */
export interface Column {
  name: string;
  /** As PostgreSQL writes it. */
  type: string;
}

/** A table as it is read page by page. */
export interface TableShape {
  table: TableName;
  columns: readonly Column[];
  /** Its primary key, in order. */
  key: readonly Column[];
}

/** How much of a table is read at once: so many rows, and about so many bytes. A row that has more comes alone. */
export interface PageLimit {
  rows: number;
  bytes: number;
}

/** Some rows of a table, each as one JSON text with a member for each column; byte strings in hexadecimal. */
export interface RowPage {
  rows: string[];
  /** Key of the last one, for what comes behind it; null = there is nothing behind. */
  next: string[] | null;
}

/** Whatever the role is set to: JSON must hold byte strings as they are read back. */
export const HEX = "set local bytea_output = 'hex'";

/** Columns of a table, in order. */
export async function columnsOf(query: Query, table: TableName): Promise<string[]> {
  return (await typedColumnsOf(query, table)).map(({ name }) => name);
}

/** What reading a table page by page takes. */
export async function shapeOf(query: Query, table: TableName): Promise<TableShape> {
  return { table, columns: await typedColumnsOf(query, table), key: await keyOf(query, table) };
}

const typedColumnsOf = (query: Query, table: TableName): Promise<Column[]> =>
  query<Column>(
    `select attname as name, format_type(atttypid, null) as type from pg_attribute
     where attrelid = to_regclass($1::text) and attnum > 0 and not attisdropped order by attnum`,
    [table],
  );

/** Key of a table, in order. */
async function keyOf(query: Query, table: TableName): Promise<Column[]> {
  const rows = await query<Column>(
    `select a.attname as name, format_type(a.atttypid, null) as type
     from pg_index i cross join lateral unnest(i.indkey) with ordinality k (attnum, place)
     join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
     where i.indrelid = to_regclass($1::text) and i.indisprimary order by k.place`,
    [table],
  );
  invariant(rows.length > 0, `${table} has a primary key`);
  return rows;
}

/** Reads the rows behind a key, in its order, as many as fit into a page. */
export async function readRows(
  query: Query,
  shape: TableShape,
  after: readonly string[] | null,
  limit: PageLimit,
): Promise<RowPage> {
  const { table, key } = shape;
  const keys = await pageKeys(query, shape, after, limit);
  if (keys.last === null) return { rows: [], next: null };
  const names = key.map(({ name }) => `t.${name}`).join(", ");
  const behind = after === null ? "" : `(${names}) > (${keyParams(key, 0)}) and`;
  const upTo = keyParams(key, after === null ? 0 : key.length);
  const found = await query<{ row: string }>(
    `select to_json(t)::text as row from ${table} t where ${behind} (${names}) <= (${upTo}) order by ${names}`,
    [...(after ?? []), ...keys.last],
  );
  return { rows: found.map(({ row }) => row), next: keys.isEnd ? null : keys.last };
}

/** Where a page ends. Rows are only weighed for that: a text or a byte string knows how long it is without being read. */
async function pageKeys(
  query: Query,
  { table, columns, key }: TableShape,
  after: readonly string[] | null,
  limit: PageLimit,
): Promise<{ last: string[] | null; isEnd: boolean }> {
  const names = key.map(({ name }) => `t.${name}`).join(", ");
  const texts = key.map(({ name }) => `t.${name}::text`).join(", ");
  const behind = after === null ? "" : `where (${names}) > (${keyParams(key, 1)})`;
  const weight = [ROW_BYTES, ...columns.flatMap(weightOf)].join(" + ");
  const rows = await query<{ key: string; weight: number }>(
    `select json_build_array(${texts})::text as key, (${weight})::int8 as weight
     from ${table} t ${behind} order by ${names} limit $1::int8`,
    [limit.rows, ...(after ?? [])],
  );
  let count = 0;
  for (let bytes = 0; count < rows.length; count += 1) {
    bytes += rows[count]?.weight ?? 0;
    if (count > 0 && bytes > limit.bytes) break;
  }
  const last = rows[count - 1];
  return {
    last: last === undefined ? null : (JSON.parse(last.key) as string[]),
    isEnd: count === rows.length && rows.length < limit.rows,
  };
}

/** Names of columns, numbers and signs of a row. */
const ROW_BYTES = 200;

/** What a column adds to its row as JSON; byte strings are written in hexadecimal. */
function weightOf({ name, type }: Column): string[] {
  if (type === "bytea") return [`coalesce(2 * octet_length(t.${name}), 0)`];
  return type === "text" || type === "character varying" ? [`coalesce(octet_length(t.${name}), 0)`] : [];
}

const keyParams = (key: readonly Column[], before: number): string =>
  key.map(({ type }, index) => `$${before + index + 1}::text::${type}`).join(", ");

/** Writes rows as they were read; `columns` are those that the rows have. */
export async function writeRows(
  query: Query,
  table: TableName,
  columns: readonly string[],
  rows: readonly string[],
): Promise<void> {
  if (rows.length === 0) return;
  const names = columns.join(", ");
  await query(
    `insert into ${table} (${names}) overriding system value
     select ${columns.map((name) => `(r.row).${name}`).join(", ")}
     from (select json_populate_record(null::${table}, t.text::json) as row from unnest($1::text[]) t (text) offset 0) r`,
    [textArray(rows)],
  );
}

/** Numbers that the database gives out go on behind those that are there. */
export async function resumeSerials(query: Query, tables: readonly TableName[]): Promise<void> {
  const found = await query<{ table: string; name: string }>(
    `select c.relname as table, a.attname as name
     from unnest($1::text[]) n (name) join pg_class c on c.oid = to_regclass(n.name)
     join pg_attribute a on a.attrelid = c.oid and a.attidentity <> ''`,
    [keyArray(tables)],
  );
  for (const { table, name } of found) {
    await query(
      `select setval(pg_get_serial_sequence($1::text, $2::text), greatest(1, (select max(${name}) from ${table})))`,
      [table, name],
    );
  }
}

/** How many rows there are, and what they add up to: the same for the same rows in whatever order. */
export async function checksumOf(query: Query, table: TableName): Promise<{ rows: number; sum: string }> {
  const [found] = await query<{ rows: number; sum: string }>(
    `select count(*) as rows, coalesce(sum(
       ('x' || substr(encode(sha256(convert_to(to_json(t)::text, 'UTF8')), 'hex'), 1, 15))::bit(60)::int8::numeric
     ), 0)::text as sum from ${table} t`,
  );
  invariant(found !== undefined, "an aggregate has a row");
  return found;
}

/** Our tables with any row in them, as far as they are there. */
export async function filledTables(db: Database, tables: readonly TableName[]): Promise<TableName[]> {
  const filled: TableName[] = [];
  for (const table of tables) {
    const [there] = await db.query<{ exists: boolean }>("select to_regclass($1::text) is not null as exists", [table]);
    if (there?.exists !== true) continue;
    const [row] = await db.query<{ some: boolean }>(`select exists (select from ${table}) as some`);
    if (row?.some === true) filled.push(table);
  }
  return filled;
}
