import { join } from "node:path";
import { freePort } from "./ports.ts";

const EXECUTABLE = join(import.meta.dir, "../../dist/glissade");
const READY_DEADLINE_MS = 60_000;

/** The compiled executable as its own process, on one port through all its lives. */
export class GlissadeProcess {
  readonly url: string;
  readonly #env: Record<string, string>;
  #child: Bun.Subprocess<"ignore", "pipe", "pipe"> | null = null;
  #output = "";

  constructor(port: number, env: Record<string, string>) {
    this.url = `http://127.0.0.1:${port}`;
    this.#env = { PATH: process.env["PATH"] ?? "", SYNCV3_BINDADDR: `127.0.0.1:${port}`, SYNCV3_LOG_LEVEL: "info", ...env };
  }

  static async create(env: Record<string, string>): Promise<GlissadeProcess> {
    return new GlissadeProcess(await freePort(), env);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Everything it has printed, over all its lives. */
  get output(): string {
    return this.#output;
  }

  /** Starts it and waits until it is ready; ms it took. */
  async start(): Promise<number> {
    const startedMs = performance.now();
    const child = Bun.spawn([EXECUTABLE], { env: this.#env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    this.#child = child;
    void this.#collect(child.stdout);
    void this.#collect(child.stderr);
    while (performance.now() - startedMs < READY_DEADLINE_MS) {
      if (child.exitCode !== null) throw new Error(`glissade exited with ${child.exitCode}:\n${this.#output}`);
      const answer = await fetch(`${this.url}/health/ready`).catch(() => null);
      if (answer?.ok === true) return performance.now() - startedMs;
      await Bun.sleep(20);
    }
    throw new Error(`glissade was not ready in time:\n${this.#output}`);
  }

  /** `SIGKILL` by default: no chance to write anything down. */
  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<number | null> {
    this.#child?.kill(signal);
    await this.#child?.exited;
    return this.#child?.exitCode ?? null;
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.#output += decoder.decode(chunk, { stream: true });
  }
}
