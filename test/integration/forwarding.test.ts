import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { gunzipSync, gzipSync } from "node:zlib";
import { RawFront } from "#test/support/raw-front.ts";
import { isWhole, rawExchange, RawServer } from "#test/support/raw-http.ts";
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

const says = (text: string | Uint8Array): void => {
  homeserver.answer = (socket, request) => {
    if (isWhole(request)) socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text);
  };
};
describe("what the homeserver gets", () => {
  test.each([
    "/_matrix/client/v3/rooms/!a%3Ab/../x",
    "/_matrix/%2e%2e/%2E%2E/etc/passwd",
    "/_matrix/./a/.",
    "/_matrix/a\\b",
    "/_matrix//double///slash/",
    "/_matrix/client/v3/directory/room/%23a%2Fb%3Aexample.org",
    "/_matrix/client/v3/rooms/!r:hs/state/t/%F0%9F%92%A9%00",
    "/_matrix/a+b?c+d=%20&e=%7E~&f='\"<>|^`{}",
    "/_matrix/x?",
    "/_matrix/x??a=../b&&=",
    "/_matrix/x#fragment",
    "/_matrix/a;p=1,2/b@c:d!$&'()*=",
    "/_matrix/broken%zz%",
    "/_synapse/admin/v1/x?from=0",
    "/.well-known/matrix/client",
  ])("[FWD-4] %s, byte for byte", async (target) => {
    expect(bodyOf(await get(target))).toBe("ok");
    expect(homeserver.last.line).toBe(`GET ${target} HTTP/1.1`);
  });

  test("[FWD-5] a target that cannot be handed on as it is, is refused", async () => {
    for (const path of ["/_matrix/ü", "/_matrix/x?ü", "/_matrix/\u0001", "/_matrix/\u007f"]) {
      const answer = await rawExchange(front.url, Buffer.from(`GET ${path} HTTP/1.1\r\n${HOST}${CLOSE}\r\n`));
      expect(answer).toStartWith("HTTP/1.1 400 ");
      expect(JSON.parse(bodyOf(answer))).toEqual({
        errcode: "M_UNRECOGNIZED",
        error: "the path or query holds bytes that have to be percent-encoded",
      });
      expect(answer.toLowerCase()).toContain("access-control-allow-origin: *");
    }
    const long = await get(`/_matrix/${"x".repeat(40_000)}`);
    expect(long).toStartWith("HTTP/1.1 431 ");
    expect(bodyOf(await get("http://elsewhere/_matrix/x"))).toContain("M_UNRECOGNIZED");
    expect(homeserver.requests).toEqual([]);
  });

  test("[FWD-6] headers as they came, with its own Host and who asked", async () => {
    await get(
      "/_matrix/x",
      "X-MiXed:  spaced value \r\nAuthorization: Bearer t\r\nX-Twice: 1\r\nx-twice: 2\r\nAccept-Encoding: br\r\n",
    );
    expect(homeserver.last.headers).toEqual([
      "Host: matrix.example.org",
      "X-MiXed: spaced value",
      "Authorization: Bearer t",
      "X-Twice: 1",
      "x-twice: 2",
      "Accept-Encoding: br",
      "X-Forwarded-For: 127.0.0.1",
      "X-Forwarded-Proto: http",
      "x-glissade-front: front",
      "Connection: keep-alive",
    ]);
  });

  test("[FWD-7] bodies as they came: with a length, in chunks, compressed, and none", async () => {
    const packed = gzipSync("a body").toString("latin1");
    const send = (head: string, body: string): Promise<string> =>
      rawExchange(front.url, `PUT /_matrix/x HTTP/1.1\r\n${HOST}${CLOSE}${head}\r\n${body}`);
    await send(`Content-Encoding: gzip\r\nContent-Length: ${packed.length}\r\n`, packed);
    expect(homeserver.last.body).toBe(packed);
    expect(homeserver.last.headers).toContain("Content-Encoding: gzip");
    await send("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n");
    expect(homeserver.last.body.replaceAll(/(^|\r\n)[0-9a-f]+\r\n/g, "")).toBe("abcde\r\n");
    await send("", "");
    expect(homeserver.last.headers.filter((header) => /^(transfer|content)-/i.test(header))).toEqual([
      "Content-Length: 0",
    ]);
    // A body that any method may have.
    await rawExchange(front.url, `DELETE /_matrix/x HTTP/1.1\r\n${HOST}${CLOSE}Content-Length: 2\r\n\r\n{}`);
    expect(homeserver.last.body).toBe("{}");
  });

  test("[FWD-9] who waits to be asked for the body is asked", async () => {
    const { hostname, port } = new URL(front.url);
    const head = `PUT /_matrix/x HTTP/1.1\r\n${HOST}${CLOSE}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n`;
    const answer = await new Promise<string>((resolve) => {
      let received = "";
      const socket = connect(Number(port), hostname, () => socket.write(head));
      socket.on("data", (piece) => {
        if (received === "") socket.write("body");
        received += piece.toString("latin1");
      });
      socket.on("close", () => resolve(received));
    });
    expect(answer).toStartWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
    expect(homeserver.last.body).toBe("body");
    expect(homeserver.last.headers.join()).not.toContain("Expect");
  });

  test("[FWD-10] header values of any bytes that HTTP allows, in both directions", async () => {
    says("HTTP/1.1 200 OK\r\nX-Value: caf\xe9 \xff\r\nContent-Length: 0\r\n\r\n");
    expect(await get("/_matrix/x", "X-Value: caf\xe9 \xff\r\n")).toContain("X-Value: caf\xe9 \xff\r\n");
    expect(homeserver.last.headers).toContain("X-Value: caf\xe9 \xff");
  });

  test("[FWD-8] requests that two servers would read differently are refused", async () => {
    const both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n";
    const answer = await rawExchange(front.url, `POST /_matrix/x HTTP/1.1\r\n${HOST}${both}\r\n0\r\n\r\n`);
    expect(answer).toStartWith("HTTP/1.1 400 ");
    expect(homeserver.requests).toEqual([]);
  });
});

