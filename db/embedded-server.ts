import { chmodSync, rmSync } from "node:fs";
import { type Server, type Socket, createServer } from "node:net";
import type { Logger } from "#src/ports/basics.ts";
import { type Backend, BatchReader, type SessionClient, type SessionDeps, SharedSession } from "./embedded-session.ts";
import { MessageType, StartupCode, startupMessage } from "./wire-messages.ts";

/** Larger than any commit: a first sync comes in pieces of a few megabytes. */
const BATCH_LIMIT_BYTES = 256 * 1024 * 1024;
const STARTUP_LIMIT_BYTES = 10_000;
const MAX_CLIENTS = 200;
const NO_TLS = Buffer.from("N");

/** Lets several clients use one PostgreSQL session through a unix socket. */
export class EmbeddedServer {
  readonly #session: SharedSession;
  readonly #logger: Logger;
  readonly #path: string;
  readonly #greeting: Uint8Array;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #nextId = 1;

  private constructor(path: string, greeting: Uint8Array, session: SharedSession, logger: Logger) {
    this.#path = path;
    this.#greeting = greeting;
    this.#session = session;
    this.#logger = logger;
    this.#server = createServer((socket) => this.#welcome(socket));
    this.#server.maxConnections = MAX_CLIENTS;
  }

  /** Listens on `path`, which its owner alone may use; a socket left there by a dead process is replaced. */
  static async listen(path: string, backend: Backend, deps: SessionDeps): Promise<EmbeddedServer> {
    const greeting = await backend.execute(startupMessage());
    const server = new EmbeddedServer(path, greeting, new SharedSession(backend, deps), deps.logger);
    rmSync(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
    server.#server.on("error", (error) =>
      deps.logger.error({ error: error.message }, "embedded database socket failed"),
    );
    return server;
  }

  /** Ends all clients; what they left open is undone. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    await this.#session.drain();
    rmSync(this.#path, { force: true });
  }

  #welcome(socket: Socket): void {
    const reader = new BatchReader(BATCH_LIMIT_BYTES);
    const client: SessionClient = {
      id: this.#nextId++,
      send: (bytes) => socket.write(bytes),
      destroy: (reason) => {
        this.#logger.warn({ client: client.id, reason }, "embedded database client disconnected");
        socket.destroy();
      },
    };
    let startup: Buffer | null = Buffer.alloc(0);
    this.#sockets.add(socket);
    socket.on("data", (data: Uint8Array) => {
      try {
        let bytes = data;
        if (startup !== null) {
          startup = Buffer.concat([startup, data]);
          const rest = this.#greet(socket, startup);
          if (rest.isStarted) startup = null;
          else startup = rest.bytes;
          if (startup !== null) return;
          bytes = rest.bytes;
        }
        if (bytes.length === 0) return;
        for (const batch of reader.read(bytes)) {
          if (batch[0]?.[0] === MessageType.terminate) socket.end();
          else this.#session.submit(client, batch);
        }
      } catch (error) {
        client.destroy(String(error));
      }
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#sockets.delete(socket);
      this.#session.leave(client);
    });
  }

  /** Answers what comes before the first ordinary message; returns what follows it. */
  #greet(socket: Socket, received: Buffer): { isStarted: boolean; bytes: Buffer } {
    let bytes = received;
    while (bytes.length >= 8) {
      const size = bytes.readInt32BE(0);
      if (size < 8 || size > STARTUP_LIMIT_BYTES) throw new Error("malformed startup message");
      if (bytes.length < size) break;
      const code = bytes.readInt32BE(4);
      bytes = bytes.subarray(size);
      if (code === StartupCode.ssl || code === StartupCode.gss) {
        socket.write(NO_TLS);
      } else if (code === StartupCode.cancel) {
        // One session runs one statement at a time to its end: there is nothing to cancel.
        socket.end();
      } else {
        socket.write(this.#greeting);
        return { isStarted: true, bytes };
      }
    }
    return { isStarted: false, bytes };
  }
}
