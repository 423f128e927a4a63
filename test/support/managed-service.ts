import { join } from "node:path";
import { EXECUTABLE } from "./glissade-process.ts";
import { until } from "./until.ts";

const HARNESS = join(import.meta.dir, "service-manager.py");

/** Why there can be no service manager here, for the title of a suite; "" when there can. */
export const managedServiceProblem = (): string => (Bun.which("python3") === null ? " (python3 is not installed)" : "");

/** A server that was started as systemd starts it, and what it told since. */
export class ManagedService {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #listened: Promise<void>;
  #told = "";

  /** `port`: of a socket that is opened for it; 0 = of none. */
  constructor(data: string, port: number, env: Record<string, string>) {
    this.#child = Bun.spawn(["python3", HARNESS, `${data}.notify`, String(port), EXECUTABLE, "serve"], {
      env: { PATH: process.env["PATH"] ?? "", SYNCV3_SERVER: "http://127.0.0.1:9", SYNCV3_DATA: data, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#listened = this.#listen();
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) this.#told += decoder.decode(chunk);
  }

  /** What it told so far, line by line. */
  get told(): string[] {
    return this.#told.split("\n").filter((line) => /^[A-Z_]+=/.test(line));
  }

  /** Resolves when a line is told that begins like this. */
  async until(line: string, limitMs = 60_000): Promise<void> {
    const isTold = (): boolean => this.told.some((told) => told.startsWith(line));
    await until(line, () => isTold() || this.#child.exitCode !== null, { limitMs });
    if (isTold()) return;
    throw new Error(`${line} was not told:\n${this.#told}\n${await new Response(this.#child.stderr).text()}`);
  }

  /** Ends it in order; everything it told. */
  async end(): Promise<string[]> {
    this.#child.kill("SIGTERM");
    await this.#child.exited;
    await this.#listened;
    return this.told;
  }
}
