import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { type Certificate, readCertificate } from "#src/http/certificate.ts";
import { listen } from "#src/http/listener.ts";
import { listenRaw } from "#src/http/raw-listener.ts";
import { renewableListener } from "#src/http/renewable-listener.ts";
import type { RenewableListener } from "#src/http/renewable-listener.ts";
import { systemTimers } from "#src/system.ts";
import { freePort } from "#test/support/ports.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";
import { connectTls, nameOf, nameServed } from "#test/support/tls-name.ts";

const folder = mkdtempSync(join(tmpdir(), "glissade-renewal-"));
afterAll(() => rmSync(folder, { recursive: true }));

const fixture = (name: string): string => new URL(`../../support/tls/${name}`, import.meta.url).pathname;
const tls = { certPath: join(folder, "cert.pem"), keyPath: join(folder, "key.pem") };
const OLD = "sync.example.org";
const NEW = "renewed.example.org";

function install(prefix: string): void {
  copyFileSync(fixture(`${prefix}cert.pem`), tls.certPath);
  copyFileSync(fixture(`${prefix}key.pem`), tls.keyPath);
}

interface Opened {
  listener: RenewableListener;
  port: number;
  /** Answers what is asked for at `/parked`; everything else is answered at once. */
  release: () => void;
}

async function opened(kind: string, meddle: () => void = () => {}): Promise<Opened> {
  const port = await freePort();
  const bind = { kind: "tcp", host: "127.0.0.1", port } as const;
  const parked = Promise.withResolvers<void>();
  const wait = (path: string): Promise<void> => (path === "/parked" ? parked.promise : Promise.resolve());
  const open =
    kind === "listener"
      ? (certificate: Certificate) =>
          listen({
            bind,
            tls,
            certificate,
            fetch: ({ url }) => wait(new URL(url).pathname).then(() => new Response("hello")),
            timers: systemTimers,
          })
      : (certificate: Certificate) =>
          listenRaw({
            bind,
            tls,
            certificate,
            handle: ({ url = "" }, response) => void wait(url).then(() => response.end("hello")),
            timers: systemTimers,
          });
  const listener = await renewableListener({
    timers: systemTimers,
    onClosed: () => {},
    onOpen: () => {},
    open,
    read: async () => {
      const certificate = await readCertificate(tls);
      meddle();
      return certificate;
    },
  });
  return { listener, port, release: parked.resolve };
}

const failureOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "no failure",
    (error: unknown) => String(error instanceof Error && "code" in error ? error.code : error),
  );

/** Sends a request on a connection that stays open, and returns the status line of its answer. */
const ask = (socket: TLSSocket, path = "/"): Promise<string> =>
  new Promise((resolve) => {
    socket.once("data", (chunk: Buffer) => resolve(chunk.toString().split("\r\n")[0] ?? ""));
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  });

describe.each(["listener", "raw listener"])("a renewed certificate, %s", (kind) => {
  beforeEach(() => install(""));

  test("[LSN-20] meets new connections; what is under way on those there are is answered", async () => {
    const { listener, port, release } = await opened(kind);
    const early = await connectTls(port);
    expect(nameOf(early)).toBe(OLD);
    const parked = ask(early, "/parked");
    install("renewed-");
    // The request has been taken once another one is answered.
    expect(await nameServed(port)).toBe(OLD);
    await listener.renew();
    const late = await connectTls(port);
    expect(nameOf(late)).toBe(NEW);
    expect(await ask(late)).toBe("HTTP/1.1 200 OK");
    release();
    expect(await parked).toBe("HTTP/1.1 200 OK");
    await listener.stop(50);
    expect(await failureOf(connectTls(port))).toContain("ECONNREFUSED");
    early.destroy();
    late.destroy();
  });

  test("[LSN-21] is not taken up when it cannot be used, and what is wrong with it is told without quoting it", async () => {
    const { listener, port } = await opened(kind);
    copyFileSync(fixture("renewed-cert.pem"), tls.certPath);
    expect(await failureOf(listener.renew())).toContain("is not the key of the certificate");
    writeFileSync(tls.keyPath, "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n");
    expect(await failureOf(listener.renew())).toContain(
      `${tls.keyPath} holds no private key (PEM, without a passphrase)`,
    );
    rmSync(tls.certPath);
    expect(await failureOf(listener.renew())).toContain("ENOENT");
    expect(await nameServed(port)).toBe(OLD);
    install("renewed-");
    await listener.renew();
    expect(await nameServed(port)).toBe(NEW);
    await listener.stop(50);
  });

  test("[LSN-22] what was read and found good is what is used, whatever becomes of the files meanwhile", async () => {
    let isMeddling = false;
    const { listener, port } = await opened(kind, () => {
      if (isMeddling) rmSync(tls.certPath);
    });
    install("renewed-");
    isMeddling = true;
    await listener.renew();
    expect(await nameServed(port)).toBe(NEW);
    await listener.stop(50);
  });
});

