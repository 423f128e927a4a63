import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RawFront } from "#test/support/raw-front.ts";
import { rawExchange, RawServer } from "#test/support/raw-http.ts";
import { bodyOf, CLOSE, HOST } from "#test/support/raw-requests.ts";
import { until } from "#test/support/until.ts";

let homeserver: RawServer;
let front: RawFront;

beforeEach(async () => {
  homeserver = await RawServer.start();
  front = await RawFront.start(homeserver);
});
afterEach(async () => {
  await front.stop();
  await homeserver.stop();
});

/** A request for this target, and everything that came back. */
const get = (target: string, headers = ""): Promise<string> =>
  rawExchange(front.url, `GET ${target} HTTP/1.1\r\n${HOST}${CLOSE}${headers}\r\n`);

describe("when something ends early", () => {
  test("[FWD-20] a homeserver that is away is a Matrix error that browsers may read", async () => {
    await homeserver.stop();
    const response = await fetch(`${front.url}/_matrix/client/v3/login`, { method: "POST", body: "{}" });
    expect(response.status).toBe(502);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await response.json()).toEqual({ errcode: "M_UNKNOWN", error: "the homeserver cannot be reached" });
    homeserver = await RawServer.start();
  });

  test("[FWD-21] and so is one that says nothing in time, or closes without a word", async () => {
    const hasty = await RawFront.start(homeserver, 50);
    homeserver.answer = () => {};
    expect((await fetch(`${hasty.url}/_matrix/x`)).status).toBe(502);
    homeserver.answer = (socket) => void socket.destroy();
    expect((await fetch(`${hasty.url}/_matrix/x`, { method: "POST", body: "x" })).status).toBe(502);
    await hasty.stop();
  });

  test("[FWD-22] an answer that breaks off does not look whole", async () => {
    homeserver.answer = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n", () => socket.destroy());
    };
    const answer = await get("/_matrix/x");
    expect(answer).not.toEndWith("0\r\n\r\n");
    await until("the line of it", () => front.log.lines.some(({ message }) => message === "forwarding failed"));
    // Long enough for what comes at once, however busy the machine is.
    const late = await RawFront.start(homeserver, 1500);
    homeserver.answer = (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstuck");
    expect(bodyOf(await rawExchange(late.url, `GET /_matrix/x HTTP/1.1\r\n${HOST}\r\n`))).toBe("stuck");
    await late.stop();
  });

  test("[FWD-23] a client that hangs up ends the call, whether it waits, reads or sends", async () => {
    let closed = 0;
    const answers: ((socket: Socket) => void)[] = [
      () => {},
      (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\npart"),
    ];
    for (const answer of answers) {
      homeserver.answer = (socket) => {
        socket.once("close", () => (closed += 1));
        answer(socket);
      };
      const controller = new AbortController();
      const asking = fetch(`${front.url}/_matrix/x`, { signal: controller.signal }).then((response) => response.text());
      const before = closed;
      await until("the request", () => homeserver.requests.length > before);
      controller.abort();
      await asking.catch(() => {});
      await until("its connection to close", () => closed === before + 1);
    }
    homeserver.answer = (socket) => {
      socket.removeAllListeners("close");
      socket.once("close", () => (closed += 1));
    };
    const sending = rawExchange(front.url, `POST /_matrix/x HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\nonly this`);
    await until("the body", () => homeserver.requests.at(-1)?.body === "only this");
    await front.listener.stop(0);
    await sending.catch(() => {});
    await until("all connections to close", () => closed === 3);
    await until("nothing under way", () => front.metrics.gauges.get("front_forwards_in_flight")?.() === 0);
  });

  test("[FWD-24] an answer before the end of the body reaches the client", async () => {
    homeserver.answer = (socket) => {
      socket.end("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
    };
    const answer = await rawExchange(
      front.url,
      `POST /_matrix/media/v3/upload HTTP/1.1\r\n${HOST}Content-Length: 1000000\r\n\r\nonly the beginning`,
    );
    expect(answer).toStartWith("HTTP/1.1 413 ");
    expect(bodyOf(answer)).toBe("big");
  });

  test("[FWD-25] a connection that was closed while nobody used it is not the client's trouble", async () => {
    for (let times = 0; times < 3; times++) {
      homeserver.answer = (socket) => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      };
      expect(await (await fetch(`${front.url}/_matrix/x`)).text()).toBe("ok");
      const [used] = homeserver.sockets.splice(0);
      // It is closed by the next request, at the very moment of it.
      homeserver.answer = (socket) => {
        if (socket === used) socket.destroy();
        else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nanew!");
      };
      expect(await (await fetch(`${front.url}/_matrix/x`)).text()).toBe("anew!");
    }
  });

  test("[FWD-25] what may not be done twice is not repeated, nor what has a body that is gone", async () => {
    for (const [method, body] of [
      ["POST", null],
      ["PUT", "{}"],
    ] as const) {
      homeserver.answer = (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      expect(await (await fetch(`${front.url}/_matrix/x`)).text()).toBe("ok");
      const [used] = homeserver.sockets.splice(0);
      let reused = 0;
      homeserver.answer = (socket) => {
        if (socket === used) reused += 1;
        socket.destroy();
      };
      const before = homeserver.requests.length;
      expect((await fetch(`${front.url}/_matrix/x`, { method, body })).status).toBe(502);
      expect([reused, homeserver.requests.length - before]).toEqual([1, 1]);
    }
  });

  test("[FWD-26] another protocol is refused, an offer of HTTP/2 is passed over", async () => {
    const upgrade = (to: string): Promise<string> =>
      rawExchange(front.url, `GET /_matrix/x HTTP/1.1\r\n${HOST}Connection: Upgrade, close\r\nUpgrade: ${to}\r\n\r\n`);
    const refused = await upgrade("websocket");
    expect(refused).toStartWith("HTTP/1.1 501 ");
    expect(JSON.parse(bodyOf(refused))).toMatchObject({ errcode: "M_UNRECOGNIZED" });
    expect(homeserver.requests).toEqual([]);
    expect(bodyOf(await upgrade("h2c"))).toBe("ok");
    expect(homeserver.last.headers.join("\n")).not.toMatch(/upgrade/i);
  });
});

describe("where the homeserver is", () => {
  test("[FWD-27] behind a path, and behind a unix socket", async () => {
    const behind = await RawFront.start({ url: `${homeserver.url}/prefix` });
    expect(await (await fetch(`${behind.url}/_matrix/x?y`)).text()).toBe("ok");
    expect(homeserver.last.line).toBe("GET /prefix/_matrix/x?y HTTP/1.1");
    await behind.stop();
    const folder = mkdtempSync(join(tmpdir(), "glissade-forward-"));
    const socketPath = join(folder, "hs.sock");
    const local = await RawServer.start(socketPath);
    const near = await RawFront.start({ url: "http://unix", socketPath });
    const post = `POST /_matrix/%2e%2e/x HTTP/1.1\r\n${HOST}${CLOSE}Content-Length: 1\r\n\r\nb`;
    expect(bodyOf(await rawExchange(near.url, post))).toBe("ok");
    expect([local.last.line, local.last.body]).toEqual(["POST /_matrix/%2e%2e/x HTTP/1.1", "b"]);
    await near.stop();
    await local.stop();
    rmSync(folder, { recursive: true });
  });
});

describe("a homeserver over TLS", () => {
  test("[FWD-32] is believed only with a certificate of its own name, by name and by address", async () => {
    const file = (name: string) => Bun.file(new URL(`../support/tls/${name}.pem`, import.meta.url));
    const tls = Bun.serve({
      port: 0,
      tls: { cert: file("cert"), key: file("key") },
      fetch: () => new Response("told"),
    });
    for (const host of ["localhost", "127.0.0.1"]) {
      const behind = await RawFront.start({ url: `https://${host}:${tls.port}` });
      expect((await fetch(`${behind.url}/_matrix/x`)).status).toBe(502);
      expect(String(behind.log.lines[0]?.fields["reason"])).toMatch(/CERT|ALTNAME/);
      await behind.stop();
    }
    await tls.stop(true);
  });
});

describe("an address that leads back", () => {
  test("[FWD-31] a request that comes back is an error that says so, and goes round no more", async () => {
    let passes = 0;
    homeserver.answer = (socket, { line, headers }) => {
      passes += 1;
      const again = [line, ...headers.filter((header) => !/^connection:/i.test(header)), "Connection: close"].join(
        "\r\n",
      );
      rawExchange(front.url, `${again}\r\n\r\n`).then(
        (answer) => socket.end(answer),
        () => socket.destroy(),
      );
    };
    const response = await fetch(`${front.url}/_matrix/client/v3/login`);
    expect(response.status).toBe(508);
    expect(((await response.json()) as { error: string }).error).toContain("SYNCV3_SERVER leads back to Glissade");
    expect(passes).toBe(1);
    expect(front.log.lines[0]).toMatchObject({ level: "error", message: "SYNCV3_SERVER leads back to glissade" });
    // Ours would wait for itself.
    const own = await fetch(`${front.url}/_matrix/client/versions`, {
      headers: { "x-glissade-front": "other, front" },
    });
    expect(own.status).toBe(508);
    expect(
      (await fetch(`${front.url}/_matrix/client/versions`, { headers: { "x-glissade-front": "other" } })).status,
    ).toBe(200);
  });
});
