import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { temporaryDirectory } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { createTestHomeserver, type TestHomeserver } from "#test/support/homeserver.ts";
import { HttpClient } from "#test/support/http-client.ts";
import { untilInFlight } from "#test/support/metrics-page.ts";
import { freePort } from "#test/support/ports.ts";
import { until } from "#test/support/until.ts";
import { METRIC_SPECS } from "#src/telemetry/metrics.ts";
import { PROCESS_METRICS } from "#src/telemetry/prometheus-text.ts";

const LIMIT_MS = 240_000;
const SYNC = "/_matrix/client/unstable/org.matrix.msc3575/sync";
const TOKEN = "syt_token_of_a_talkative_user";
const USERS = 8;
/** How long the parked request of the log test waits for a message. */
const PARKED_MS = 300;

const PARAMS = {
  conn_id: "list",
  lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } },
  extensions: { to_device: { enabled: true }, e2ee: { enabled: true } },
};

let homeserver: TestHomeserver;
let glissade: GlissadeProcess;
let metricsUrl: string;
const cleanup = new AsyncDisposableStack();

beforeAll(async () => {
  homeserver = createTestHomeserver({ serverName: "hs.test" });
  cleanup.defer(() => homeserver.stop());
  const metricsPort = await freePort();
  metricsUrl = `http://127.0.0.1:${metricsPort}/metrics`;
  glissade = await GlissadeProcess.create({
    SYNCV3_SERVER: homeserver.url,
    SYNCV3_DATA: cleanup.use(await temporaryDirectory()).path,
    SYNCV3_PROM: `127.0.0.1:${metricsPort}`,
    SYNCV3_SYNC_HOSTS: "2",
    SYNCV3_POLLER_HOSTS: "2",
  });
  cleanup.defer(async () => void (await glissade.kill()));
  await glissade.start();
}, LIMIT_MS);
afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

interface MatrixError {
  errcode: string;
  error: string;
}

/** A sync request that is not the usual one. */
const send = (init: RequestInit, path: string = SYNC): Promise<Response> => glissade.fetch(path, init);
const errorOf = async (answer: Response): Promise<[number, string]> => [
  answer.status,
  ((await answer.json()) as MatrixError).errcode,
];

/** Lines of the request log, once there are `count` of them that match. */
async function requestLines(
  count: number,
  matches: (line: Record<string, unknown>) => boolean,
): Promise<Record<string, unknown>[]> {
  // The last one may not be there to its end.
  const lines = (): Record<string, unknown>[] =>
    glissade.output
      .split("\n")
      .slice(0, -1)
      .filter((line) => line.includes('"msg":"request"'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(matches);
  await until(`${count} lines of the request log`, () => lines().length >= count);
  return lines();
}

describe("requests that are refused", () => {
  const ok = { authorization: `Bearer ${TOKEN}` };

  test("[FRT-1] a body that is too large, declared or not, is 413 and costs no homeserver a request", async () => {
    const before = homeserver.requests.length;
    const large = "x".repeat(1024 * 1024 + 1);
    expect(await errorOf(await send({ method: "POST", headers: ok, body: large }))).toEqual([413, "M_TOO_LARGE"]);
    const undeclared = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let chunk = 0; chunk < 24; chunk++) controller.enqueue(new Uint8Array(64 * 1024).fill(0x20));
        controller.close();
      },
    });
    expect(await errorOf(await send({ method: "POST", headers: ok, body: undeclared }))).toEqual([413, "M_TOO_LARGE"]);
    expect(homeserver.requests.slice(before).filter(({ route }) => route.endsWith("/whoami"))).toEqual([]);
  });

  test("[FRT-2] what is not JSON, and what is JSON of another kind", async () => {
    expect(await errorOf(await send({ method: "POST", headers: ok, body: "{" }))).toEqual([400, "M_NOT_JSON"]);
    expect(await errorOf(await send({ method: "POST", headers: ok, body: "[]" }))).toEqual([400, "M_BAD_JSON"]);
    expect(await errorOf(await send({ method: "POST", headers: ok, body: '{"lists":7}' }))).toEqual([
      400,
      "M_BAD_JSON",
    ]);
  });

  test("[FRT-3] no token, and one the homeserver does not know", async () => {
    expect(await errorOf(await send({ method: "POST", body: "{}" }))).toEqual([401, "M_MISSING_TOKEN"]);
    const stranger = { authorization: "Bearer syt_of_nobody" };
    expect(await errorOf(await send({ method: "POST", headers: stranger, body: "{}" }))).toEqual([
      401,
      "M_UNKNOWN_TOKEN",
    ]);
  });

  test("[FRT-4] a pos of nobody's and parameters out of bounds", async () => {
    homeserver.user("talkative", { accessToken: TOKEN });
    expect(await errorOf(await send({ method: "POST", headers: ok, body: "{}" }, `${SYNC}?pos=made-up`))).toEqual([
      400,
      "M_UNKNOWN_POS",
    ]);
    const long = JSON.stringify({ conn_id: "a conn_id of far too many bytes" });
    expect((await send({ method: "POST", headers: ok, body: long })).status).toBe(400);
  });

  test("[FRT-5] other methods are 405, other paths 404, both as Matrix errors", async () => {
    for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
      expect(await errorOf(await send({ method, headers: ok }))).toEqual([405, "M_UNRECOGNIZED"]);
    }
    for (const path of ["/", "/_matrix/client/v3/login", `${SYNC}/`, "/_matrix/client/v5/sync/../sync"]) {
      expect(await errorOf(await send({ method: "POST", headers: ok, body: "{}" }, path))).toEqual([
        404,
        "M_UNRECOGNIZED",
      ]);
    }
  });

  test("[FRT-6] bytes that are no HTTP end their own connection and nothing else", async () => {
    const answer = await new Promise<string>((resolve) => {
      const { hostname, port } = new URL(glissade.url);
      const socket = connect({ host: hostname, port: Number(port) });
      let received = "";
      socket.on("data", (data) => (received += data.toString()));
      socket.on("error", () => resolve(received));
      socket.on("close", () => resolve(received));
      socket.on("connect", () => socket.end("\u0016\u0003\u0001 this is not HTTP\r\n\r\n"));
    });
    expect(answer).not.toContain("200 OK");
    expect((await glissade.fetch("/health/live")).status).toBe(200);
  });
});

