import type { Listener } from "./listener.ts";

/** A listener that takes up a new certificate while it serves. */
export interface RenewableListener extends Listener {
  /** New connections meet a listener opened anew; what is under way is answered. Throws, and changes nothing, when `check` does. */
  renew(): Promise<void>;
}

/** What a renewable listener is made of. */
export interface RenewableOptions {
  /** Opens the listener, reading its certificate again. */
  open: () => Promise<Listener>;
  /** Rejects when `open` would not get what it needs. */
  check: () => Promise<unknown>;
}

/** Opens a listener whose place others can take: the runtime cannot change the certificate of an open one. */
export async function renewableListener({ open, check }: RenewableOptions): Promise<RenewableListener> {
  let current = await open();
  const retired = new Set<Listener>();
  const all = (): Listener[] => [current, ...retired];
  return {
    address: current.address,
    async renew() {
      await check();
      const previous = current;
      retired.add(previous);
      previous
        .retire()
        .finally(() => retired.delete(previous))
        .catch(() => {});
      current = await open();
    },
    retire: async () => void (await Promise.all(all().map((listener) => listener.retire()))),
    stopAccepting() {
      for (const listener of all()) listener.stopAccepting();
    },
    async stop(withinMs) {
      await Promise.all(all().map((listener) => listener.stop(withinMs)));
    },
  };
}