describe("what the client gets", () => {
  test("[FWD-14] status, reason, headers and body as the homeserver sent them", async () => {
    const packed = gzipSync("an answer");
    const head =
      "HTTP/1.1 418 I am a Teapot\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-CaSe: v\r\nContent-Encoding: gzip\r\n";
    says(Buffer.concat([Buffer.from(`${head}Content-Length: ${packed.length}\r\n\r\n`), packed]));
    const answer = await get("/_matrix/x");
    expect(answer).toStartWith(head);
    expect(gunzipSync(Buffer.from(bodyOf(answer), "latin1")).toString()).toBe("an answer");
    expect(answer).not.toMatch(/\r\ndate:/i);
  });

  test("[FWD-15] no body where there is none: HEAD, 204, 304; a part where a part was asked for", async () => {
    says("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    const head = await rawExchange(front.url, `HEAD /_matrix/x HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
    expect(head).toContain("Content-Length: 1234");
    expect(bodyOf(head)).toBe("");
    says("HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n");
    const none = await get("/_matrix/x");
    expect([none.split("\r\n")[0], bodyOf(none)]).toEqual(["HTTP/1.1 204 No Content", ""]);
    says('HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n');
    const same = await get("/_matrix/x", 'If-None-Match: "e"\r\n');
    expect(same).toContain('ETag: "e"');
    expect(bodyOf(same)).toBe("");
    says("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/9\r\nContent-Length: 2\r\n\r\ncd");
    expect(bodyOf(await get("/_matrix/x", "Range: bytes=2-3\r\n"))).toBe("cd");
    expect(homeserver.last.headers).toContain("Range: bytes=2-3");
  });

  test("[FWD-16] a redirection is the client's to follow", async () => {
    says("HTTP/1.1 307 Temporary Redirect\r\nLocation: https://cdn.example.org/x\r\nContent-Length: 0\r\n\r\n");
    expect(await get("/_matrix/media/v3/download/hs/x")).toContain("Location: https://cdn.example.org/x");
    expect(homeserver.requests).toHaveLength(1);
  });

  test("[FWD-17] a body without a length is streamed as it comes", async () => {
    const pieces: Socket[] = [];
    homeserver.answer = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
      pieces.push(socket);
    };
    const response = await fetch(`${front.url}/_matrix/x`);
    const reader = response.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe("first");
    pieces[0]?.write("6\r\nsecond\r\n0\r\n\r\n");
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe("second");
    expect((await reader?.read())?.done).toBe(true);
  });

  test("[FWD-18] the homeserver's own answer to a preflight", async () => {
    says("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Methods: PURGE\r\nContent-Length: 0\r\n\r\n");
    const response = await fetch(`${front.url}/_matrix/client/v3/login`, { method: "OPTIONS" });
    expect(response.headers.get("access-control-allow-methods")).toBe("PURGE");
  });
});

