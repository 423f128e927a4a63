import { readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./ports.ts";

/** The compiled executable; a build of one's own is tested by naming it. */
export const EXECUTABLE = process.env["GLISSADE_EXECUTABLE"] ?? join(import.meta.dir, "../../dist/glissade");
const READY_DEADLINE_MS = 110_000;
/** Of one look at whether it is ready: one that hangs must not outlast the deadline of them all. */
const LOOK_LIMIT_MS = 5000;

/** How clients reach a listener that is not plain HTTP on a port. */
export interface Reach {
  url?: string;
  /** What `fetch` has to know besides the URL. */
  options?: { unix?: string; tls?: { ca: string } };
}

/** The compiled executable as its own process, on one port through all its lives. */
export class GlissadeProcess {
  readonly url: string;
  readonly #reach: Reach["options"];
  readonly #env: Record<string, string>;
  #child: Bun.Subprocess<"ignore", "pipe", "pipe"> | null = null;
  #output = "";
  /** Everything that the child printed is in `#output` when this is settled. */
  #collected: Promise<unknown> = Promise.resolve();

  constructor(port: number, env: Record<string, string>, reach: Reach = {}) {
    this.url = reach.url ?? `http://127.0.0.1:${port}`;
    this.#reach = reach.options ?? {};
    this.#env = {
      PATH: process.env["PATH"] ?? "",
      SYNCV3_BINDADDR: `127.0.0.1:${port}`,
      SYNCV3_LOG_LEVEL: "info",
      ...env,
    };
  }

  static async create(env: Record<string, string>, reach: Reach = {}): Promise<GlissadeProcess> {
    return new GlissadeProcess(await freePort(), env, reach);
  }

  /** A request to it, whatever it listens on. */
  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { ...init, ...this.#reach });
  }

  /** Runs another command of the executable with the same configuration. */
  async command(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const child = this.begin(...args);
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { code: await child.exited, out, err };
  }

  /** The same, for who does not wait for its end. */
  begin(...args: string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    return Bun.spawn([EXECUTABLE, ...args], { env: this.#env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
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
    this.#collected = Promise.all([this.#collect(child.stdout), this.#collect(child.stderr)]);
    while (performance.now() - startedMs < READY_DEADLINE_MS) {
      const exit = child.exitCode ?? child.signalCode;
      if (exit !== null) {
        // The news of its end may come before its last words.
        await this.#collected;
        throw new Error(`glissade exited with ${exit}:\n${this.#output}`);
      }
      const signal = AbortSignal.timeout(LOOK_LIMIT_MS);
      const answer = await this.fetch("/health/ready", { signal }).catch(() => null);
      if (answer?.ok === true) return performance.now() - startedMs;
      await Bun.sleep(20);
    }
    throw new Error(`glissade was not ready in time:\n${this.#output}`);
  }

  /** `SIGKILL` by default: no chance to write anything down. All that it has printed is known afterwards. */
  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<number | null> {
    this.#child?.kill(signal);
    await this.#child?.exited;
    await this.#collected;
    return this.#child?.exitCode ?? null;
  }

  /**
   * Ends it in order: with which code, how long that took by its own clock, and the CPU time that it took. How long the end takes by
   * the clock says more of the machine than of the process.
   */
  async end(): Promise<{ code: number | null; tookMs: number; cpuMs: number }> {
    const child = this.#child;
    const cpuMs = cpuMsOf(this.pid);
    const said = this.#output.length;
    const code = await this.kill("SIGTERM");
    const tookMs = Number(/"took_ms":(\d+),[^\n]*"msg":"shut down"/.exec(this.#output.slice(said))?.[1] ?? Number.NaN);
    return { code, tookMs, cpuMs: Number(child?.resourceUsage()?.cpuTime.total ?? 0) / 1000 - cpuMs };
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.#output += decoder.decode(chunk, { stream: true });
  }
}

/** Linux counts in hundredths of a second, for whoever asks. */
const TICK_MS = 10;

/** CPU time that a process has taken, in all of its threads. */
function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field, a name in parentheses, may hold blanks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
