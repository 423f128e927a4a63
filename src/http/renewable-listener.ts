import type { Cancel, Timers } from "#src/ports/basics.ts";
import type { Listener } from "./listener.ts";

/** A listener that takes up a new certificate while it serves. */
export interface RenewableListener extends Listener {
  /**
   * New connections meet a listener opened anew; what is under way is answered. Throws, and changes nothing, when `read` does. When
   * the place cannot be opened again it throws too, and goes on trying.
   */
  renew(): Promise<void>;
}

/** What a renewable listener is made of. */
export interface RenewableOptions<Material> {
  /** Reads what `open` needs, and rejects when it cannot be used. */
  read: () => Promise<Material>;
  /** Opens the listener with what was read: files may be replaced again meanwhile, when no listener is left to fall back on. */
  open: (material: Material) => Promise<Listener>;
  timers: Timers;
  /** Nobody is let in: told of each attempt that failed. */
  onClosed: (reason: unknown) => void;
  /** Clients are let in again. */
  onOpen: () => void;
}

/** Whoever took the place may leave it soon. */
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 15_000;

/** Opens a listener whose place others can take: the runtime cannot change the certificate of an open one. */
export async function renewableListener<Material>(options: RenewableOptions<Material>): Promise<RenewableListener> {
  const { read, open } = options;
  const material = await read();
  return new Renewable(options, material, await open(material));
}

class Renewable<Material> implements RenewableListener {
  readonly address: string;
  readonly #options: RenewableOptions<Material>;
  readonly #retired = new Set<Listener>();
  /** With what the last listener could be opened. */
  #good: Material;
  /** null = there is none: it is tried again. */
  #current: Listener | null;
  #cancel: Cancel = () => {};
  #isEnded = false;
  /** Renewals and retries go one at a time: two that open the same place would stand in each other's way for ever. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: RenewableOptions<Material>, material: Material, listener: Listener) {
    this.#options = options;
    this.#good = material;
    this.#current = listener;
    this.address = listener.address;
  }

  renew(): Promise<void> {
    return this.#inTurn(() => this.#renew());
  }

  async retire(): Promise<void> {
    this.#end();
    await Promise.all(this.#all().map((listener) => listener.retire()));
  }

  stopAccepting(): void {
    this.#end();
    for (const listener of this.#all()) listener.stopAccepting();
  }

  async stop(withinMs: number): Promise<void> {
    this.#end();
    await Promise.all(this.#all().map((listener) => listener.stop(withinMs)));
  }

  async #renew(): Promise<void> {
    const material = await this.#options.read();
    if (this.#isEnded) return;
    this.#cancel();
    this.#retireCurrent();
    await this.#open(material, FIRST_RETRY_MS);
  }

  #retireCurrent(): void {
    const previous = this.#current;
    if (previous === null) return;
    this.#current = null;
    this.#retired.add(previous);
    previous
      .retire()
      .finally(() => this.#retired.delete(previous))
      .catch(() => {});
  }

  /** With the material at hand, or else with that of before; where neither can be, it is tried again later. */
  async #open(material: Material, retryMs: number): Promise<void> {
    try {
      this.#take(await this.#options.open(material));
      this.#good = material;
    } catch (error) {
      if (this.#isEnded) return;
      if (material !== this.#good && (await this.#isOpenAsBefore())) throw error;
      this.#options.onClosed(error);
      this.#cancel = this.#options.timers.after(retryMs, () => {
        void this.#inTurn(() => this.#retry(material, retryMs));
      });
      throw error;
    }
  }

  async #isOpenAsBefore(): Promise<boolean> {
    try {
      this.#take(await this.#options.open(this.#good));
      return true;
    } catch {
      return false;
    }
  }

  async #retry(material: Material, afterMs: number): Promise<void> {
    // Somebody renewed it while this waited for its turn.
    if (this.#isEnded || this.#current !== null) return;
    this.#cancel();
    try {
      await this.#open(material, Math.min(2 * afterMs, LONGEST_RETRY_MS));
    } catch {
      // It was told, and is tried again.
    }
    if (this.#current !== null) this.#options.onOpen();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  #take(listener: Listener): void {
    // Ended meanwhile: nobody would close it.
    if (this.#isEnded) listener.stopAccepting();
    this.#current = listener;
  }

  #all(): Listener[] {
    return [...(this.#current === null ? [] : [this.#current]), ...this.#retired];
  }

  #end(): void {
    this.#isEnded = true;
    this.#cancel();
  }
}
