import { WELL } from "#test/support/well.ts";
import { beforeEach, describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import type { VersionsReply, VersionsSource } from "#src/ports/front.ts";
import type { ErrorCode } from "#src/errors.ts";
import { createApp } from "#src/http/app.ts";
import type { Identity, SyncGateway, SyncInput } from "#src/ports/gateway.ts";
import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { recordingLogger, RecordingMetrics } from "#test/support/recording.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const ALICE: Identity = { userId: "@alice:hs" as UserId, deviceId: "DEV" as DeviceId, tokenHash: "hash" };
const ORIGIN = "http://localhost";
const SYNC_PATHS = DIALECTS.msc3575.paths;
const SYNC = SYNC_PATHS[0] ?? "";

/** Knows one token, and answers every sync with one body. */
class FakeVersions implements VersionsSource {
  readonly tokens: (string | null)[] = [];
  answer: () => VersionsReply = () => ({ status: 200, headers: { vary: "Authorization" }, body: '{"versions":[]}' });

  async versionsFor(accessToken: string | null): Promise<VersionsReply> {
    this.tokens.push(accessToken);
    return this.answer();
  }
}

class FakeGateway implements SyncGateway {
  readonly tokens: string[] = [];
  readonly inputs: SyncInput[] = [];
  error: Error | null = null;
  waitedMs = 0;

  async identify(accessToken: string): Promise<Identity> {
    this.tokens.push(accessToken);
    if (accessToken === "soft") throw new SyncError("soft_logout", "/whoami returned HTTP 401");
    if (accessToken !== "good") throw new SyncError("unknown_token", "/whoami returned HTTP 401");
    return ALICE;
  }

  async sync(_identity: Identity, input: SyncInput) {
    this.inputs.push(input);
    if (this.error !== null) throw this.error;
    const body = new TextEncoder().encode('{"pos":"p2"}');
    return { body, posOut: "p2", rooms: 3, ops: 2, waitedMs: this.waitedMs, setupMs: 0 };
  }
}

let gateway: FakeGateway;
let versions: FakeVersions;
let log: ReturnType<typeof recordingLogger>;
let metrics: RecordingMetrics;
let time: VirtualTime;
let app: ReturnType<typeof createApp>;
let ready: boolean;
/** What is told of a request waits here, when a test says so. */
let later: (() => void)[] | null;

beforeEach(() => {
  gateway = new FakeGateway();
  versions = new FakeVersions();
  log = recordingLogger();
  metrics = new RecordingMetrics();
  time = new VirtualTime();
  ready = true;
  later = null;
  app = createApp({
    gateway,
    dialects: Object.values(DIALECTS),
    clock: time,
    timers: time,
    log,
    metrics,
    health: {
      report: async () => ({
        ready,
        checks: [{ name: "database", ok: ready, reason: ready ? null : "no connection" }],
      }),
    },
    versions,
    serverInfo: { server: "https://hs.example.org", version: "1.2.3 (abcdef0)" },
    deepHealth: async () => WELL,
    recent: { ended() {} },
    afterReply: (run) => (later === null ? run() : later.push(run)),
  });
});

interface SyncCall {
  path?: string;
  query?: string;
  body?: BodyInit;
  headers?: Record<string, string>;
}

const GOOD = { authorization: "Bearer good" };

const post = ({ path = SYNC, query = "", body = "{}", headers = GOOD }: SyncCall = {}): Promise<Response> =>
  app.handle(new Request(`${ORIGIN}${path}${query}`, { method: "POST", body, headers }));

async function failure(response: Response): Promise<{ status: number; errcode: string; error: string }> {
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(response.headers.get("access-control-allow-origin")).toBe("*");
  const body = (await response.json()) as { errcode: string; error: string };
  return { status: response.status, errcode: body.errcode, error: body.error };
}

describe("sync routes", () => {
  test.each([...SYNC_PATHS])("[HTTP-1] %s answers with the gateway's bytes", async (path) => {
    const response = await post({ path, query: "?pos=p1&timeout=5000", body: '{"conn_id":"c"}' });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await response.text()).toBe('{"pos":"p2"}');
    expect(gateway.inputs[0]).toMatchObject({
      dialect: "msc3575",
      pos: "p1",
      timeoutMs: 5000,
      request: { conn_id: "c" },
    });
  });

  test("[HTTP-2] an empty body, an empty chunked one and null are an empty request", async () => {
    for (const body of ["", "null", new ReadableStream<Uint8Array>({ start: (sink) => sink.close() })]) {
      expect((await post({ body })).status).toBe(200);
    }
    const bodiless = new Request(ORIGIN + SYNC, { method: "POST", headers: GOOD });
    expect((await app.handle(bodiless)).status).toBe(200);
    expect(gateway.inputs.map(({ request }) => request)).toEqual([{}, {}, {}, {}]);
  });

  test("[HTTP-3] pos is passed on as it is, an empty one is none", async () => {
    await post({ query: "?pos=a%2Bb%20c" });
    await post({ query: "?pos=" });
    await post();
    expect(gateway.inputs.map(({ pos }) => pos)).toEqual(["a+b c", null, null]);
  });

  test.each([
    ["", 10_000],
    ["?timeout=", 10_000],
    ["?timeout=0", 0],
    ["?timeout=1", 100],
    ["?timeout=-5", 100],
    ["?timeout=+250", 250],
    ["?timeout=30000", 30_000],
    ["?timeout=999999999999", 120_000],
  ])("[HTTP-4] timeout %p is %p ms", async (query, timeoutMs) => {
    await post({ query: query.replace("+", "%2B") });
    expect(gateway.inputs[0]?.timeoutMs).toBe(timeoutMs);
  });

  test.each(["abc", "1.5", "1e3", "0x10", " "])("[HTTP-5] timeout %p is refused", async (timeout) => {
    const response = await post({ query: `?timeout=${encodeURIComponent(timeout)}` });
    expect(await failure(response)).toMatchObject({ status: 400, errcode: "M_INVALID_PARAM" });
    expect(gateway.inputs).toEqual([]);
  });

  test.each([
    [{ authorization: "Bearer good" }, ""],
    [{ authorization: "bearer good" }, ""],
    [{ authorization: "good" }, ""],
    [{}, "?access_token=good"],
    [{ authorization: "Bearer good" }, "?access_token=other"],
  ] as [Record<string, string>, string][])("[HTTP-6] token from %p and %p", async (headers, query) => {
    expect((await post({ headers, query })).status).toBe(200);
    expect(gateway.tokens).toEqual(["good"]);
  });

  test.each([{}, { authorization: "" }, { authorization: "Bearer " }, { authorization: "Bearer" }] as Record<
    string,
    string
  >[])("[HTTP-7] no token in %p", async (headers) => {
    expect(await failure(await post({ headers }))).toMatchObject({ status: 401, errcode: "M_MISSING_TOKEN" });
    expect(gateway.tokens).toEqual([]);
  });

  test("[HTTP-8] a soft logout is told as one", async () => {
    const response = await post({ headers: { authorization: "Bearer soft" } });
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual({
      errcode: "M_UNKNOWN_TOKEN",
      error: "HTTP 401 : /whoami returned HTTP 401",
      soft_logout: true,
    });
  });

  test("[HTTP-9] checks come in the order of the protocol: body, limits, ranges, token, timeout", async () => {
    const wrong = { authorization: "Bearer wrong" };
    const answers = [
      await post({ body: "{", headers: {}, query: "?timeout=x" }),
      await post({ body: '{"conn_id":"01234567890123456"}', headers: {}, query: "?timeout=x" }),
      await post({ body: '{"lists":{"a":{"ranges":[[5,1]]}}}', headers: {}, query: "?timeout=x" }),
      await post({ headers: {}, query: "?timeout=x" }),
      await post({ headers: wrong, query: "?timeout=x" }),
      await post({ query: "?timeout=x" }),
    ];
    const codes = await Promise.all(answers.map(async (answer) => (await failure(answer)).errcode));
    expect(codes).toEqual([
      "M_NOT_JSON",
      "M_INVALID_PARAM",
      "M_INVALID_PARAM",
      "M_MISSING_TOKEN",
      "M_UNKNOWN_TOKEN",
      "M_INVALID_PARAM",
    ]);
    expect(gateway.inputs).toEqual([]);
  });

  test.each([
    ["half an object", "{", "M_NOT_JSON"],
    ["a word", "nonsense", "M_NOT_JSON"],
    ["wrong brackets", "{]}", "M_NOT_JSON"],
    ["an object without its end", '{"a":1', "M_NOT_JSON"],
    ["a member without its value", '{"a":}{}', "M_NOT_JSON"],
    ["white space", " ", "M_NOT_JSON"],
    ["300,000 brackets", "[".repeat(300_000), "M_NOT_JSON"],
    ["a list", "[]", "M_BAD_JSON"],
    ["a text", '"text"', "M_BAD_JSON"],
    ["lists that are a list", '{"lists":[]}', "M_BAD_JSON"],
    ["a conn_id that is a number", '{"conn_id":5}', "M_BAD_JSON"],
  ])("[HTTP-10] a body that is %s", async (_name, body, errcode) => {
    expect(await failure(await post({ body }))).toMatchObject({ status: 400, errcode });
  });

  test("[HTTP-11] a body above the limit is refused, declared or chunked, and one at the limit is read", async () => {
    const limit = 1024 * 1024;
    const padded = (bytes: number): string => `{"x":"${"a".repeat(bytes - 8)}"}`;
    expect(await failure(await post({ body: padded(limit + 1) }))).toMatchObject({
      status: 413,
      errcode: "M_TOO_LARGE",
    });
    const declared = { ...GOOD, "content-length": String(limit + 1) };
    expect(await failure(await post({ headers: declared }))).toMatchObject({ status: 413, errcode: "M_TOO_LARGE" });
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(sink) {
        pulled++;
        sink.enqueue(new Uint8Array(64 * 1024).fill(32));
      },
    });
    expect(await failure(await post({ body: endless }))).toMatchObject({ status: 413, errcode: "M_TOO_LARGE" });
    expect(pulled).toBeLessThan(40);
    expect((await post({ body: padded(limit) })).status).toBe(200);
  });

  test("[HTTP-12] a body that never ends is given up", async () => {
    const stalled = new ReadableStream<Uint8Array>({ start: (sink) => sink.enqueue(new Uint8Array([123])) });
    const answer = post({ body: stalled });
    await time.advance(30_000);
    expect(await failure(await answer)).toMatchObject({ status: 400, errcode: "M_NOT_JSON" });
    expect(time.pendingCount).toBe(0);
  });

  test("[HTTP-13] other methods are 405, in JSON and with CORS headers", async () => {
    for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
      const response = await app.handle(new Request(ORIGIN + SYNC, { method, headers: GOOD }));
      expect(await failure(response)).toMatchObject({ status: 405, errcode: "M_UNRECOGNIZED" });
    }
    const head = await app.handle(new Request(ORIGIN + SYNC, { method: "HEAD" }));
    expect([head.status, await head.text()]).toEqual([405, ""]);
  });

  test.each([
    ["unknown_pos", 400, "M_UNKNOWN_POS", "session expired"],
    ["unknown_token", 401, "M_UNKNOWN_TOKEN", "inner text"],
    ["homeserver_unreachable", 502, "M_UNKNOWN", "inner text"],
    ["limit_exceeded", 429, "M_LIMIT_EXCEEDED", "inner text"],
    ["storage_unavailable", 503, "M_UNKNOWN", "Internal server error"],
    ["mailbox_full", 503, "M_UNKNOWN", "Internal server error"],
    ["ask_timeout", 503, "M_UNKNOWN", "Internal server error"],
    ["actor_stopped", 503, "M_UNKNOWN", "Internal server error"],
    ["internal", 500, "M_UNKNOWN", "Internal server error"],
  ] as [ErrorCode, number, string, string][])("[HTTP-14] %s is %d %s", async (code, status, errcode, error) => {
    gateway.error = new SyncError(code, "inner text");
    expect(await failure(await post())).toEqual({ status, errcode, error: `HTTP ${status} : ${error}` });
  });

  test("[HTTP-15] what may be repeated later says when", async () => {
    gateway.error = new SyncError("limit_exceeded", "too many requests at once");
    const limited = await post();
    expect(limited.headers.get("retry-after")).toBe("2");
    expect(await limited.json()).toMatchObject({ retry_after_ms: 2000 });
    gateway.error = new SyncError("unknown_pos", "x");
    expect((await post()).headers.get("retry-after")).toBeNull();
  });

  test("[HTTP-16] an error that is not ours shows nothing of itself to the client, and everything to the log", async () => {
    gateway.error = new TypeError("secret detail");
    expect(await failure(await post())).toEqual({
      status: 500,
      errcode: "M_UNKNOWN",
      error: "HTTP 500 : Internal server error",
    });
    expect(log.lines[0]?.level).toBe("error");
    expect(log.lines[0]?.fields["error"]).toContain("secret detail");
  });
});

