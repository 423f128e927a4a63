import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Elysia } from "elysia";
import type { Config } from "#src/config.ts";
import { listen } from "#src/http/listener.ts";
import type { Listener } from "#src/http/listener.ts";
import { probeHealth } from "#src/http/probe-health.ts";
import { systemTimers } from "#src/system.ts";
import { freePort } from "#test/support/ports.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const folder = mkdtempSync(join(tmpdir(), "glissade-listener-"));
afterAll(() => rmSync(folder, { recursive: true }));

let sockets = 0;
const socketBind = (): Config["bind"] & { kind: "unix" } => ({ kind: "unix", path: join(folder, `${sockets++}.sock`) });

const open = (bind: Config["bind"], fetch: (request: Request) => Response | Promise<Response>): Promise<Listener> =>
  listen({ bind, tls: null, fetch, timers: systemTimers });

/** Made for `sync.example.org`, signed by itself. */
const fixture = (path: string): string => new URL(`../../support/${path}`, import.meta.url).pathname;

const failureOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "no failure",
    (error: unknown) => String(error),
  );

describe("listen", () => {
  test("[LSN-1] a port, in either address family, and a unix socket anybody may connect to", async () => {
    const hello = (): Response => new Response("hello");
    const v4 = await open({ kind: "tcp", host: "127.0.0.1", port: 0 }, hello);
    expect(v4.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await (await fetch(v4.address)).text()).toBe("hello");
    const bind = socketBind();
    const socket = await open(bind, hello);
    expect(socket.address).toBe(bind.path);
    expect(statSync(bind.path).mode & 0o777).toBe(0o222);
    expect(await (await fetch("http://localhost/", { unix: bind.path })).text()).toBe("hello");
    await Promise.all([v4.stop(100), socket.stop(100)]);
  });

  test("[LSN-7] the path is the same behind every name of a host, the shortest and none at all too", async () => {
    const app = new Elysia()
      .post("/sync", async ({ request }) => new Response(`sync ${await request.text()}`))
      .all("/*", () => new Response("another path"));
    const listener = await open({ kind: "tcp", host: "127.0.0.1", port: 0 }, (request) => app.handle(request));
    const socket = await open(socketBind(), (request) => app.handle(request));
    for (const host of ["x", "hs", "abc", "abcd", "x:1", "matrix.example.org:8008", "[::1]"]) {
      for (const at of [listener, socket]) {
        const [url, unix] = at === listener ? [at.address, undefined] : ["http://localhost", at.address];
        const ask = async (path: string): Promise<string> => {
          const init = { method: "POST", body: "body", headers: { host }, ...(unix === undefined ? {} : { unix }) };
          return (await fetch(`${url}${path}`, init)).text();
        };
        expect([host, await ask("/sync?a=/b")]).toEqual([host, "sync body"]);
        expect([host, await ask("/hidden/sync")]).toEqual([host, "another path"]);
      }
    }
    await Promise.all([listener.stop(100), socket.stop(100)]);
  });

  test("[LSN-7] whoever hangs up is noticed behind the shortest name as well", async () => {
    const [here, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<string>()];
    const listener = await open({ kind: "tcp", host: "127.0.0.1", port: 0 }, (request) => {
      request.signal.addEventListener("abort", () => gone.resolve("gone"));
      here.resolve();
      return new Promise<Response>(() => {});
    });
    const hangUp = new AbortController();
    const asked = fetch(listener.address, { headers: { host: "x" }, signal: hangUp.signal }).catch(() => null);
    await here.promise;
    hangUp.abort();
    expect(await gone.promise).toBe("gone");
    await asked;
    await listener.stop(0);
  });

  test("[LSN-2] a socket left behind is removed, a live one and any other file are not", async () => {
    const stale = socketBind();
    const crashed = Bun.spawnSync([
      process.execPath,
      "-e",
      `Bun.serve({ unix: ${JSON.stringify(stale.path)}, fetch: () => new Response() }); process.kill(process.pid, "SIGKILL")`,
    ]);
    expect(crashed.signalCode).toBe("SIGKILL");
    expect(statSync(stale.path).isSocket()).toBe(true);
    const listener = await open(stale, () => new Response("mine"));
    expect(await (await fetch("http://localhost/", { unix: stale.path })).text()).toBe("mine");
    expect(await failureOf(open(stale, () => new Response("thief")))).toContain("another process listens");
    const file = join(folder, "file");
    writeFileSync(file, "precious");
    expect(await failureOf(open({ kind: "unix", path: file }, () => new Response()))).toContain("not a socket");
    await listener.stop(100);
    expect(await Bun.file(file).text()).toBe("precious");
  });

  test("[LSN-3] a port that is taken is an error", async () => {
    const port = await freePort();
    const first = await open({ kind: "tcp", host: "127.0.0.1", port }, () => new Response());
    const second = open({ kind: "tcp", host: "127.0.0.1", port }, () => new Response());
    expect(await failureOf(second)).toContain(`cannot listen on 127.0.0.1:${port}`);
    await first.stop(100);
  });

  test("[LSN-4] what is in flight is answered after stopAccepting, what comes later is turned away", async () => {
    const held = Promise.withResolvers<Response>();
    const arrived = Promise.withResolvers<void>();
    const listener = await open({ kind: "tcp", host: "127.0.0.1", port: 0 }, (request) => {
      if (!request.url.endsWith("/held")) return new Response("served");
      arrived.resolve();
      return held.promise;
    });
    const inFlight = fetch(`${listener.address}/held`);
    await arrived.promise;
    // A second connection, kept alive.
    expect(await (await fetch(`${listener.address}/other`)).text()).toBe("served");
    listener.stopAccepting();
    const later = await fetch(`${listener.address}/other`).then(
      async (response) => [response.status, await response.text()],
      () => "refused",
    );
    expect(later).not.toEqual([200, "served"]);
    held.resolve(new Response("in time"));
    expect(await (await inFlight).text()).toBe("in time");
    await listener.stop(1000);
  });

  test("[LSN-5] stop cuts what does not end in time", async () => {
    const time = new VirtualTime();
    const arrived = Promise.withResolvers<void>();
    const listener = await listen({
      bind: { kind: "tcp", host: "127.0.0.1", port: 0 },
      tls: null,
      timers: time,
      fetch: () => {
        arrived.resolve();
        return new Promise(() => {});
      },
    });
    const cut = fetch(listener.address).then(
      () => "answered",
      () => "cut",
    );
    await arrived.promise;
    const closed = listener.stop(5000);
    await time.advance(5000);
    await closed;
    expect(await cut).toBe("cut");
  });

  test("[LSN-6] a client that hangs up is noticed by its handler", async () => {
    const aborted = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const listener = await open({ kind: "tcp", host: "127.0.0.1", port: 0 }, (request) => {
      arrived.resolve();
      return new Promise<Response>((resolve) => {
        request.signal.addEventListener("abort", () => {
          aborted.resolve();
          resolve(new Response());
        });
      });
    });
    const abort = new AbortController();
    const call = fetch(listener.address, { signal: abort.signal }).catch(() => null);
    await arrived.promise;
    abort.abort();
    await Promise.all([aborted.promise, call]);
    await listener.stop(100);
  });
});

