import { afterEach, describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import type { HomeserverDeps } from "#src/homeserver/client.ts";
import { createHomeserver } from "#src/homeserver/client.ts";
import type { Homeserver, SyncRequestParams } from "#src/ports/homeserver.ts";
import type { RoomId, UserId } from "#src/protocol/ids.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { until } from "#test/support/until.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

type Handler = (request: Request, url: URL) => Response | Promise<Response>;

const stops: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

/** A homeserver of one function; `seen` are the requests it got, versions aside. */
function serve(handler: Handler, versions: (() => Response | Promise<Response>) | string[] = ["v1.1"]) {
  const seen: { method: string; path: string; query: string; headers: Headers; body: string }[] = [];
  let versionsAsked = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname.endsWith("/_matrix/client/versions")) {
        versionsAsked++;
        return typeof versions === "function"
          ? versions()
          : Response.json({ versions, unstable_features: { a: true, b: 1 } });
      }
      const { method, headers } = request;
      seen.push({ method, path: url.pathname, query: url.search, headers, body: await request.clone().text() });
      return handler(request, url);
    },
  });
  stops.push(() => server.stop(true));
  return { url: `http://127.0.0.1:${server.port}`, seen, versionsAsked: () => versionsAsked };
}

function clientOf(url: string, more: Partial<HomeserverDeps> = {}): Homeserver {
  const address = { url, socketPath: null };
  return createHomeserver({
    address,
    version: "1.2.3",
    clock: systemClock,
    timers: systemTimers,
    deadlineMs: 5000,
    ...more,
  });
}

const PARAMS: SyncRequestParams = {
  accessToken: "secret",
  since: "s1#a b",
  timeoutMs: 30_000,
  presence: "offline",
  filter: '{"a":1}',
  deadlineMs: 5000,
  traceparent: null,
};
const sync = (client: Homeserver, params: Partial<SyncRequestParams> = {}) =>
  client.sync({ ...PARAMS, ...params }, new AbortController());