describe("request log", () => {
  test("[LOG-5] a request is told of when its reply is on its way", async () => {
    later = [];
    const reply = await post({});
    expect(reply.status).toBe(200);
    expect(log.lines).toEqual([]);
    for (const run of later) run();
    expect(log.lines).toHaveLength(1);
  });

  test("[LOG-1] one line for each request, with what is known of it", async () => {
    gateway.waitedMs = 1234.4;
    await post({ query: "?pos=p1&access_token=zzz", body: '{"conn_id":"c","txn_id":"t"}' });
    expect(log.lines).toEqual([
      {
        level: "info",
        message: "request",
        fields: {
          method: "POST",
          path: SYNC,
          status: 200,
          duration_ms: 0,
          user_id: "@alice:hs",
          device_id: "DEV",
          conn_id: "c",
          pos_in: "p1",
          pos_out: "p2",
          txn_id: "t",
          waited_ms: 1234,
          rooms: 3,
          ops: 2,
          bytes: 12,
        },
      },
    ]);
  });

  test("[LOG-2] the level follows the status", async () => {
    await post();
    await post({ body: "{" });
    gateway.error = new SyncError("internal", "x");
    await post();
    gateway.error = new SyncError("client_gone", "x");
    await post();
    expect(log.lines.map(({ level, fields }) => [level, fields["status"], fields["error_code"]])).toEqual([
      ["info", 200, undefined],
      ["warn", 400, "not_json"],
      ["error", 500, "internal"],
      ["info", 499, "client_gone"],
    ]);
  });

  test("[LOG-3] neither token nor body are in the line", async () => {
    await post({ headers: { authorization: "Bearer tok-sesame" }, body: '{"x":"body-sesame"}' });
    await post({ query: "?access_token=tok-sesame", headers: {}, body: "body-sesame" });
    expect(log.lines).toHaveLength(2);
    expect(JSON.stringify(log.lines)).not.toContain("sesame");
  });

  test("[LOG-4] requests are counted by route and status; only those that did not wait count as processing", async () => {
    await post();
    gateway.waitedMs = 50;
    await post({ query: "?pos=p" });
    const labels = { route: SYNC, status: "200" };
    expect(metrics.of("sliding_sync_http_requests_total", labels)).toBe(2);
    expect(metrics.of("sliding_sync_http_request_duration_secs", labels)).toBe(2);
    expect(metrics.of("sliding_sync_api_process_duration_secs", { initial: "1" })).toBe(1);
    expect(metrics.of("sliding_sync_api_process_duration_secs", { initial: "0" })).toBe(0);
  });
});

