import { SyncError } from "#src/errors.ts";
import type { Query } from "./connection.ts";

/** Where everything in a database was moved to. */
export interface Moved {
  to: string;
  atMs: number;
}

/** Where everything in this database was moved to; null = nowhere. */
export async function movedFrom(query: Query): Promise<Moved | null> {
  const [row] = await query<{ moved_to: string; moved_ms: number | null }>(
    "select moved_to, moved_ms from meta where moved_to is not null",
  );
  return row === undefined ? null : { to: row.moved_to, atMs: row.moved_ms ?? 0 };
}

/** A server here would give out positions that its successor gives out for something else. */
export const movedAway = ({ to, atMs }: Moved): SyncError =>
  new SyncError(
    "unusable_setup",
    `everything in this database was moved to ${to} on ${new Date(atMs).toISOString()} (glissade db port): start Glissade ` +
      "there. To come back, run glissade db port there, to here; should the other one be lost, or never have been used, " +
      "glissade db reopen takes this one into use again",
  );
