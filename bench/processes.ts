import type { Subprocess } from "bun";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Database } from "./database.ts";
import { freePort } from "#test/support/ports.ts";
import type { Answer } from "./http-socket.ts";
import { HttpSocket, requestText } from "./http-socket.ts";
import { cpuMsOf, residentBytesOf } from "./process-tree.ts";
import type { Topology } from "./topology.ts";

const READY_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 30_000;
const READY_PAUSE_MS = 5;

/** A server that is measured: ours or a peer with the same environment names. */
export type ServerSpec = {
  readonly name: string;
  readonly command: string;
  /** What says that it is ready: our health answer, or any HTTP answer at all. */
  readonly hasHealth: boolean;
};

/** The made-up homeserver in its own process, and the connection that commands it. */
export class Upstream {
  readonly port: number;
  readonly #process: Subprocess;
  #control: HttpSocket;
  /** The control connection carries one command at a time. */
  #lastCommand: Promise<unknown> = Promise.resolve();

  private constructor(process: Subprocess, port: number, control: HttpSocket) {
    this.#process = process;
    this.port = port;
    this.#control = control;
  }

  static async start(topology: Topology): Promise<Upstream> {
    const child = Bun.spawn({
      cmd: [process.execPath, join(import.meta.dir, "upstream.ts"), JSON.stringify(topology)],
      stdio: ["ignore", "pipe", "inherit"],
    });
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    const port = Number(Buffer.from(value ?? new Uint8Array()).toString());
    if (!(port > 0)) throw new Error("the made-up homeserver did not start");
    return new Upstream(child, port, await HttpSocket.open(port));
  }

  get cpuMs(): number {
    return cpuMsOf(this.#process.pid);
  }

  /** One message in each of the rooms, numbered from `first`. */
  send(rooms: readonly number[], first: number): Promise<void> {
    return this.#command("send", { rooms, first });
  }

  /** New members in one room, numbered from `first`. */
  join(room: number, count: number, first: number): Promise<void> {
    return this.#command("join", { room, count, first });
  }

  async #command(name: string, parameters: object): Promise<void> {
    const request = requestText("POST", `/_bench/${name}`, null, JSON.stringify(parameters));
    const done = this.#lastCommand.then(() => this.#send(request));
    this.#lastCommand = done;
    const { status } = await done;
    if (status !== 200) throw new Error(`the made-up homeserver answered ${status}`);
  }

  /** A control connection that was idle for long may have been closed at the other end. */
  async #send(request: string): Promise<Answer> {
    if (this.#control.isClosed) this.#control = await HttpSocket.open(this.port);
    return this.#control.exchange(request);
  }

  stop(): void {
    this.#control.close();
    this.#process.kill("SIGKILL");
  }
}

/** The server under measurement as its own process; it can be stopped and started again on the same data. */
export class MeasuredServer {
  readonly port: number;
  readonly #spec: ServerSpec;
  readonly #env: Record<string, string>;
  readonly #logFile: string;
  #process: Subprocess | null = null;
  #isStopping = false;

  private constructor(spec: ServerSpec, env: Record<string, string>, port: number, logFile: string) {
    this.#spec = spec;
    this.#env = env;
    this.port = port;
    this.#logFile = logFile;
  }

  static async create(
    spec: ServerSpec,
    upstream: Upstream,
    database: Database,
    logFile: string,
  ): Promise<MeasuredServer> {
    const port = await freePort();
    const own = {
      SYNCV3_SERVER: `http://127.0.0.1:${upstream.port}`,
      SYNCV3_SECRET: "the secret of the bench, the same for every server",
      SYNCV3_BINDADDR: `127.0.0.1:${port}`,
    };
    // Further SYNCV3_ names, such as SYNCV3_MAX_DB_CONN, are passed on from the shell.
    const env = { ...Bun.env, ...database.env, ...own };
    const defined = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return new MeasuredServer(spec, Object.fromEntries(defined), port, logFile);
  }

  get cpuMs(): number {
    return this.#process === null ? 0 : cpuMsOf(this.#process.pid);
  }

  get residentBytes(): number {
    return this.#process === null ? 0 : residentBytesOf(this.#process.pid);
  }

  /** Starts the process; resolves with the milliseconds until it says that it is ready. */
  async start(): Promise<number> {
    const startedAt = performance.now();
    const log = openSync(this.#logFile, "a");
    this.#isStopping = false;
    this.#process = Bun.spawn({
      cmd: ["/bin/sh", "-c", `exec ${this.#spec.command}`],
      env: this.#env,
      stdio: ["ignore", log, log],
      onExit: (_, code) => {
        if (!this.#isStopping) console.error(`${this.#spec.name} ended with code ${code ?? "none"}\n${this.logTail()}`);
      },
    });
    closeSync(log);
    while (!(await this.#isReady())) {
      if (this.#process.exitCode !== null || performance.now() - startedAt > READY_LIMIT_MS) {
        throw new Error(`${this.#spec.name} did not become ready\n${this.logTail()}`);
      }
      await Bun.sleep(READY_PAUSE_MS);
    }
    return performance.now() - startedAt;
  }

  async #isReady(): Promise<boolean> {
    let socket: HttpSocket | null = null;
    try {
      socket = await HttpSocket.open(this.port);
      const asked = socket.exchange(requestText("GET", "/health/ready", null, ""));
      const answer = await Promise.race([asked, Bun.sleep(1000).then(() => null)]);
      return answer !== null && (answer.status === 200 || !this.#spec.hasHealth);
    } catch {
      return false; // not listening yet
    } finally {
      socket?.close();
    }
  }

  /** SIGTERM, and SIGKILL for what does not listen to it; resolves with the milliseconds it took. */
  async stop(): Promise<number> {
    const child = this.#process;
    if (child === null) return 0;
    const startedAt = performance.now();
    this.#isStopping = true;
    child.kill("SIGTERM");
    const killer = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
    await child.exited;
    clearTimeout(killer);
    this.#process = null;
    return performance.now() - startedAt;
  }

  logTail(): string {
    return readFileSync(this.#logFile, "utf8").split("\n").slice(-20).join("\n");
  }
}