describe("other routes", () => {
  const get = (path: string): Promise<Response> => app.handle(new Request(ORIGIN + path));

  test("[HTTP-20] every OPTIONS is 200 with CORS headers and no body", async () => {
    for (const path of [SYNC, "/anything/at/all", "/client/server.json"]) {
      const response = await app.handle(new Request(ORIGIN + path, { method: "OPTIONS" }));
      expect([response.status, await response.text()]).toEqual([200, ""]);
      expect(response.headers.get("access-control-allow-methods")).toBe("GET, POST, PUT, DELETE, OPTIONS");
      expect(response.headers.get("access-control-allow-headers")).toContain("Authorization");
    }
    expect(log.lines).toEqual([]);
  });

  test("[HTTP-21] anything else is a 404 a Matrix client understands", async () => {
    for (const path of ["/", "/idonotexist", `${SYNC}/`, "/_matrix/client/v3/sync/", "/%zz"]) {
      expect(await failure(await get(path))).toMatchObject({ status: 404, errcode: "M_UNRECOGNIZED" });
    }
  });

  test("[VER-7] versions are told with CORS headers, to nobody in particular or to who has a token", async () => {
    const path = `${ORIGIN}/_matrix/client/versions`;
    const response = await app.handle(new Request(path));
    expect(await response.json()).toEqual({ versions: [] });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("vary")).toBe("Authorization");
    await app.handle(new Request(path, { headers: { authorization: "Bearer tok" } }));
    await app.handle(new Request(`${path}?access_token=old`));
    expect((await app.handle(new Request(path, { method: "HEAD" }))).status).toBe(200);
    expect(versions.tokens).toEqual([null, "tok", "old", null]);
  });

  test("[VER-8] without the homeserver versions are a Matrix error", async () => {
    versions.answer = () => {
      throw new SyncError("homeserver_unreachable", "the homeserver cannot be reached");
    };
    expect(await failure(await get("/_matrix/client/versions"))).toMatchObject({ status: 502, errcode: "M_UNKNOWN" });
  });

  test("[CNS-8] without the console, or switched off, its paths are those of nobody", async () => {
    for (const path of ["/client/", "/client", "/client/console.json"]) {
      expect([path, (await app.handle(new Request(ORIGIN + path))).status]).toEqual([path, 404]);
    }
  });

  test("[HTTP-22] server.json tells homeserver and version", async () => {
    for (const method of ["GET", "POST", "PUT", "DELETE"]) {
      const response = await app.handle(new Request(`${ORIGIN}/client/server.json`, { method }));
      expect(response.headers.get("access-control-allow-origin")).toBe("*");
      expect(await response.json()).toEqual({ server: "https://hs.example.org", version: "1.2.3 (abcdef0)" });
    }
  });

  test("[HTTP-23] live says that the process answers, ready whether it can work, and why not", async () => {
    expect(await (await get("/health/live")).json()).toEqual({ status: "live" });
    expect((await get("/health/ready")).status).toBe(200);
    ready = false;
    expect((await get("/health/live")).status).toBe(200);
    const response = await get("/health/ready");
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      status: "not ready",
      checks: [{ name: "database", ok: false, reason: "no connection" }],
    });
  });
});