describe("browsers", () => {
  test("[FRT-10] a preflight is answered for any path, and every reply may be read by any origin", async () => {
    for (const path of [SYNC, "/_matrix/client/v3/sync", "/health/ready", "/anything"]) {
      const preflight = await send({ method: "OPTIONS", headers: { origin: "https://app.test" } }, path);
      expect(preflight.status).toBe(200);
      expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
      expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
      expect(preflight.headers.get("access-control-allow-headers")).toContain("Authorization");
    }
    const replies = [
      await send({ method: "POST", body: "{}" }),
      await send({ method: "GET" }),
      await send({ method: "GET" }, "/nowhere"),
      await send({ method: "GET" }, "/health/ready"),
      await send({ method: "GET" }, "/client/server.json"),
    ];
    for (const reply of replies) {
      expect(reply.headers.get("access-control-allow-origin")).toBe("*");
      expect(reply.headers.get("content-type")).toBe("application/json");
    }
    expect(await replies[4]?.json()).toMatchObject({ server: homeserver.url });
  });
});

describe("the request log", () => {
  test("[LOG-30] one line a request, with the documented fields and nothing secret", async () => {
    const alice = homeserver.user("alice", { accessToken: "syt_alice_for_the_log", deviceId: "LAPTOP" });
    const roomId = homeserver.createRoom(alice, { name: "A room whose name is nobody's business" });
    const client = new HttpClient(glissade, alice.accessToken, PARAMS);
    const first = await client.sync({ extra: { txn_id: "txn-1" } });
    const parked = client.sync({ timeoutMs: 60_000 });
    await homeserver.waitUntilPolled(alice);
    await untilInFlight(metricsUrl, 1);
    await Bun.sleep(PARKED_MS);
    homeserver.send(alice, roomId, "words that are nobody's business");
    const second = await parked;
    const isBroken = (line: Record<string, unknown>): boolean =>
      line["error_code"] === "not_json" && line["user_id"] === undefined;
    const before = (await requestLines(0, isBroken)).length;
    const refused = await send({ method: "POST", headers: { authorization: "Bearer x" }, body: "{" });
    expect(refused.status).toBe(400);

    const lines = await requestLines(2, (line) => line["user_id"] === "@alice:hs.test");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u) as unknown,
      host: "main:0",
      msg: "request",
      method: "POST",
      path: SYNC,
      status: 200,
      duration_ms: expect.any(Number) as unknown,
      user_id: "@alice:hs.test",
      device_id: "LAPTOP",
      conn_id: "list",
      pos_out: first.pos,
      txn_id: "txn-1",
      // Nothing was waited for: the first sync and the reading are work.
      waited_ms: 0,
      rooms: 1,
      ops: 1,
      bytes: expect.any(Number) as unknown,
    });
    expect(lines[1]).toMatchObject({ pos_in: first.pos, pos_out: second.pos, status: 200, rooms: 1 });
    const { duration_ms: duration, waited_ms: waited } = lines[1] as { duration_ms: number; waited_ms: number };
    expect(waited).toBeGreaterThan(PARKED_MS / 2);
    expect(waited).toBeLessThanOrEqual(duration + 1);

    // The line is written behind the reply.
    const broken = (await requestLines(before + 1, isBroken))[before];
    expect(broken).toMatchObject({ level: "warn", status: 400 });
    for (const secret of [alice.accessToken, TOKEN, "nobody's business", "access_token"]) {
      expect(glissade.output).not.toContain(secret);
    }
  });

  test("[LOG-31] a client that hangs up is told of as 499", async () => {
    const carol = homeserver.user("carol", { deviceId: "PHONE" });
    const client = new HttpClient(glissade, carol.accessToken, PARAMS);
    const { pos } = await client.sync();
    const abort = new AbortController();
    const parked = send(
      {
        method: "POST",
        headers: { authorization: `Bearer ${carol.accessToken}` },
        body: JSON.stringify(PARAMS),
        signal: abort.signal,
      },
      `${SYNC}?timeout=60000&pos=${pos}`,
    ).then(
      () => "answered",
      () => "aborted",
    );
    await homeserver.waitUntilPolled(carol);
    await untilInFlight(metricsUrl, 1);
    abort.abort();
    expect(await parked).toBe("aborted");
    const [line] = await requestLines(1, (entry) => entry["status"] === 499);
    expect(line).toMatchObject({ level: "info", user_id: "@carol:hs.test", error_code: "client_gone" });
  });

  test("[LOG-32] every line is JSON with level, time, host and msg", () => {
    const lines = glissade.output.split("\n").slice(0, -1);
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines) {
      expect(Object.keys(JSON.parse(line) as object)).toEqual(expect.arrayContaining(["level", "time", "host", "msg"]));
    }
  });
});