describe("a place that cannot be opened again", () => {
  /** Listeners that open when they may; `closed` says what does not open now. */
  function rig() {
    const time = new VirtualTime();
    const state = {
      wanted: "old",
      closed: new Set<string>(),
      opened: [] as string[],
      ended: [] as string[],
      told: [] as string[],
      /** Until then it is being opened, which is when somebody else could open the same place. */
      opening: null as PromiseWithResolvers<void> | null,
    };
    const end = (name: string) => async (): Promise<void> => void state.ended.push(name);
    const listener = renewableListener<string>({
      timers: time,
      read: async () => state.wanted,
      open: async (material) => {
        if (state.closed.has(material)) throw new Error(`${material} cannot be opened`);
        state.opened.push(material);
        await state.opening?.promise;
        const stop = end(material);
        return { address: "https://here", retire: stop, stopAccepting: () => void stop(), stop };
      },
      onClosed: (reason) => void state.told.push(String(reason)),
      onOpen: () => void state.told.push("open"),
    });
    return { time, state, listener };
  }

  test("[LSN-23] is tried again, less and less often, and whoever operates it is told, until clients can come in", async () => {
    const { time, state, listener: opening } = rig();
    const listener = await opening;
    state.wanted = "new";
    state.closed = new Set(["old", "new"]);
    expect(await failureOf(listener.renew())).toContain("new cannot be opened");
    expect(state).toMatchObject({ opened: ["old"], ended: ["old"], told: ["Error: new cannot be opened"] });
    await time.advance(60_000);
    const tries = state.told.length;
    expect(tries).toBeWithin(8, 13);
    state.closed.clear();
    await time.advance(15_000);
    expect(state.opened).toEqual(["old", "new"]);
    expect(state.told.slice(tries)).toEqual(["open"]);
    expect(listener.address).toBe("https://here");
    await time.advance(600_000);
    expect(time.pendingCount).toBe(0);
  });

  test("[LSN-24] opens with what it had where what is new does not open, and a later renewal begins at once", async () => {
    const { time, state, listener: opening } = rig();
    const listener = await opening;
    [state.wanted, state.closed] = ["new", new Set(["new"])];
    expect(await failureOf(listener.renew())).toContain("new cannot be opened");
    expect(state).toMatchObject({ opened: ["old", "old"], told: [] });
    state.closed = new Set(["old", "new"]);
    expect(await failureOf(listener.renew())).toContain("new cannot be opened");
    [state.wanted, state.closed] = ["newer", new Set()];
    await listener.renew();
    expect(state.opened).toEqual(["old", "old", "newer"]);
    expect(time.pendingCount).toBe(0);
  });

  test("[LSN-26] is opened for one renewal after the other, however they overlap, and for a renewal and a retry too", async () => {
    const { time, state, listener: opening } = rig();
    const listener = await opening;
    state.opening = Promise.withResolvers<void>();
    const both = [listener.renew(), listener.renew()];
    await time.advance(0);
    state.wanted = "newer";
    expect(state.opened).toEqual(["old", "old"]);
    state.opening.resolve();
    await Promise.all(both);
    expect(state).toMatchObject({ opened: ["old", "old", "newer"], ended: ["old", "old"], told: [] });

    state.closed = new Set(["newer"]);
    await failureOf(listener.renew());
    state.closed.clear();
    state.opening = Promise.withResolvers<void>();
    await time.advance(250);
    const later = listener.renew();
    state.opening.resolve();
    await later;
    expect(state).toMatchObject({ ended: ["old", "old", "newer", "newer"], told: [expect.anything(), "open"] });
    expect(state.opened.slice(3)).toEqual(["newer", "newer"]);
    expect(time.pendingCount).toBe(0);
  });

  test("[LSN-25] is not opened any more once it is ended", async () => {
    const { time, state, listener: opening } = rig();
    const listener = await opening;
    state.closed = new Set(["old"]);
    await failureOf(listener.renew());
    await listener.stop(10);
    state.closed.clear();
    await time.advance(60_000);
    await listener.renew();
    expect([state.opened, time.pendingCount]).toEqual([["old"], 0]);
  });
});
