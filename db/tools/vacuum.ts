import type { Database } from "../connection.ts";
import { keyArray } from "../text.ts";
import { TABLES, type TableName } from "./tables.ts";

/** What a table took before and takes now. */
export interface Vacuumed {
  name: TableName;
  bytesBefore: number;
  bytes: number;
}

/**
 * Clears dead rows away table by table, and counts anew what plans are made by. `isFull`: writes each table anew, which gives its space
 * back to the disk, and keeps everybody out of it meanwhile.
 */
export async function* vacuumTables(db: Database, isFull: boolean): AsyncGenerator<Vacuumed> {
  for (const name of TABLES) {
    const bytesBefore = await sizeOf(db, name);
    await db.query(`vacuum (${isFull ? "full, " : ""}analyze) ${name}`);
    yield { name, bytesBefore, bytes: await sizeOf(db, name) };
  }
}

async function sizeOf(db: Database, name: TableName): Promise<number> {
  const [row] = await db.query<{ bytes: number }>(
    "select coalesce(sum(pg_total_relation_size(to_regclass(n.name))), 0)::int8 as bytes from unnest($1::text[]) n (name)",
    [keyArray([name])],
  );
  return row?.bytes ?? 0;
}
