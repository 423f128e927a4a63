import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { untilInFlight } from "#test/support/metrics-page.ts";
import { freePort } from "#test/support/ports.ts";
import { createTestHomeserver, type Session, type TestHomeserver } from "#test/support/homeserver.ts";
import { HttpClient } from "#test/support/http-client.ts";
import { OtlpReceiver, type ReceivedSpan } from "#test/support/otlp-receiver.ts";

const SETUP_MS = 240_000;
/** How long a request is parked before something wakes it. */
const PARKED_MS = 300;
/** After which a parked request's time is up: how late it comes to be parked, on a busy machine, is little of that. */
const TIMEOUT_MS = 1500;
/** How far the clocks of two threads may be apart: each is set once, by a thread that may be interrupted in that. */
const CLOCK_SKEW_MS = 200;
/** Devices whose polls are answered at the same moment, and how often. */
const CROWD = 8;
const ROUNDS = 10;

/** Requests with a trace of the client's own. */
const REQUEST = { first: 1, settled: 2, woken: 3, timedOut: 4, unsampled: 5, idle: 6 } as const;
const traceOf = (n: number): string => String(n).repeat(32);
const clientSpanOf = (n: number): string => String(n).repeat(16);
const traceparent = (n: number, flags = "01"): string => `00-${traceOf(n)}-${clientSpanOf(n)}-${flags}`;

/** What must never leave: each is put in somewhere, and looked for in all that was sent. */
const SECRETS = {
  accessToken: "syt_token_of_alice_0c5d1f",
  otlpPassword: "otlp-password-77aa31",
  message: "the words that wake her",
  roomName: "a room with a telling name",
  toDevice: "olm-ciphertext-51b2c9",
  accountData: "a private note of hers",
  oneTimeKey: "one-time-key-9d0e44",
} as const;

const PARAMS = {
  conn_id: "room-list",
  lists: { all: { ranges: [[0, 19]], sort: ["by_recency"], timeline_limit: 5, required_state: [["m.room.name", ""]] } },
  extensions: { to_device: { enabled: true }, e2ee: { enabled: true }, account_data: { enabled: true } },
};

let homeserver: TestHomeserver;
let receiver: OtlpReceiver;
let generatedSecret = "";
/** `traceparent` of the sync that brought the message. */
let upstream: string | null = null;
const cleanup = new AsyncDisposableStack();

async function uploadKey(session: Session): Promise<void> {
  const answer = await fetch(`${homeserver.url}/_matrix/client/v3/keys/upload`, {
    method: "POST",
    headers: { authorization: `Bearer ${session.accessToken}` },
    body: JSON.stringify({ one_time_keys: { "signed_curve25519:AAAA": { key: SECRETS.oneTimeKey } } }),
  });
  expect(answer.status).toBe(200);
}

/** One client's requests: the first, two that find nothing new, one that is woken, one whose time is up, one unsampled. */
async function converse(glissade: GlissadeProcess, metricsUrl: string): Promise<void> {
  const alice = homeserver.user("alice", { accessToken: SECRETS.accessToken, deviceId: "LAPTOP" });
  const bob = homeserver.user("bob");
  const roomId = homeserver.createRoom(bob, { name: SECRETS.roomName });
  homeserver.invite(bob, roomId, alice);
  homeserver.join(alice, roomId);
  homeserver.setAccountData(alice, null, "org.example.note", { note: SECRETS.accountData });
  homeserver.sendToDevice(bob, alice, "m.room.encrypted", { ciphertext: SECRETS.toDevice });
  await uploadKey(alice);
  const unhook = homeserver.onRequest((seen, request) => {
    if (seen.route === "/sync") upstream = request.headers.get("traceparent");
    return undefined;
  });

  const client = new HttpClient(glissade, alice.accessToken, PARAMS);
  const first = await client.sync({ traceparent: traceparent(REQUEST.first), extra: { txn_id: "t1" } });
  for (const secret of [SECRETS.roomName, SECRETS.toDevice, SECRETS.accountData]) {
    expect(JSON.stringify(first)).toContain(secret);
  }
  await client.sync({ traceparent: traceparent(REQUEST.settled) });
  await client.sync({ traceparent: traceparent(REQUEST.idle) });

  await homeserver.waitUntilPolled(alice);
  const woken = client.sync({ timeoutMs: 30_000, traceparent: traceparent(REQUEST.woken) });
  await untilInFlight(metricsUrl, 1);
  await Bun.sleep(PARKED_MS);
  unhook();
  homeserver.send(bob, roomId, SECRETS.message);
  expect(JSON.stringify(await woken)).toContain(SECRETS.message);
  await client.sync({ timeoutMs: TIMEOUT_MS, traceparent: traceparent(REQUEST.timedOut) });
  await client.sync({ traceparent: traceparent(REQUEST.unsampled, "00") });
}

