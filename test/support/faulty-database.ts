import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { IngestStore } from "#src/ports/stores.ts";
import type { ComposeHost } from "#src/hosts/compositions.ts";
import { openStorage } from "#src/hosts/storage.ts";
import { databaseDeps, withPostgres } from "./database.ts";
import type { Stores } from "./faulty-stores.ts";
import { freePort } from "./ports.ts";

/** What a node stands on. */
export interface RigDatabase {
  /** Ties to-device positions to this database. */
  readonly epoch: string;
  /** The host of an embedded database. */
  readonly composeStore?: ComposeHost;
  /** One life of a host, or main, gets its stores; `close` ends them as its death would. */
  open: () => Promise<{ stores: Stores; close: () => Promise<void> }>;
  close: () => Promise<void>;
}

/** What becomes of the connection over which the next commit is sent. */
export type CommitFate = "cut-before" | "cut-after";

const SECRET = "a secret for tests";
const EPOCH = "rig";

async function openStores(
  connection: string | null,
  dataDir: string,
  connections: number,
  isFirst: boolean,
): ReturnType<RigDatabase["open"]> {
  const options = { database: connection, secret: SECRET, dataDir, connections, idleTimeoutMs: null };
  const storage = await openStorage(options, databaseDeps, { migrate: isFirst });
  const { ingest, rooms, connections: kept, devices, repair } = storage;
  return { stores: { ingest, rooms, connections: kept, devices, repair }, close: () => storage.close() };
}

/** PGlite in a directory of its own. Its host is a process: a death takes it as it stands, as a Worker's would. */
export async function embeddedDatabase(connections: number): Promise<RigDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), "glissade-faults-"));
  let lives = 0;
  let ended: Promise<unknown> = Promise.resolve();
  return {
    epoch: EPOCH,
    composeStore: async () => {
      await ended;
      const cmd = [process.execPath, fileURLToPath(import.meta.resolve("./faulty-store.ts")), dataDir];
      const child = Bun.spawn({ cmd, stdio: ["ignore", "pipe", "inherit"] });
      // It says one line, once it can be used.
      ended = child.exited;
      const { done } = await child.stdout.getReader().read();
      if (done) throw new Error("the embedded database did not start");
      return {
        kinds: {},
        close: async () => {
          child.kill("SIGKILL");
          await child.exited;
        },
      };
    },
    open: () => openStores(null, dataDir, connections, ++lives === 1),
    close: () => rm(dataDir, { recursive: true, force: true }),
  };
}

/** A fresh database on PostgreSQL, with a wire that can be cut between it and each host. */
export class CuttableDatabase implements RigDatabase {
  readonly epoch = EPOCH;
  readonly #url: URL;
  readonly #connections: number;
  readonly #wires = new Set<Wire>();
  #fate: CommitFate | null = null;
  #isDown = false;
  #lives = 0;

  constructor(url: string, connections: number) {
    this.#url = new URL(url);
    this.#connections = connections;
  }

  static async create(connections: number): Promise<CuttableDatabase> {
    return new CuttableDatabase(await (await withPostgres()).createDatabase(), connections);
  }

  /** Every connection breaks, and none can be made until `restore`. */
  async cut(): Promise<void> {
    this.#isDown = true;
    await Promise.all([...this.#wires].map((wire) => wire.cut()));
  }

  async restore(): Promise<void> {
    this.#isDown = false;
    await Promise.all([...this.#wires].map((wire) => wire.listen()));
  }

  /** Of the next commit. */
  set nextCommit(fate: CommitFate) {
    this.#fate = fate;
  }

  get isCommitPlanned(): boolean {
    return this.#fate !== null;
  }

  open = async (): ReturnType<RigDatabase["open"]> => {
    const wire = new Wire(this.#url, await freePort());
    this.#wires.add(wire);
    if (!this.#isDown) await wire.listen();
    const url = new URL(this.#url);
    url.port = String(wire.port);
    const { stores, close } = await openStores(url.href, "", this.#connections, ++this.#lives === 1);
    const { ingest } = stores;
    return {
      stores: { ...stores, ingest: this.#atCommit(ingest, wire) },
      close: async () => {
        this.#wires.delete(wire);
        await wire.cut();
        await close();
      },
    };
  };

  close = async (): Promise<void> => {
    await Promise.all([...this.#wires].map((wire) => wire.cut()));
  };

  #atCommit(ingest: IngestStore, wire: Wire): IngestStore {
    return new Proxy(ingest, {
      get: (store, method) => {
        const value: unknown = Reflect.get(store, method);
        if (typeof value !== "function") return value;
        return (...args: unknown[]): unknown => {
          if (method === "commit" && this.#fate !== null) {
            wire.fate = this.#fate;
            this.#fate = null;
          }
          return Reflect.apply(value, store, args);
        };
      },
    });
  }
}

/** Stands between one host and the server. */
class Wire {
  readonly port: number;
  readonly #target: { host: string; port: number };
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  /** Of whatever is sent next. */
  fate: CommitFate | null = null;

  constructor(target: URL, port: number) {
    this.#target = { host: target.hostname, port: Number(target.port) };
    this.port = port;
  }

  async listen(): Promise<void> {
    if (this.#server !== null) return;
    const server = createServer((client) => this.#bridge(client));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.port, "127.0.0.1", resolve);
    });
  }

  /** Hangs up on everybody and refuses whoever calls. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    if (server === null) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  }

  #bridge(client: Socket): void {
    const server = connect(this.#target);
    let isLast = false;
    const end = (): void => {
      for (const socket of [client, server]) {
        socket.destroy();
        this.#sockets.delete(socket);
      }
    };
    client.on("data", (bytes: Uint8Array) => {
      const { fate } = this;
      this.fate = null;
      if (fate === "cut-before") return end();
      isLast ||= fate === "cut-after";
      server.write(bytes);
    });
    server.on("data", (bytes: Uint8Array) => {
      // The server has done it; nobody hears of that.
      if (isLast) end();
      else client.write(bytes);
    });
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", end);
      socket.on("close", end);
    }
  }
}