/** Samples of one scrape: name with labels as written, and value. */
async function scrape(): Promise<{ text: string; samples: Map<string, number> }> {
  const answer = await fetch(metricsUrl);
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const text = await answer.text();
  const samples = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = /^([a-z0-9_]+(?:\{.*\})?) (\S+)$/u.exec(line);
    if (match === null) throw new Error(`not a sample: ${line}`);
    samples.set(match[1] ?? "", Number(match[2]));
  }
  return { text, samples };
}

describe("metrics", () => {
  let text: string;
  let samples: Map<string, number>;
  const sumOf = (pattern: RegExp): number =>
    [...samples].reduce((sum, [name, value]) => (pattern.test(name) ? sum + value : sum), 0);

  beforeAll(async () => {
    const before = await scrape();
    const count = (name: string): number => before.samples.get(name) ?? 0;
    const sessions = Array.from({ length: USERS }, (_, index) => homeserver.user(`metric${index}`));
    const clients = sessions.map((session) => new HttpClient(glissade, session.accessToken, PARAMS));
    for (const session of sessions) homeserver.createRoom(session, { name: "Room" });
    await Promise.all(clients.map((client) => client.sync()));
    await Promise.all(clients.map((client) => client.sync()));
    ({ text, samples } = await scrape());
    expect((samples.get("sliding_sync_poller_num_pollers") ?? 0) - count("sliding_sync_poller_num_pollers")).toBe(
      USERS,
    );
  }, LIMIT_MS);

  test("[MET-10] names and types are those that are documented, each told once", () => {
    const known = new Map<string, string>([...METRIC_SPECS, ...PROCESS_METRICS].map(({ name, type }) => [name, type]));
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gmu)].map(([, name = "", type = ""]) => [name, type]);
    expect(new Set(types.map(([name]) => name)).size).toBe(types.length);
    for (const [name, type] of types) expect([name, known.get(name ?? "")]).toEqual([name, type]);
    // Those without labels, and those with labels that this traffic must have brought about.
    const told = new Set(types.map(([name]) => name));
    const expected = [
      // Those of the front are there with SYNCV3_FORWARD=1 alone.
      ...METRIC_SPECS.filter(
        ({ name, type, labels }) => type === "gauge" && labels === undefined && !name.startsWith("front_"),
      ).map(({ name }) => name),
      ...PROCESS_METRICS.map(({ name }) => name),
      "sliding_sync_poller_process_duration_secs",
      "sliding_sync_poller_total_num_polls",
      "sliding_sync_poller_timeline_size",
      "sliding_sync_api_setup_duration_secs",
      "sliding_sync_api_process_duration_secs",
      "sliding_sync_http_requests_total",
      "sliding_sync_http_request_duration_secs",
      "sliding_sync_token_lookups_total",
      "ingest_commit_duration_secs",
      "ingest_fan_out_duration_secs",
      "ingest_group_batches",
      "ingest_events_total",
      "actor_turn_duration_secs",
      "actor_mailbox_depth",
    ];
    expect(expected.filter((name) => !told.has(name))).toEqual([]);
    expect(samples.get("telemetry_unknown_metrics_total") ?? 0).toBe(0);
  });

  test("[MET-11] summed over hosts: every connection and poller is counted once, wherever it lives", () => {
    // The tests of the log have left two more.
    expect(samples.get("sliding_sync_api_num_active_conns")).toBeGreaterThanOrEqual(USERS + 2);
    expect(samples.get("sliding_sync_poller_num_outstanding_sync_v2_reqs")).toBeGreaterThan(0);
    expect(samples.get("sliding_sync_api_num_devices_pending_ensure_polling")).toBe(0);
    expect(samples.get("sliding_sync_api_requests_in_flight")).toBe(0);
    const answered = samples.get(`sliding_sync_http_requests_total{route="${SYNC}",status="200"}`);
    const measured = samples.get(`sliding_sync_http_request_duration_secs_count{route="${SYNC}",status="200"}`);
    expect(answered).toBeGreaterThanOrEqual(2 * USERS + 3);
    expect(measured).toBe(answered);
    expect(sumOf(/^sliding_sync_api_setup_duration_secs_count/u)).toBeGreaterThanOrEqual(2 * USERS);
    expect(samples.get('sliding_sync_api_process_duration_secs_count{initial="0"}')).toBeGreaterThanOrEqual(USERS);
    expect(samples.get("ingest_stream_position")).toBeGreaterThan(USERS);
  });

  test("[MET-12] told for each host apart where that matters, and both hosts of a kind have work", () => {
    for (const [kind, hosts] of [
      ["connection", ["sync:0", "sync:1"]],
      ["poller", ["poller:0", "poller:1"]],
      ["ingest", ["ingest:0"]],
    ] as const) {
      for (const host of hosts) {
        const turns = samples.get(`actor_turn_duration_secs_count{kind="${kind}",host="${host}"}`);
        expect([kind, host, (turns ?? 0) > 0]).toEqual([kind, host, true]);
      }
    }
    expect(sumOf(/^sync_rooms_in_memory\{/u)).toBeGreaterThanOrEqual(USERS);
  });

  test("[MET-13] buckets are cumulative and end with the count", () => {
    const buckets = [...samples].filter(([name]) => name.startsWith("actor_turn_duration_secs_bucket{"));
    const series = Map.groupBy(buckets, ([name]) => name.replace(/,?le="[^"]*"/u, ""));
    expect(series.size).toBeGreaterThan(3);
    for (const [name, points] of series) {
      const values = points.map(([, value]) => value);
      expect(values).toEqual(values.toSorted((a, b) => a - b));
      expect(values.at(-1)).toBe(samples.get(name.replace("_bucket", "_count")) ?? -1);
    }
  });

  test("[MET-14] no user, device, room, token or host name of anybody is in it", () => {
    for (const word of ["@", "!", "hs.test", "LAPTOP", "syt_", "alice", "metric0"]) expect(text).not.toContain(word);
  });

  test("[MET-15] the listener of metrics serves metrics alone, and that of clients none", async () => {
    expect((await fetch(metricsUrl.replace("/metrics", SYNC), { method: "POST", body: "{}" })).status).toBe(404);
    expect((await glissade.fetch("/metrics")).status).toBe(404);
  });
});