/** Makes the polls of many devices come back at the same moment, with something to store in each. */
async function crowd(glissade: GlissadeProcess): Promise<void> {
  const sessions = Array.from({ length: CROWD }, (_, index) => homeserver.user(`crowd${index}`));
  await Promise.all(sessions.map((session) => new HttpClient(glissade, session.accessToken, PARAMS).sync()));
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(sessions.map((session) => homeserver.waitUntilPolled(session)));
    for (const session of sessions) homeserver.setAccountData(session, null, "org.example.round", { round });
  }
  await Promise.all(sessions.map((session) => homeserver.waitUntilPolled(session)));
}

beforeAll(async () => {
  homeserver = createTestHomeserver({ serverName: "hs.test" });
  cleanup.defer(() => homeserver.stop());
  receiver = await OtlpReceiver.start();
  cleanup.defer(() => receiver.stop());
  const data = cleanup.use(await temporaryDirectory());
  const metricsAt = `127.0.0.1:${await freePort()}`;
  const glissade = await GlissadeProcess.create({
    SYNCV3_SERVER: homeserver.url,
    SYNCV3_DATA: data.path,
    SYNCV3_SYNC_HOSTS: "1",
    SYNCV3_POLLER_HOSTS: "1",
    SYNCV3_OTLP_URL: receiver.url,
    SYNCV3_PROM: metricsAt,
    // Each span has to say which Worker it comes from.
    SYNCV3_SHARED_WORKER: "0",
    SYNCV3_OTLP_USERNAME: "glissade",
    SYNCV3_OTLP_PASSWORD: SECRETS.otlpPassword,
  });
  cleanup.defer(async () => void (await glissade.kill()));
  await glissade.start();
  await converse(glissade, `http://${metricsAt}/metrics`);
  await crowd(glissade);
  generatedSecret = (await readFile(join(data.path, "secret"), "utf8")).trim();
  // The end of the process is what sends the last spans.
  expect(await glissade.kill("SIGTERM")).toBe(0);
}, SETUP_MS);

afterAll(() => cleanup.disposeAsync(), SETUP_MS);

const spanOf = (traceId: string, name: string): ReceivedSpan => {
  const found = receiver.spans.filter((span) => span.traceId === traceId && span.name === name);
  const [span] = found;
  if (span === undefined || found.length > 1) {
    const names = receiver.spans.filter((other) => other.traceId === traceId).map((other) => other.name);
    throw new Error(`${found.length} spans ${name} in trace ${traceId}, which has ${names.join(", ")}`);
  }
  return span;
};
const parentOf = (span: ReceivedSpan): ReceivedSpan | undefined =>
  receiver.spans.find(({ spanId }) => spanId === span.parentSpanId);
const hostOf = (span: ReceivedSpan): string => String(span.resource["actor.host"]);
/** Names and hosts from a span up to the root of its trace here. */
function ancestry(span: ReceivedSpan): string[] {
  const parent = parentOf(span);
  return [`${span.name} @ ${hostOf(span)}`, ...(parent === undefined ? [] : ancestry(parent))];
}
const refOf = ({ traceId, spanId }: ReceivedSpan): { traceId: string; spanId: string } => ({ traceId, spanId });

