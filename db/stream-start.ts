import type { StreamPos } from "#src/protocol/ids.ts";
import type { Database } from "./connection.ts";
import { loadOrigin } from "./secrets.ts";

/** More than a node ever stores in a second; positions reach 2^53 in the year 2242. */
const POSITIONS_PER_SECOND = 2 ** 20;

/**
 * Moves the stream's head up to the time of day, once for each start of the process. A database that was restored from a copy
 * begins where the copy was made, while clients hold positions that were given out after it. Were those given out again, for
 * something else, a client would take what it never got for received.
 */
export async function raiseHead(db: Database, nowMs: number): Promise<void> {
  const least: StreamPos = Math.floor(nowMs / 1000) * POSITIONS_PER_SECOND;
  const found = await db.query("update meta set head = greatest(head, $1::int8) where moved_to is null returning id", [
    least,
  ]);
  // Somebody moved everything away just now.
  if (found.length === 0) await loadOrigin(db);
}
