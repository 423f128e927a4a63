/** Below what systems hand out to connections (Linux: from 32768): nobody gets a port of these by chance. */
const FIRST = 20_000;
const COUNT = 12_000;
/** Of one process. Its first port is never given away: whoever listens there owns the block. */
const BLOCK = 100;

interface Block {
  first: number;
  /** How often a port was given away. */
  given: number;
}

// Test files may each have modules of their own; the process is what owns a block.
const shared = globalThis as typeof globalThis & { glissadeTestPorts?: Block };

/**
 * A TCP port of the loopback interface that is free, and stays so until a server comes, and while it goes away and comes
 * back: other test processes have blocks of their own, and in this one it is a whole round until it is given away again.
 */
export function lastingPort(): number {
  const block = (shared.glissadeTestPorts ??= ownBlock());
  for (let step = 0; step < BLOCK; step += 1) {
    const port = block.first + 1 + (block.given++ % (BLOCK - 1));
    const probe = tryListening(port);
    probe?.stop(true);
    if (probe !== null) return port;
  }
  throw new Error("no port is free");
}

/** The same, for who waits anyway. */
export const freePort = (): Promise<number> => Promise.resolve().then(lastingPort);

function ownBlock(): Block {
  const blocks = COUNT / BLOCK;
  const [start = 0] = crypto.getRandomValues(new Uint32Array(1));
  for (let step = 0; step < blocks; step += 1) {
    const first = FIRST + ((start + step) % blocks) * BLOCK;
    const owner = tryListening(first);
    if (owner === null) continue;
    // For as long as the process lives, and no longer.
    owner.unref();
    return { first, given: 0 };
  }
  throw new Error("no block of ports is free");
}

function tryListening(port: number): Bun.TCPSocketListener | null {
  try {
    return Bun.listen({ hostname: "127.0.0.1", port, exclusive: true, socket: { data: () => undefined } });
  } catch {
    return null;
  }
}
