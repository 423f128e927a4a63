import { describe, expect, test } from "bun:test";
import { PgTable, getTableConfig } from "drizzle-orm/pg-core";
import * as schema from "#db/schema.ts";
import { TABLES } from "#db/tools/tables.ts";

describe("TABLES", () => {
  test("[OPR-10] commands know every table of the schema", () => {
    const tables = Object.values(schema).filter((value) => value instanceof PgTable);
    const names = tables.map((table) => getTableConfig(table).name).filter((name) => name !== "glissade_migrations");
    expect<string[]>([...TABLES].toSorted()).toEqual(names.toSorted());
  });
});
