import type { AdminStore, TableSize } from "#src/ports/admin-store.ts";
import type { Cancel } from "#src/ports/basics.ts";
import type { HostServices } from "./compositions.ts";

/** Tables grow over days. */
const EVERY_MS = 5 * 60_000;

/** Keeps the metrics of the database's tables; returns how to end it. */
export function watchDatabaseSizes(
  store: Pick<AdminStore, "sizes">,
  { timers, logger, metrics }: Pick<HostServices, "timers" | "logger" | "metrics">,
): Cancel {
  const known = new Map<string, TableSize>();
  let isEnded = false;
  let cancel: Cancel = () => undefined;
  const take = (table: TableSize): void => {
    const { name } = table;
    const isNew = !known.has(name);
    known.set(name, table);
    if (!isNew) return;
    metrics.gauge("database_table_bytes", () => known.get(name)?.totalBytes ?? 0, { table: name });
    metrics.gauge("database_table_rows", () => known.get(name)?.rows ?? 0, { table: name });
  };
  const look = async (): Promise<void> => {
    try {
      for (const table of (await store.sizes()).tables) take(table);
    } catch (error) {
      logger.debug({ error: String(error) }, "sizes of tables not read");
    }
    if (!isEnded) cancel = timers.after(EVERY_MS, () => void look());
  };
  void look();
  return () => {
    isEnded = true;
    cancel();
  };
}