describe("from the client's request to its connection", () => {
  test("[TRC-10] the first request continues the client's trace through the gateway, the homeserver and three hosts", () => {
    const http = spanOf(traceOf(REQUEST.first), "http.sync.post");
    expect(http.parentSpanId).toBe(clientSpanOf(REQUEST.first));
    expect(hostOf(http)).toBe("main:0");
    expect(http.attributes).toEqual({
      "http.request.method": "POST",
      "http.route": "/_matrix/client/unstable/org.matrix.msc3575/sync",
      "http.response.status_code": 200,
      "sync.user_id": "@alice:hs.test",
      "sync.device_id": "LAPTOP",
      "sync.conn_id": "room-list",
      "sync.txn_id": "t1",
      "sync.initial": true,
      "sync.waited": false,
      "sync.rooms": 1,
    });
    const whoami = spanOf(http.traceId, "homeserver.whoami.get");
    expect(ancestry(whoami)).toEqual([
      "homeserver.whoami.get @ main:0",
      "gateway.token.lookup @ main:0",
      "http.sync.post @ main:0",
    ]);
    expect(parentOf(whoami)?.attributes).toEqual({ "sync.token_source": "homeserver" });
    expect(ancestry(spanOf(http.traceId, "poller.ensure-polling"))).toEqual([
      "poller.ensure-polling @ poller:0",
      "user.attach @ sync:0",
      "connection.sync-request @ sync:0",
      "http.sync.post @ main:0",
    ]);
  });

  test("[TRC-15] turns that wait for storage stay in the trace of the request they serve", () => {
    for (const n of [REQUEST.first, REQUEST.settled]) {
      const work = receiver.spans.filter(
        ({ name, traceId }) => name === "connection.work-ready" && traceId === traceOf(n),
      );
      expect(work.length).toBeGreaterThan(0);
      for (const span of work) expect(ancestry(span).at(-1)).toBe("http.sync.post @ main:0");
    }
  });

  test("[TRC-11] a request that finds nothing and may not wait is two spans", () => {
    const spans = receiver.spans.filter(({ traceId }) => traceId === traceOf(REQUEST.idle));
    expect(spans.map(({ name }) => name).toSorted()).toEqual(["connection.sync-request", "http.sync.post"]);
    expect(spanOf(traceOf(REQUEST.idle), "http.sync.post").attributes).toMatchObject({
      "sync.waited": false,
      "sync.initial": false,
    });
  });

  test("[TRC-12] waiting is a span of its own", () => {
    const http = spanOf(traceOf(REQUEST.woken), "http.sync.post");
    expect(http.parentSpanId).toBe(clientSpanOf(REQUEST.woken));
    expect(http.attributes).toMatchObject({ "sync.waited": true, "sync.initial": false });
    const wait = spanOf(http.traceId, "connection.wait");
    expect(ancestry(wait)).toEqual([
      "connection.wait @ sync:0",
      "connection.sync-request @ sync:0",
      "http.sync.post @ main:0",
    ]);
    expect(wait.endedMs - wait.startedMs).toBeGreaterThan(PARKED_MS / 2);
    expect(wait.endedMs).toBeLessThanOrEqual(http.endedMs + CLOCK_SKEW_MS);
    const request = spanOf(http.traceId, "connection.sync-request");
    // The turn ends before the wait does, however long that is.
    expect(request.endedMs).toBeLessThan(wait.endedMs - PARKED_MS / 4);
    expect(request.attributes).toEqual({ "actor.kind": "connection", "actor.host": "sync:0" });
  });

  test("[TRC-13] a wait that ends with its time points at nothing", () => {
    const wait = spanOf(traceOf(REQUEST.timedOut), "connection.wait");
    expect(wait.links).toEqual([]);
    expect(wait.endedMs - wait.startedMs).toBeGreaterThan(PARKED_MS / 2);
    expect(spanOf(wait.traceId, "http.sync.post").attributes).toMatchObject({ "sync.waited": true });
  });

  test("[TRC-14] a client that does not want to be traced is not", () => {
    expect(receiver.spans.filter(({ traceId }) => traceId === traceOf(REQUEST.unsampled))).toEqual([]);
  });
});

