import type { Listener } from "./listener.ts";

/** A listener that takes up a new certificate while it serves. */
export interface RenewableListener extends Listener {
  /** New connections meet a listener opened anew; what is under way is answered. Throws, and changes nothing, when `read` does. */
  renew(): Promise<void>;
}

/** What a renewable listener is made of. */
export interface RenewableOptions<Material> {
  /** Reads what `open` needs, and rejects when it cannot be used. */
  read: () => Promise<Material>;
  /** Opens the listener with what was read: files may be replaced again meanwhile, when no listener is left to fall back on. */
  open: (material: Material) => Promise<Listener>;
}

/** Opens a listener whose place others can take: the runtime cannot change the certificate of an open one. */
export async function renewableListener<Material>({
  open,
  read,
}: RenewableOptions<Material>): Promise<RenewableListener> {
  let current = await open(await read());
  const retired = new Set<Listener>();
  const all = (): Listener[] => [current, ...retired];
  return {
    address: current.address,
    async renew() {
      const material = await read();
      const previous = current;
      retired.add(previous);
      previous
        .retire()
        .finally(() => retired.delete(previous))
        .catch(() => {});
      current = await open(material);
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
