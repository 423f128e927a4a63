/** Below what systems hand out to connections (Linux: from 32768): nobody gets a port of these by chance. */
const FIRST = 20_000;
const COUNT = 12_000;

/**
 * A TCP port of the loopback interface that was free a moment ago, and stays so for a server that goes away and comes
 * back: nobody else is given it but who asks for it, and test processes begin to ask at different places.
 */
export function lastingPort(): number {
  const [start = 0] = crypto.getRandomValues(new Uint32Array(1));
  for (let step = 0; step < COUNT; step += 1) {
    const port = FIRST + ((start + step) % COUNT);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } }).stop(true);
      return port;
    } catch {
      // Taken; the next one may not be.
    }
  }
  throw new Error("no port is free");
}

/** The same, for who waits anyway. */
export const freePort = (): Promise<number> => Promise.resolve().then(lastingPort);