describe("probeHealth", () => {
  const serveHealth =
    (status: number) =>
    (request: Request): Response =>
      new URL(request.url).pathname === "/health/ready"
        ? new Response(`status ${status}`, { status })
        : new Response("wrong path", { status: 404 });

  test("[HLT-10] asks a port by the address that is reachable, and a unix socket", async () => {
    const port = await freePort();
    const onPort = await open({ kind: "tcp", host: "127.0.0.1", port }, serveHealth(200));
    expect(await probeHealth({ bind: { kind: "tcp", host: "0.0.0.0", port }, tls: null })).toEqual({
      ready: true,
      text: "status 200",
    });
    const bind = socketBind();
    const onSocket = await open(bind, serveHealth(503));
    expect(await probeHealth({ bind, tls: null })).toEqual({ ready: false, text: "status 503" });
    await Promise.all([onPort.stop(100), onSocket.stop(100)]);
  });

  test("[HLT-11] asks over TLS, whatever name the certificate is made for", async () => {
    const tls = { certPath: fixture("tls/cert.pem"), keyPath: fixture("tls/key.pem") };
    const port = await freePort();
    const bind = { kind: "tcp", host: "127.0.0.1", port } as const;
    const listener = await listen({ bind, tls, fetch: serveHealth(200), timers: systemTimers });
    expect(listener.address).toStartWith("https://");
    expect(await probeHealth({ bind, tls })).toEqual({ ready: true, text: "status 200" });
    await listener.stop(100);
  });

  test("[HLT-12] where nobody listens nothing is ready; it says where it looked", async () => {
    const port = await freePort();
    const health = await probeHealth({ bind: { kind: "tcp", host: "::", port }, tls: null });
    expect(health.ready).toBe(false);
    expect(health.text).toBe(`no answer at http://[::1]:${port}: nobody listens there`);
    const path = `${tmpdir()}/glissade-nobody.sock`;
    expect((await probeHealth({ bind: { kind: "unix", path }, tls: null })).text).toBe(
      `no answer at ${path}: nobody listens there`,
    );
  });
});