describe("what is ours", () => {
  const SYNC = "/_matrix/client/unstable/org.matrix.msc3575/sync";

  test("[FWD-28] requests of ours reach us with target, headers and body", async () => {
    front.own = async (request) => Response.json({ url: request.url, body: await request.text() }, { status: 201 });
    const response = await fetch(`${front.url}${SYNC}?pos=a%2Fb`, {
      method: "POST",
      body: '{"lists":{}}',
      headers: { authorization: "Bearer t" },
    });
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual({ url: `http://localhost${SYNC}?pos=a%2Fb`, body: '{"lists":{}}' });
    expect(front.ownRequests[0]?.headers.get("authorization")).toBe("Bearer t");
    expect(homeserver.requests).toEqual([]);
  });

  test("[FWD-28] of a body that is too large for us no more is read than proves it", async () => {
    front.own = (request) => new Response(request.headers.get("content-length"));
    const declared = await rawExchange(front.url, `POST ${SYNC} HTTP/1.1\r\n${HOST}Content-Length: 99999999\r\n\r\n`);
    expect([bodyOf(declared), /connection: close/i.test(declared)]).toEqual(["99999999", true]);
    const piece = `10000\r\n${"x".repeat(65_536)}\r\n`;
    const chunked = await rawExchange(
      front.url,
      `POST ${SYNC} HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${piece.repeat(17)}`,
    );
    expect(Number(bodyOf(chunked))).toBeGreaterThan(1024 * 1024);
  });

  test("[FWD-29] a client of ours that hangs up is noticed", async () => {
    const noticed = Promise.withResolvers<void>();
    front.own = (request) => {
      request.signal.addEventListener("abort", () => noticed.resolve());
      return new Promise<Response>(() => {});
    };
    const controller = new AbortController();
    const asking = fetch(`${front.url}${SYNC}`, { method: "POST", body: "{}", signal: controller.signal });
    await until("the request that is ours", () => front.ownRequests.length === 1);
    controller.abort();
    await asking.catch(() => {});
    await noticed.promise;
  });
});

describe("what is told of it", () => {
  test("[FWD-30] a line and figures, without token, query, path or body", async () => {
    const url = `${front.url}/_matrix/client/v3/rooms/!secret:hs/send/m.x/1?access_token=sesame`;
    await fetch(url, { method: "PUT", body: "sesame", headers: { authorization: "Bearer sesame" } });
    await until("its line", () => front.log.lines.length === 1);
    expect(front.log.lines[0]).toMatchObject({
      level: "debug",
      message: "forwarded",
      fields: { method: "PUT", route: "rooms", status: 200, bytes_in: 6, bytes_out: 2 },
    });
    expect(front.metrics.of("front_forwarded_requests_total", { route: "rooms", status: "200" })).toBe(1);
    expect(front.metrics.of("front_forwarded_bytes_total", { direction: "in" })).toBe(6);
    await homeserver.stop();
    await fetch(url, { method: "PUT", body: "sesame" });
    await until("the next line", () => front.log.lines.length === 2);
    expect(JSON.stringify(front.log.lines)).not.toMatch(/sesame|secret/);
    homeserver = await RawServer.start();
  });

  test("[FWD-43] the homeserver's yes is told with the token, its no is not", async () => {
    const upload = `${front.url}/_matrix/client/v3/keys/upload`;
    await fetch(upload, { method: "POST", body: "{}", headers: { authorization: "Bearer tok" } });
    await fetch(`${upload}?access_token=old`, { method: "POST", body: "{}" });
    await fetch(upload, { method: "POST", body: "{}" });
    expect(front.effects).toEqual([
      { accessToken: "tok", effect: { type: "news" } },
      { accessToken: "old", effect: { type: "news" } },
    ]);
    says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    await fetch(upload, { method: "POST", body: "{}", headers: { authorization: "Bearer tok" } });
    expect(front.effects).toHaveLength(2);
  });
});
