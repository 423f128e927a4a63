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