describe("from the homeserver's response to the waking of the client", () => {
  const poll = (): string => upstream?.split("-")[1] ?? "";

  test("[TRC-20] one trace leads from the poll through ingest and the sync host to the parked request", () => {
    const waking = spanOf(poll(), "connection.updates-applied");
    expect(ancestry(waking)).toEqual([
      "connection.updates-applied @ sync:0",
      "user.feed @ sync:0",
      "directory.apply-updates @ sync:0",
      "ingest.fan-out @ ingest:0",
      "poller.sync @ poller:0",
    ]);
    const sync = spanOf(poll(), "poller.sync");
    expect(sync.parentSpanId).toBe("");
    expect(sync.attributes).toEqual({
      "sync.user_id": "@alice:hs.test",
      "sync.device_id": "LAPTOP",
      "sync.initial": false,
    });
    expect(ancestry(spanOf(poll(), "homeserver.sync.get"))).toEqual([
      "homeserver.sync.get @ poller:0",
      "poller.sync @ poller:0",
    ]);
    expect(ancestry(spanOf(poll(), "ingest.store-batch"))).toEqual([
      "ingest.store-batch @ ingest:0",
      "poller.poll-ended @ poller:0",
      "poller.sync @ poller:0",
    ]);
    const commit = spanOf(poll(), "ingest.commit");
    expect(ancestry(commit)).toEqual(["ingest.commit @ ingest:0", "poller.sync @ poller:0"]);
    expect(commit.attributes).toEqual({ "ingest.batches": 1, "ingest.events": 1 });
  });

  test("[TRC-21] in the order in which it happened: answered, committed, sent on, woken, and only then acknowledged", () => {
    const times = [
      spanOf(poll(), "homeserver.sync.get").endedMs,
      spanOf(poll(), "ingest.commit").startedMs,
      spanOf(poll(), "ingest.commit").endedMs,
      spanOf(poll(), "ingest.fan-out").startedMs,
      spanOf(poll(), "connection.updates-applied").startedMs,
      spanOf(poll(), "poller.batch-stored").startedMs,
      spanOf(poll(), "poller.sync").endedMs,
    ];
    // Clocks of two threads are set once each: they may differ by a little.
    for (const [index, time] of times.entries())
      expect(time + CLOCK_SKEW_MS).toBeGreaterThanOrEqual(times[index - 1] ?? 0);
  });

  test("[TRC-22] what wakes a request and the request point at each other", () => {
    const waking = spanOf(poll(), "connection.updates-applied");
    const request = spanOf(traceOf(REQUEST.woken), "connection.sync-request");
    expect(waking.links).toEqual([refOf(request)]);
    expect(spanOf(traceOf(REQUEST.woken), "connection.wait").links).toEqual([refOf(waking)]);
  });

  test("[TRC-23] the homeserver is told the trace, so that its own spans can join", () => {
    expect(upstream).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/u);
    expect(upstream).toBe(`00-${poll()}-${spanOf(poll(), "poller.sync").spanId}-01`);
  });

  test("[TRC-24] a commit of several polls is in the trace of one and points at the others", () => {
    const joined = receiver.spans.filter(
      ({ name, attributes }) => name === "ingest.commit" && Number(attributes["ingest.batches"]) > 1,
    );
    expect(joined.length).toBeGreaterThan(0);
    for (const commit of joined) {
      expect(parentOf(commit)?.name).toBe("poller.sync");
      expect(commit.links).toHaveLength(Number(commit.attributes["ingest.batches"]) - 1);
      for (const link of commit.links) {
        expect(link.traceId).not.toBe(commit.traceId);
        expect(spanOf(link.traceId, "poller.sync").spanId).toBe(link.spanId);
      }
    }
  });

  test("[TRC-25] each poll is a trace of its own, however busy it is", () => {
    const polls = receiver.spans.filter(({ name }) => name === "poller.sync");
    expect(polls.length).toBeGreaterThan(CROWD * ROUNDS);
    expect(new Set(polls.map(({ traceId }) => traceId)).size).toBe(polls.length);
    for (const name of ["ingest.commit", "ingest.fan-out", "ingest.store-batch"]) {
      const perTrace = Map.groupBy(
        receiver.spans.filter((span) => span.name === name),
        ({ traceId }) => traceId,
      );
      // A first sync is stored in pieces; nothing else is stored twice.
      for (const [traceId, spans] of perTrace) {
        if (spanOf(traceId, "poller.sync").attributes["sync.initial"] === false) expect(spans).toHaveLength(1);
      }
    }
  });
});