describe("sync", () => {
  test("[UPS-10] asks with the parameters in their order, the token in a header", async () => {
    const upstream = serve(() => new Response('{"next_batch":"s2"}'));
    const client = clientOf(upstream.url);
    const result = await sync(client);
    expect(result.ok && new TextDecoder().decode(result.value)).toBe('{"next_batch":"s2"}');
    const [request] = upstream.seen;
    expect(request).toMatchObject({
      method: "GET",
      path: "/_matrix/client/v3/sync",
      query:
        "?timeout=30000&since=s1%23a%20b&set_presence=offline&filter=%7B%22a%22%3A1%7D&use_state_after=true&org.matrix.msc4222.use_state_after=true",
    });
    expect(request?.headers.get("authorization")).toBe("Bearer secret");
    expect(request?.headers.get("user-agent")).toBe("Glissade/1.2.3");
    expect(request?.headers.has("traceparent")).toBe(false);
    await sync(client, { since: null, presence: "unavailable" });
    expect(upstream.seen[1]?.query).toStartWith("?timeout=30000&set_presence=unavailable&");
    expect(upstream.versionsAsked()).toBe(1);
  });

  test.each([
    [["r0.6.1", "v1.1"], "v3"],
    [["v1.12"], "v3"],
    [["v2.0"], "v3"],
    [["r0.5.0", "r0.6.1"], "r0"],
    [[], "r0"],
    [() => new Response("not found", { status: 404 }), "r0"],
    [() => new Response("bad gateway", { status: 502 }), "r0"],
    [() => new Response("<html>"), "r0"],
  ] as [string[] | (() => Response), string][])("[UPS-11] versions %p: %s", async (versions, prefix) => {
    const upstream = serve(() => new Response("{}"), versions);
    await sync(clientOf(upstream.url));
    expect(upstream.seen[0]?.path).toBe(`/_matrix/client/${prefix}/sync`);
  });

  test("[UPS-19] an endpoint served under the other prefix only is found there, and remembered", async () => {
    const upstream = serve(
      ({ url }) =>
        new URL(url).pathname.startsWith("/_matrix/client/r0/")
          ? new Response('{"next_batch":"s2"}')
          : new Response("404 page not found", { status: 404 }),
      ["v1.1"],
    );
    const client = clientOf(upstream.url);
    expect((await sync(client)).ok).toBe(true);
    expect((await sync(client)).ok).toBe(true);
    expect(upstream.seen.map(({ path }) => path.split("/")[3])).toEqual(["v3", "r0", "r0"]);
    // Calls that go wrong at the same time find it together.
    const both = clientOf(upstream.url);
    expect((await Promise.all([sync(both), sync(both)])).map(({ ok }) => ok)).toEqual([true, true]);
    const none = serve(() => new Response("{}", { status: 404 }), ["v1.1"]);
    const lost = await sync(clientOf(none.url));
    expect(lost).toMatchObject({ ok: false, failure: { kind: "refused", status: 404 } });
  });

  test("[UPS-12] a path in front and compressed bodies work", async () => {
    const body = Bun.gzipSync(new TextEncoder().encode('{"next_batch":"s2"}'));
    const upstream = serve(() => new Response(body, { headers: { "content-encoding": "gzip" } }));
    const result = await sync(clientOf(`${upstream.url}/prefix`));
    expect(result.ok && new TextDecoder().decode(result.value)).toBe('{"next_batch":"s2"}');
    expect(upstream.seen[0]?.path).toBe("/prefix/_matrix/client/v3/sync");
  });

  test("[UPS-13] a unix socket works", async () => {
    const socketPath = `${tmpdir()}/glissade-client-${process.pid}.sock`;
    const server = Bun.serve({
      unix: socketPath,
      fetch: (request) => Response.json({ versions: ["v1.1"], path: new URL(request.url).pathname }),
    });
    stops.push(() => server.stop(true));
    const result = await sync(clientOf("http://unix", { address: { url: "http://unix", socketPath } }));
    expect(result.ok && JSON.parse(new TextDecoder().decode(result.value))).toMatchObject({
      path: "/_matrix/client/v3/sync",
    });
  });

  test("[UPS-14] a homeserver that is away, silent or cut off is transient", async () => {
    expect(await sync(clientOf("http://127.0.0.1:1"))).toMatchObject({
      ok: false,
      failure: { kind: "transient", reason: "ECONNREFUSED" },
    });
    const silent = serve(() => new Promise<Response>(() => {}));
    expect(await sync(clientOf(silent.url), { deadlineMs: 50 })).toMatchObject({
      ok: false,
      failure: { kind: "transient", reason: "deadline" },
    });
    const endless = serve(
      () => new Response(new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode("{")) })),
    );
    expect(await sync(clientOf(endless.url), { deadlineMs: 100 })).toMatchObject({
      ok: false,
      failure: { kind: "transient", reason: "deadline" },
    });
  });

  test("[UPS-15] ends when its caller gives up", async () => {
    const reached = Promise.withResolvers<void>();
    const upstream = serve(() => {
      reached.resolve();
      return new Promise<Response>(() => {});
    });
    const controller = new AbortController();
    const result = clientOf(upstream.url).sync(PARAMS, controller);
    await reached.promise;
    controller.abort();
    expect(await result).toMatchObject({ ok: false, failure: { kind: "transient", reason: "aborted" } });
  });

  test("[UPS-16] bodies are bounded, whether or not they say how long they are", async () => {
    const stream = () =>
      new ReadableStream({
        start(controller) {
          controller.enqueue(new Uint8Array(2000));
          controller.close();
        },
      });
    for (const body of [() => new Uint8Array(2000), stream]) {
      const upstream = serve(() => new Response(body()));
      const client = clientOf(upstream.url, { maxSyncBytes: 1000 });
      expect(await sync(client)).toMatchObject({ ok: false, failure: { reason: "body too large" } });
    }
  });

  test("[UPS-17] the token does not follow a redirect to another origin", async () => {
    const other = serve(() => new Response("{}"));
    const upstream = serve(() => new Response(null, { status: 302, headers: { location: `${other.url}/x` } }));
    expect(await sync(clientOf(upstream.url))).toMatchObject({
      ok: false,
      failure: { kind: "transient", reason: "redirected to another origin" },
    });
    expect(other.seen).toHaveLength(0);
    const same = serve((_request, url) =>
      url.pathname === "/there"
        ? new Response('{"a":1}')
        : new Response(null, { status: 307, headers: { location: "/there" } }),
    );
    expect((await sync(clientOf(same.url))).ok).toBe(true);
    const endless = serve(() => new Response(null, { status: 302, headers: { location: "/again" } }));
    expect((await sync(clientOf(endless.url))).ok).toBe(false);
    expect(endless.seen).toHaveLength(4);
  });

  test("[UPS-18] refusals are classified with their body and headers", async () => {
    const upstream = serve(() =>
      Response.json({ errcode: "M_LIMIT_EXCEEDED" }, { status: 429, headers: { "retry-after": "2" } }),
    );
    expect(await sync(clientOf(upstream.url))).toMatchObject({
      ok: false,
      failure: { kind: "transient", retryAfterMs: 2000, status: 429 },
    });
    const dead = serve(() => Response.json({ errcode: "M_UNKNOWN_TOKEN", soft_logout: true }, { status: 401 }));
    expect(await sync(clientOf(dead.url))).toMatchObject({ ok: false, failure: { kind: "auth", softLogout: true } });
  });
});

