import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "#src/config.ts";
import type { Listener } from "#src/http/listener.ts";
import { listenRaw } from "#src/http/raw-listener.ts";
import { systemTimers } from "#src/system.ts";
import { freePort } from "#test/support/ports.ts";

const folder = mkdtempSync(join(tmpdir(), "glissade-raw-listener-"));
afterAll(() => rmSync(folder, { recursive: true }));

type Handle = (request: IncomingMessage, response: ServerResponse) => void;
const HERE = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
const open = (bind: Config["bind"], handle: Handle, tls: Config["tls"] = null): Promise<Listener> =>
  listenRaw({ bind, tls, handle, timers: systemTimers });
const hello: Handle = (_request, response) => void response.end("hello");
const fixture = (path: string): string => new URL(`../../support/${path}`, import.meta.url).pathname;

describe("listenRaw", () => {
  test("[LSN-10] a port, over TLS too, and a unix socket anybody may connect to", async () => {
    const plain = await open(HERE, hello);
    expect(plain.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await (await fetch(plain.address)).text()).toBe("hello");
    const tls = await open(HERE, hello, { certPath: fixture("tls/cert.pem"), keyPath: fixture("tls/key.pem") });
    expect(tls.address).toStartWith("https://");
    expect(await (await fetch(tls.address, { tls: { rejectUnauthorized: false } })).text()).toBe("hello");
    const path = join(folder, "front.sock");
    const socket = await open({ kind: "unix", path }, hello);
    expect(statSync(path).mode & 0o777).toBe(0o222);
    expect(await (await fetch("http://localhost/", { unix: path })).text()).toBe("hello");
    await Promise.all([plain.stop(100), tls.stop(100), socket.stop(100)]);
  });

  test("[LSN-11] a port that is taken is an error", async () => {
    const port = await freePort();
    const first = await open({ ...HERE, port }, hello);
    const failure = await open({ ...HERE, port }, hello).catch((error: unknown) => String(error));
    expect(failure).toContain(`cannot listen on 127.0.0.1:${port}`);
    await first.stop(100);
  });

  test("[LSN-12] what is in flight is answered after stopAccepting, what comes on the same connection is turned away", async () => {
    const held = Promise.withResolvers<ServerResponse>();
    const listener = await open(HERE, (request, response) => {
      if (request.url === "/held") held.resolve(response);
      else response.end("served");
    });
    const inFlight = fetch(`${listener.address}/held`);
    const response = await held.promise;
    listener.stopAccepting();
    response.end("in time");
    expect(await (await inFlight).text()).toBe("in time");
    const later = await fetch(`${listener.address}/later`).then(
      (answer) => answer.status,
      () => "refused",
    );
    expect(["refused", 503]).toContain(later);
    await listener.stop(1000);
  });

  test("[LSN-13] stop cuts what does not end in time", async () => {
    const arrived = Promise.withResolvers<void>();
    const listener = await open(HERE, () => arrived.resolve());
    const cut = fetch(listener.address).then(
      () => "answered",
      () => "cut",
    );
    await arrived.promise;
    await listener.stop(20);
    expect(await cut).toBe("cut");
  });
});