describe("what is sent", () => {
  test("[TRC-30] no token, password, secret, key, message or other content is in it", () => {
    const sent = receiver.bodies.join("\n");
    expect(sent.length).toBeGreaterThan(10_000);
    expect(generatedSecret.length).toBeGreaterThan(20);
    for (const secret of [...Object.values(SECRETS), generatedSecret, "Bearer "]) expect(sent).not.toContain(secret);
    const hash = new Bun.CryptoHasher("sha256").update(SECRETS.accessToken).digest("hex");
    expect(sent).not.toContain(hash);
  });

  test("[TRC-31] spans have the attributes that are documented and no others", async () => {
    const page = await readFile(join(import.meta.dir, "../../docs/tracing.md"), "utf8");
    const names = new Set(receiver.spans.flatMap(({ attributes }) => Object.keys(attributes)));
    const documented = [...page.matchAll(/^\| `([a-z][^`]+)` \|/gmu)].map(([, name = ""]) => name);
    // Every one of them but that of failed requests is brought about here.
    expect([...names.add("error.type")].toSorted()).toEqual(documented.toSorted());
  });

  test("[TRC-32] names of spans are layer.thing.verb, without ids", () => {
    for (const { name } of receiver.spans) expect(name).toMatch(/^[a-z]+(\.[a-z]+(-[a-z0-9]+)*){1,2}$/u);
  });

  test("[TRC-33] every delivery is authenticated and goes to the path of its signal", () => {
    const credentials = btoa(`glissade:${SECRETS.otlpPassword}`);
    expect(receiver.requests.length).toBeGreaterThan(0);
    for (const { path, authorization } of receiver.requests) {
      expect(["/v1/traces", "/v1/metrics", "/v1/logs"]).toContain(path);
      expect(authorization).toBe(`Basic ${credentials}`);
    }
  });

  test("[TRC-34] the end of the process loses no span: every parent is here, or the client's own", () => {
    const ids = new Set(receiver.spans.map(({ spanId }) => spanId));
    const known = new Set(["", ...Object.values(REQUEST).map(clientSpanOf)]);
    const orphans = receiver.spans.filter(({ parentSpanId }) => !ids.has(parentSpanId) && !known.has(parentSpanId));
    expect(orphans.map((span) => `${span.name} @ ${hostOf(span)}`)).toEqual([]);
    expect(new Set(receiver.spans.map(hostOf))).toEqual(new Set(["main:0", "ingest:0", "poller:0", "sync:0"]));
  });

  test("[TRC-35] each host says what it is and nothing of the machine", () => {
    for (const { resource } of receiver.spans) {
      const names = Object.keys(resource).filter((name) => !name.startsWith("telemetry.sdk."));
      expect(names.toSorted()).toEqual(["actor.host", "service.name", "service.version"]);
    }
  });
});
