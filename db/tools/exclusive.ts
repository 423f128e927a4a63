import { SyncError, invariant } from "#src/errors.ts";
import type { Database, Query } from "../connection.ts";
import { loadOrigin } from "../secrets.ts";
import { keyArray } from "../text.ts";

/** Name under which the hosts of a server show in `pg_stat_activity`, unless the connection string gives them another. */
const SERVER_NAME = "glissade";

/**
 * Refuses while a server uses the database, as the database sees it: by the name of its connections. This connection gets a name of its
 * own, so that one given by the connection string is that of servers alone.
 */
export async function refuseWhileServed(db: Database, toolName: string): Promise<void> {
  const [own] = await db.query<{ name: string }>("select current_setting('application_name') as name");
  await db.query("select set_config('application_name', $1::text, false)", [toolName]);
  const names = [SERVER_NAME, own?.name ?? SERVER_NAME].filter((name) => name !== toolName);
  const [row] = await db.query<{ n: number }>(
    `select count(*)::int4 as n from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and application_name = any($1::text[])`,
    [keyArray(names)],
  );
  const others = row?.n ?? 0;
  if (others === 0) return;
  const found = others === 1 ? "1 connection" : `${others} connections`;
  throw new SyncError(
    "invalid_param",
    `Glissade is running on this database (${found}): stop it, and start it again when this is done`,
  );
}

/** The place of the one writer. Whoever writes takes it with every transaction: a server that starts meanwhile ends it, and so does `db port`. */
export class WriterPlace {
  readonly #id: string;

  private constructor(id: string) {
    this.#id = id;
  }

  static async take(db: Database, id: string): Promise<WriterPlace> {
    const taken = await db.query("update meta set writer = $1::text where moved_to is null returning id", [id]);
    if (taken.length === 0) await loadOrigin(db);
    return new WriterPlace(id);
  }

  /** First in each transaction: the last of `count` new positions. Rejects when somebody else writes by now. */
  async advance(query: Query, count: number): Promise<number> {
    const [row] = await query<{ head: number }>(
      `update meta set head = head + $2::int8, commit_seq = commit_seq + 1
       where writer = $1::text and moved_to is null returning head`,
      [this.#id, count],
    );
    if (row === undefined) {
      throw new SyncError(
        "invalid_param",
        "a server was started on this database meanwhile, or it was moved: stop it and repeat this",
      );
    }
    invariant(row.head >= count, "positions are counted from 0");
    return row.head;
  }
}
