import type { GlissadeProcess } from "./glissade-process.ts";

/**
 * Kills a process with `SIGKILL` at random moments and starts it again, until it is told to stop. It lives for as long as its
 * start took at least: on a machine where that is long, nobody would get anywhere otherwise.
 */
export class RandomKills {
  readonly #process: GlissadeProcess;
  readonly #betweenMs: readonly [least: number, most: number];
  #state: number;
  #running: Promise<void> | null = null;
  #stopping = Promise.withResolvers<void>();
  #isStopping = false;
  #count = 0;

  constructor(process: GlissadeProcess, seed: number, betweenMs: readonly [least: number, most: number]) {
    this.#process = process;
    this.#state = seed;
    this.#betweenMs = betweenMs;
  }

  /** How often it was killed. */
  get count(): number {
    return this.#count;
  }

  begin(): void {
    this.#running ??= this.#run();
  }

  /** Ends with the process running; fails if it could not be started again. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#stopping.resolve();
    await this.#running;
  }

  async #run(): Promise<void> {
    const [least, most] = this.#betweenMs;
    let startedInMs = 0;
    for (;;) {
      const livesMs = Math.max(least + this.#random() * (most - least), startedInMs);
      await Promise.race([Bun.sleep(livesMs), this.#stopping.promise]);
      if (this.#isStopping) return;
      await this.#process.kill();
      startedInMs = await this.#process.start();
      this.#count += 1;
    }
  }

  /** The minimal standard generator: the same seed, the same moments. */
  #random(): number {
    this.#state = (this.#state * 48_271 + 1) % 2_147_483_647;
    return this.#state / 2_147_483_647;
  }
}
