import { temporaryDirectory, withPostgres } from "./database.ts";
import { GlissadeProcess } from "./glissade-process.ts";

/** What the executable keeps its data in. */
export type DatabaseKind = "PGlite" | "PostgreSQL";

/** Starts the executable before a homeserver, on a database of its own; all of it goes with `cleanup`. */
export async function startGlissadeBefore(
  server: string,
  database: DatabaseKind,
  cleanup: AsyncDisposableStack,
  env: Record<string, string> = {},
): Promise<GlissadeProcess> {
  const { path } = cleanup.use(await temporaryDirectory());
  const storage: Record<string, string> =
    database === "PGlite"
      ? {}
      : { SYNCV3_DB: await (await withPostgres()).createDatabase(), SYNCV3_SECRET: "a secret for tests" };
  const glissade = await GlissadeProcess.create({ SYNCV3_SERVER: server, SYNCV3_DATA: path, ...storage, ...env });
  cleanup.defer(async () => void (await glissade.kill()));
  await glissade.start();
  return glissade;
}
