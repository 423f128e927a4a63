import { afterEach, describe, expect, test } from "bun:test";
import { type Server, type Socket, createServer } from "node:net";
import { parseConnectionString } from "#db/connection-string.ts";
import { watchReach } from "#db/reach.ts";
import type { Timers } from "#src/ports/basics.ts";
import { freePort } from "#test/support/ports.ts";
import { until } from "#test/support/until.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const LOOK_MS = 10_000;
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that treats connections like that. */
async function serve(treat: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    treat(socket);
  });
  servers.push(server);
  const port = await freePort();
  await new Promise<void>((resolve) => {
    server.listen(port, "127.0.0.1", resolve);
  });
  return port;
}

/** Watches what is there, whose looks end by themselves; `look` lets one of them pass. */
function watch(address: string) {
  const time = new VirtualTime();
  let begun = 0;
  /** A look may cancel its limit more than once. */
  const cancelled = new Set<number>();
  const timers: Timers = {
    after: (delayMs, run) => {
      const id = begun++;
      const cancel = time.after(delayMs, run);
      return () => {
        cancelled.add(id);
        cancel();
      };
    },
  };
  let lost = 0;
  const end = watchReach(parseConnectionString(`postgres://${address}/x`), timers, () => {
    lost += 1;
  });
  const look = async (): Promise<void> => {
    const before = begun;
    await time.advance(LOOK_MS);
    // The limit of this look, and then the wait for the next one.
    await until("the end of a look", () => begun === before + 2 || lost > 0);
  };
  /** One of which a server says nothing, and another one something. */
  const lookAtBoth = async (): Promise<void> => {
    const before = cancelled.size;
    await time.advance(LOOK_MS);
    await until("the word of one", () => cancelled.size > before);
    await time.advance(LOOK_MS);
  };
  return { time, end, look, lookAtBoth, lost: () => lost };
}

describe("watchReach", () => {
  test("[DBC-17] a server that takes no connections just now, or has lost its name, is not lost", async () => {
    const addresses = [
      `127.0.0.1:${await serve((socket) => socket.on("data", () => socket.end("N")))}`,
      `127.0.0.1:${await serve((socket) => socket.destroy())}`,
      `127.0.0.1:${await serve((socket) => socket.resetAndDestroy())}`,
      `127.0.0.1:${await freePort()}`,
      "nobody.invalid",
    ];
    for (const address of addresses) {
      const { time, end, look, lost } = watch(address);
      for (let looks = 0; looks < 5; looks += 1) await look();
      expect([address, lost()]).toEqual([address, 0]);
      end();
      expect(time.pendingCount).toBe(0);
    }
  });

  test("[DBC-17] one that is silent for three looks is lost, once; one word in between, and it is not", async () => {
    let isSilent = true;
    const port = await serve((socket) => socket.on("data", () => void (isSilent || socket.end("N"))));
    const { time, look, lost } = watch(`127.0.0.1:${port}`);
    const inVain = async (): Promise<void> => time.advance(2 * LOOK_MS);
    await inVain();
    await inVain();
    isSilent = false;
    await look();
    isSilent = true;
    await inVain();
    await inVain();
    expect(lost()).toBe(0);
    await inVain();
    await inVain();
    expect(lost()).toBe(1);
    expect(time.pendingCount).toBe(0);
  });

  test("[DBC-17] one of several that answers is enough, and a watch that has ended tells nothing", async () => {
    const silent = await serve(() => undefined);
    const both = watch(`127.0.0.1:${silent},127.0.0.1:${await serve((socket) => socket.destroy())}`);
    for (let looks = 0; looks < 5; looks += 1) await both.lookAtBoth();
    expect(both.lost()).toBe(0);
    both.end();
    const ended = watch(`127.0.0.1:${silent}`);
    await ended.time.advance(LOOK_MS);
    ended.end();
    await ended.time.advance(10 * LOOK_MS);
    expect([ended.lost(), ended.time.pendingCount]).toEqual([0, 0]);
  });
});
