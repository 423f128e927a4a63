import type { Config } from "#src/config.ts";
import { requireSchema } from "#db/migrate.ts";
import { movedFrom } from "#db/moved.ts";
import { loadOrigin } from "#db/secrets.ts";
import type { Say } from "./terminal-progress.ts";
import { openToolDatabase, placeOf } from "./tool-database.ts";

/** `glissade db reopen`: takes a database into use again from which everything was moved. */
export async function reopen({ storage }: Pick<Config, "storage">, say: Say): Promise<void> {
  const tool = await openToolDatabase(placeOf(storage), { name: "db reopen", isAlone: true });
  try {
    await requireSchema(tool.db);
    const moved = await movedFrom((text, params) => tool.db.query(text, params));
    if (moved === null) {
      // Half of a move to it is nothing that could be used.
      await loadOrigin(tool.db);
      say.out("Nothing was moved from this database: it can be used as it is.\n");
      return;
    }
    await tool.db.query("update meta set moved_to = null, moved_ms = null");
    say.out(
      `This database is in use again, as it was on ${new Date(moved.atMs).toISOString()}. Never start Glissade on ` +
        `${moved.to} any more: two servers would take each other's messages.\n`,
    );
  } finally {
    await tool.close();
  }
}
