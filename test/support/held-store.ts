/** A store whose answers can be held back after the work is done: for what happens in between. */
export class HeldStore<T extends object> {
  readonly store: T;
  /** What was called, and with what. */
  readonly calls: { method: string; args: readonly unknown[] }[] = [];
  readonly #held = new Map<string, { reached: () => void; released: Promise<void> }>();
  readonly #failures = new Map<string, Error>();

  constructor(target: T) {
    this.store = new Proxy(target, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (typeof value !== "function" || typeof name !== "string") return value;
        return (...args: unknown[]) => {
          this.calls.push({ method: name, args });
          return this.#call(name, () => Reflect.apply(value, of, args) as Promise<unknown>);
        };
      },
    });
  }

  /** The next call of this method does its work, and answers only after `release`. `reached` resolves in between. */
  hold(method: keyof T & string): { reached: Promise<void>; release: () => void } {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#held.set(method, { reached: reached.resolve, released: released.promise });
    return { reached: reached.promise, release: released.resolve };
  }

  /** The next call of this method fails. */
  fail(method: keyof T & string, error: Error): void {
    this.#failures.set(method, error);
  }

  async #call(name: string, perform: () => Promise<unknown>): Promise<unknown> {
    const failure = this.#failures.get(name);
    this.#failures.delete(name);
    if (failure !== undefined) throw failure;
    const held = this.#held.get(name);
    this.#held.delete(name);
    const answer = await perform();
    held?.reached();
    await held?.released;
    return answer;
  }
}