describe("the other calls", () => {
  test("[UPS-20] whoami", async () => {
    const answers = [
      { user_id: "@a:hs", device_id: "D", is_guest: true },
      { user_id: "@a:hs" },
      { device_id: "D" },
      "garbage",
    ];
    const upstream = serve(() => Response.json(answers[upstream.seen.length - 1]));
    const client = clientOf(upstream.url);
    expect(await client.whoami("t")).toEqual({
      ok: true,
      value: { userId: "@a:hs", deviceId: "D", isGuest: true },
    } as Awaited<ReturnType<Homeserver["whoami"]>>);
    expect(await client.whoami("t")).toMatchObject({ ok: true, value: { deviceId: null, isGuest: false } });
    expect(await client.whoami("t")).toMatchObject({ ok: false, failure: { kind: "transient" } });
    expect(await client.whoami("t")).toMatchObject({ ok: false, failure: { kind: "transient" } });
    expect(upstream.seen[0]?.path).toBe("/_matrix/client/v3/account/whoami");
  });

  test("[UPS-21] a 403 of whoami is no dead token", async () => {
    const upstream = serve(() => Response.json({ errcode: "M_FORBIDDEN" }, { status: 403 }));
    expect(await clientOf(upstream.url).whoami("t")).toMatchObject({ ok: false, failure: { kind: "refused" } });
  });

  test("[UPS-24] state of a room and rooms of a user; half a list of rooms is none", async () => {
    const upstream = serve(({ url }) =>
      new URL(url).pathname.endsWith("/state")
        ? new Response("[]")
        : new Response('{"joined_rooms":["!a:hs",7,"!b:hs"]}'),
    );
    const client = clientOf(upstream.url);
    const state = await client.roomState("secret", "!a/b:hs" as RoomId);
    expect(state.ok && new TextDecoder().decode(state.value)).toBe("[]");
    expect(upstream.seen[0]?.path).toBe("/_matrix/client/v3/rooms/!a%2Fb%3Ahs/state");
    expect(upstream.seen[0]?.headers.get("authorization")).toBe("Bearer secret");
    expect(await client.joinedRooms("secret")).toEqual({ ok: true, value: ["!a:hs" as RoomId, "!b:hs" as RoomId] });
    const odd = serve(() => new Response("{}"));
    expect(await clientOf(odd.url).joinedRooms("secret")).toMatchObject({ ok: false, failure: { kind: "transient" } });
  });

  test("[UPS-22] filter upload", async () => {
    const upstream = serve(() => Response.json({ filter_id: "7" }));
    const result = await clientOf(upstream.url).createFilter("t", "@a b:hs" as UserId, '{"x":1}');
    expect(result).toEqual({ ok: true, value: "7" });
    expect(upstream.seen[0]).toMatchObject({
      method: "POST",
      path: "/_matrix/client/v3/user/%40a%20b%3Ahs/filter",
      body: '{"x":1}',
    });
    const odd = serve(() => Response.json({ filter_id: "{}" }));
    expect((await clientOf(odd.url).createFilter("t", "@a:hs" as UserId, "{}")).ok).toBe(false);
  });

  test("[UPS-23] versions are shared by those who ask at once, cached, and outlive an outage", async () => {
    let now = 0;
    let isDown = false;
    const upstream = serve(
      () => new Response("{}"),
      () =>
        isDown
          ? new Response("", { status: 503 })
          : Response.json({ versions: ["r0.6.0"], unstable_features: { a: true } }),
    );
    const client = clientOf(upstream.url, { clock: { now: () => now, mono: () => now } });
    await Promise.all([client.versions(), client.versions(), sync(client)]);
    expect(await client.versions()).toEqual({
      ok: true,
      value: { versions: ["r0.6.0"], unstableFeatures: { a: true } },
    });
    expect(upstream.versionsAsked()).toBe(1);
    now = 24 * 3_600_000;
    isDown = true;
    expect((await client.versions()).ok).toBe(false);
    await sync(client);
    expect(upstream.seen.at(-1)?.path).toBe("/_matrix/client/r0/sync");
  });

  test("[UPS-27] versions that are not told hold up one call for two seconds, and later ones not at all", async () => {
    const time = new VirtualTime();
    const { promise: told, resolve: tell } = Promise.withResolvers<Response>();
    const upstream = serve(
      () => new Response("{}"),
      () => told,
    );
    const client = clientOf(upstream.url, { clock: time, timers: time, deadlineMs: 60_000 });
    const first = sync(client);
    await until("the question", () => upstream.versionsAsked() === 1);
    await time.advance(1999);
    expect(upstream.seen).toEqual([]);
    await time.advance(1);
    expect((await first).ok).toBe(true);
    expect((await sync(client)).ok).toBe(true);
    expect(upstream.seen.map(({ path }) => path)).toEqual(["/_matrix/client/r0/sync", "/_matrix/client/r0/sync"]);
    tell(Response.json({ versions: ["v1.1"] }));
    expect((await client.versions()).ok).toBe(true);
    await sync(client);
    expect(upstream.seen.at(-1)?.path).toBe("/_matrix/client/v3/sync");
    expect(upstream.versionsAsked()).toBe(1);
  });

  test("[UPS-27] an endpoint that takes its time to fail is waited for once, not each time that it has failed", async () => {
    const time = new VirtualTime();
    const answers = [Promise.withResolvers<Response>(), Promise.withResolvers<Response>()];
    let asked = 0;
    const upstream = serve(
      () => new Response("{}"),
      () => answers[asked++]?.promise ?? new Response("", { status: 504 }),
    );
    const client = clientOf(upstream.url, { clock: time, timers: time, deadlineMs: 60_000 });
    const first = sync(client);
    await until("the question", () => upstream.versionsAsked() === 1);
    await time.advance(2000);
    expect((await first).ok).toBe(true);
    answers[0]?.resolve(new Response("", { status: 504 }));
    expect((await client.versions()).ok).toBe(false);
    // Asked for anew, and not answered: no time passes for this call.
    expect((await sync(client)).ok).toBe(true);
    await until("the next question", () => asked === 2);
    answers[1]?.resolve(Response.json({ versions: ["v1.1"] }));
    expect((await client.versions()).ok).toBe(true);
    await sync(client);
    expect(upstream.seen.map(({ path }) => path.split("/")[3])).toEqual(["r0", "r0", "v3"]);
  });
});
