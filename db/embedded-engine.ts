import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { SyncError } from "#src/errors.ts";
import type { Logger } from "#src/ports/basics.ts";
// By path: the package does not export these, and the executable embeds only what is imported.
import initdbWasm from "../node_modules/@electric-sql/pglite/dist/initdb.wasm" with { type: "file" };
import engineData from "../node_modules/@electric-sql/pglite/dist/pglite.data" with { type: "file" };
import engineWasm from "../node_modules/@electric-sql/pglite/dist/pglite.wasm" with { type: "file" };
import { syncDirectory, unpackDirectory } from "./directory-archive.ts";

/** Major version of PostgreSQL that the embedded engine is; its files cannot be read by another. */
const ENGINE_VERSION = "18";

/** Session settings, the same for all clients: they share one session. */
const SESSION_SETTINGS = "set plan_cache_mode = force_generic_plan";
const ENGINE_SETTINGS = ["shared_buffers = 32MB", "max_wal_size = 128MB", "min_wal_size = 32MB", "jit = off"];

/** Under this name the build embeds the files of an empty database (`tools/build.ts`). */
export const TEMPLATE_NAME = "empty-database.zst";

const compile = async (path: string): Promise<WebAssembly.Module> =>
  WebAssembly.compile(await Bun.file(path).arrayBuffer());

interface EngineAssets {
  engine: WebAssembly.Module;
  data: Blob;
}

async function loadAssets(): Promise<EngineAssets> {
  const [engine, data] = await Promise.all([compile(engineWasm), Bun.file(engineData).arrayBuffer()]);
  return { engine, data: new Blob([data]) };
}

const openEngine = (directory: string, { engine, data }: EngineAssets, initdb?: WebAssembly.Module): Promise<PGlite> =>
  PGlite.create({
    dataDir: directory,
    pgliteWasmModule: engine,
    ...(initdb === undefined ? {} : { initdbWasmModule: initdb }),
    fsBundle: data,
    relaxedDurability: false,
    postgresqlconf: ENGINE_SETTINGS,
  });

/** Has the engine make the files of an empty database. It takes seconds and most of a gigabyte, which the process keeps for a while. */
export async function createDatabase(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const [assets, initdb] = await Promise.all([loadAssets(), compile(initdbWasm)]);
  await (await openEngine(directory, assets, initdb)).close();
}

/** What the build of the executable made with `createDatabase`; null when run from source. */
async function loadTemplate(): Promise<Uint8Array | null> {
  const file = Bun.embeddedFiles.find((embedded) => "name" in embedded && embedded.name === TEMPLATE_NAME);
  return file === undefined ? null : file.bytes();
}

/** A new database is made aside and moved to its place when it is complete: a start that was killed leaves no half of one. */
async function makeDatabase(directory: string, logger: Logger): Promise<void> {
  logger.info({ path: directory }, "creating the embedded database");
  const draft = `${directory}.new`;
  rmSync(draft, { recursive: true, force: true });
  const template = await loadTemplate();
  if (template === null) await createDatabase(draft);
  else await unpackDirectory(template, draft);
  renameSync(draft, directory);
  await syncDirectory(dirname(directory));
}

/** Opens the database of a directory, which is made if there is none. Nobody else may be using the directory. */
export async function openDatabase(directory: string, logger: Logger): Promise<PGlite> {
  if (existsSync(directory)) checkEngineVersion(directory);
  else await makeDatabase(directory, logger);
  // What a killed start had not yet written to the end, the engine would take for another engine's, for ever.
  rmSync(join(directory, "postmaster.pid"), { force: true });
  const db = await openEngine(directory, await loadAssets());
  await db.exec(SESSION_SETTINGS);
  return db;
}

function checkEngineVersion(directory: string): void {
  const found = readFileSync(join(directory, "PG_VERSION"), "utf8").trim();
  if (found === ENGINE_VERSION) return;
  throw new SyncError(
    "internal",
    `the database in ${directory} was made by an executable with PostgreSQL ${found} inside, this one has ` +
      `${ENGINE_VERSION}: start the version of Glissade that made it, or move the directory away to begin anew`,
  );
}
