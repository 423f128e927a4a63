import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type {
  AuditView,
  ConnectionView,
  DatabaseView,
  FirstSyncView,
  Overview,
  Page,
  PollerView,
  ResyncView,
  SlowRequestView,
  UpstreamView,
  UserView,
} from "#src/admin/api.ts";
import { BlackBox, joined, response } from "#test/support/black-box.ts";
import { freePort } from "#test/support/ports.ts";

const LIMIT_MS = 120_000;
const TOKEN = "an-admin-token-of-the-tests";
const LIST = { lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } } };

let box: BlackBox;
let admin: string;
const cleanup = new AsyncDisposableStack();

beforeAll(async () => {
  const port = await freePort();
  admin = `http://127.0.0.1:${port}`;
  box = cleanup.use(await BlackBox.start({}, { SYNCV3_ADMIN: `127.0.0.1:${port}`, SYNCV3_ADMIN_TOKEN: TOKEN }));
}, LIMIT_MS);
afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

function ask(path: string, init: RequestInit = {}, token: string | null = TOKEN): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set("authorization", `Bearer ${token}`);
  return fetch(`${admin}${path}`, { redirect: "manual", ...init, headers });
}

async function get<T>(path: string): Promise<T> {
  const answer = await ask(`/admin/v1${path}`);
  if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as T;
}

async function eventually<T>(read: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    const value = await read();
    if (wanted(value) || tries > 400) return value;
    await Bun.sleep(50);
  }
}

/** A user in one room who has synced once; its connection waits in a long poll until `end`. */
async function syncedUser(name: string): Promise<{ id: string; token: string; pos: string; roomId: string }> {
  const user = box.user(name);
  const roomId = box.roomId(name);
  box.homeserver.queue(user.token, response([joined(roomId, { state: box.beginning(user.id) })], { next_batch: "s1" }));
  const { pos } = await box.sync(user.token, LIST);
  return { ...user, pos, roomId };
}

const path = (...parts: string[]): string => parts.map((part) => `/${encodeURIComponent(part)}`).join("");

describe("the admin listener", () => {
  test("[ADM-1] every operation wants the admin token, and no other will do", async () => {
    for (const [url, method] of [
      ["/overview", "GET"],
      ["/users/@a:b", "GET"],
      ["/resync", "POST"],
      ["/profile/heap", "POST"],
      ["/pollers/@a:b/D/pause", "POST"],
      ["/connections/@a:b/D/c", "DELETE"],
    ] as const) {
      for (const [token, errcode] of [
        [null, "M_MISSING_TOKEN"],
        [`${TOKEN}x`, "M_UNKNOWN_TOKEN"],
        [TOKEN.slice(0, -1), "M_UNKNOWN_TOKEN"],
      ] as const) {
        const answer = await ask(`/admin/v1${url}`, { method }, token);
        expect([answer.status, ((await answer.json()) as { errcode: string }).errcode]).toEqual([401, errcode]);
      }
    }
    const inQuery = await ask(`/admin/v1/overview?access_token=${TOKEN}`, {}, null);
    expect(inQuery.status).toBe(401);
  });

  test("[ADM-2] answers are for no other origin, and no cache keeps them", async () => {
    const answer = await ask("/admin/v1/overview", { headers: { origin: "https://elsewhere.example" } });
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    const preflight = await ask("/admin/v1/resync", { method: "OPTIONS" }, null);
    expect([preflight.status, preflight.headers.get("access-control-allow-origin")]).toEqual([404, null]);
  });

  test("[ADM-3] clients' own listener knows nothing of it, nor this one of clients", async () => {
    const there = await box.server.fetch("/admin/v1/overview", { headers: { authorization: `Bearer ${TOKEN}` } });
    expect(there.status).toBe(404);
    const here = await ask("/_matrix/client/versions");
    expect(here.status).toBe(404);
  });

  test("[ADM-4] the overview tells of the process, every host, pollers, connections and the homeserver", async () => {
    await syncedUser("overview");
    const overview = await eventually(
      () => get<Overview>("/overview"),
      ({ hosts }) => hosts.every(({ vitals }) => vitals !== null),
    );
    expect(overview).toMatchObject({ health: { ready: true }, homeserver: { url: box.homeserver.url } });
    expect(overview.hosts.map(({ host }) => host)).toEqual(["main:0", "ingest:0", "sync:0", "poller:0"]);
    for (const host of overview.hosts) {
      expect(host).toMatchObject({ state: "up", incarnation: 1, restarts: 0, lastDeath: null });
      expect(host.upSinceAtMs).toBeWithin(overview.startedAtMs - 1000, overview.nowAtMs + 1);
      expect(host.vitals?.heapUsedBytes).toBeGreaterThan(1e6);
      expect(host.vitals?.threadCpuMs).toBeGreaterThan(0);
      // A thread that was punctual so far has a lag of 0.
      expect(host.vitals?.loopLagMs.max).toBeGreaterThanOrEqual(0);
      expect(host.vitals?.actors.find(({ kind }) => kind === "inspector")?.count).toBe(1);
    }
    expect(overview.pollers.polling + overview.pollers.storing).toBeGreaterThan(0);
    expect(overview.connections.idle).toBeGreaterThan(0);
    expect(overview.homeserver.calls).toBeGreaterThan(0);
    expect(overview.homeserver.latencyMs?.max).toBeGreaterThan(0);
    expect(overview.process.residentBytes).toBeGreaterThan(1e7);
    expect(overview.success.requests).toBeGreaterThan(0);
    expect(overview.nowAtMs - overview.startedAtMs).toBeGreaterThan(0);
  });

  test("[ADM-5] pollers and connections are listed page by page, and by state or user", async () => {
    const users = [];
    for (let n = 0; n < 3; n += 1) users.push(await syncedUser(`paged${n}`));
    const seen: string[] = [];
    let after = "";
    do {
      const page: Page<PollerView> = await get(`/pollers?limit=2${after === "" ? "" : `&after=${after}`}`);
      expect(page.items.length).toBeLessThanOrEqual(2);
      seen.push(...page.items.map(({ userId }) => userId));
      after = page.next ?? "";
    } while (after !== "");
    expect(new Set(seen).size).toBe(seen.length);
    for (const { id } of users) expect(seen).toContain(id);

    const [first] = users;
    const mine = await get<Page<PollerView>>(`/pollers?userId=${encodeURIComponent(first?.id ?? "")}`);
    expect(mine).toMatchObject({
      next: null,
      items: [{ host: "poller:0", userId: first?.id, deviceId: "FOO", hasSynced: true, failures: 0, storing: null }],
    });
    expect((await get<Page<PollerView>>("/pollers?state=paused")).items).toEqual([]);
    const connections = await get<Page<ConnectionView>>(`/connections?userId=${encodeURIComponent(first?.id ?? "")}`);
    expect(connections.items).toMatchObject([
      {
        host: "sync:0",
        deviceId: "FOO",
        connId: "",
        dialect: "msc3575",
        state: "idle",
        responses: 1,
        requestAgeMs: null,
      },
    ]);
    expect(connections.items[0]?.lists).toEqual([{ key: "all", rooms: 1 }]);
    expect((await ask("/admin/v1/pollers?limit=501")).status).toBe(400);
    expect((await ask("/admin/v1/pollers?after=nonsense")).status).toBe(400);
  });

  test("[ADM-6] a first sync is shown from its beginning, with what of it is stored", async () => {
    const user = box.user("slowly");
    const { promise: held, resolve: release } = Promise.withResolvers<Response>();
    box.homeserver.intercept = (kind, token) => (kind === "sync" && token === user.token ? held : null);
    const waiting = box.ask(user.token, LIST);
    const [running] = (
      await eventually(
        () => get<Page<FirstSyncView>>("/first-syncs"),
        ({ items }) => items.length > 0,
      )
    ).items;
    expect(running).toMatchObject({ userId: user.id, deviceId: "FOO", state: "polling", failures: 0, progress: null });
    const waits = await get<Page<PollerView>>(`/pollers?userId=${encodeURIComponent(user.id)}`);
    expect(waits.items[0]?.waitingRequests).toBe(1);
    box.homeserver.intercept = null;
    release(Response.json({ next_batch: "s1" }));
    expect((await waiting).status).toBe(200);
    expect((await get<Page<FirstSyncView>>("/first-syncs")).items).toEqual([]);
  });

  test("[ADM-7] a paused poller asks the homeserver no more, also after a restart; its clients are answered from what is known", async () => {
    const user = await syncedUser("paused");
    const paused = await ask(`/admin/v1/pollers${path(user.id, "FOO")}/pause`, { method: "POST" });
    expect(await paused.json()).toEqual({ done: true });
    const isPaused = (): Promise<Page<PollerView>> =>
      eventually(
        () => get<Page<PollerView>>("/pollers?state=paused"),
        ({ items }) => items.length > 0,
      );
    expect((await isPaused()).items.map(({ userId }) => userId)).toEqual([user.id]);
    const polls = (): number => box.homeserver.seen.filter(({ token }) => token === user.token).length;
    const before = polls();
    // As long as the homeserver holds the poll that was given up, what is queued would be told to nobody.
    await box.homeserver.released(user.token);
    box.homeserver.queue(user.token, response([joined(user.roomId, { timeline: [box.say(user.id, "unheard")] })]));
    const later = await box.sync(user.token, LIST, { pos: user.pos, timeoutMs: 300 });
    expect(later.rooms).toEqual({});
    await box.restart();
    // A new connection as well.
    const anew = await box.sync(user.token, LIST);
    expect(anew.lists["all"]?.count).toBe(1);
    await isPaused();
    expect(polls()).toBe(before);
    expect((await get<UserView>(`/users${path(user.id)}`)).findings.join()).toContain("an operator has paused it");

    await ask(`/admin/v1/pollers${path(user.id, "FOO")}/resume`, { method: "POST" });
    const heard = await box.until(user.token, LIST, anew, ({ rooms }) => user.roomId in rooms);
    expect(heard.rooms[user.roomId]?.timeline?.[0]).toMatchObject({ content: { body: "unheard" } });
    const unknown = await ask(`/admin/v1/pollers${path(user.id, "NONE")}/pause`, { method: "POST" });
    expect([unknown.status, ((await unknown.json()) as { errcode: string }).errcode]).toEqual([404, "M_NOT_FOUND"]);
  });

  test("[ADM-8] a dropped connection starts over, awake or not", async () => {
    const user = await syncedUser("dropped");
    const drop = (): Promise<Response> => ask(`/admin/v1/connections${path(user.id, "FOO")}/`, { method: "DELETE" });
    expect((await drop()).status).toBe(200);
    const refused = await box.ask(user.token, LIST, { pos: user.pos });
    expect([refused.status, refused.body.errcode]).toEqual([400, "M_UNKNOWN_POS"]);
    const { pos } = await box.sync(user.token, LIST);
    await box.restart();
    expect((await drop()).status).toBe(200);
    expect((await box.ask(user.token, LIST, { pos })).body.errcode).toBe("M_UNKNOWN_POS");
  });

  test("[ADM-9] of a user everything is told that is known of their devices", async () => {
    const user = await syncedUser("explained");
    box.homeserver.queue(
      user.token,
      response([], {
        next_batch: "s2",
        to_device: { events: [{ type: "m.secret", sender: user.id, content: { key: "sesame" } }] },
        device_one_time_keys_count: { signed_curve25519: 0 },
        device_unused_fallback_key_types: [],
      }),
    );
    const explain = (): Promise<UserView> => get<UserView>(`/users${path(user.id)}`);
    const view = await eventually(explain, ({ devices }) => (devices[0]?.toDeviceMessages ?? 0) > 0);
    expect(view).toMatchObject({
      userId: user.id,
      isAllowed: true,
      rooms: { join: 1 },
      devices: [
        {
          deviceId: "FOO",
          tokens: 1,
          hasSynced: true,
          tokenlessSinceAtMs: null,
          pausedAtMs: null,
          toDeviceMessages: 1,
          oneTimeKeys: { signed_curve25519: 0 },
          fallbackKeys: [],
          poller: { hasSynced: true },
          connections: [{ connId: "", live: { state: "idle" } }],
        },
      ],
      quarantined: [],
    });
    expect(view.findings.join()).toContain("no one-time keys left");
    expect(JSON.stringify(view)).not.toContain("sesame");
    expect(JSON.stringify(view)).not.toContain(user.token);
    const nobody = await get<UserView>("/users/@nobody:localhost");
    expect(nobody).toMatchObject({ rooms: {}, devices: [] });
    expect(nobody.findings.join()).toContain("No device of this user");
    expect((await ask("/admin/v1/users/nobody")).status).toBe(400);
  });

  test("[ADM-10] the database is told by table, calls of the homeserver by endpoint", async () => {
    const database = await get<DatabaseView>("/database");
    expect(database.isEmbedded).toBe(false);
    expect(database.tables.map(({ name }) => name).sort()).toContain("events");
    expect(database.tables.reduce((sum, table) => sum + table.totalBytes, 0)).toBeLessThan(database.totalBytes);
    const upstream = await get<UpstreamView>("/upstream");
    expect(upstream.endpoints.map(({ endpoint }) => endpoint)).toContain("whoami");
    for (const { calls, histogram } of upstream.endpoints) expect(histogram.at(-1)).toEqual({ leMs: null, calls });
    const user = box.user("refused");
    box.homeserver.intercept = (kind, token) =>
      kind === "whoami" && token === user.token ? new Response("no", { status: 502 }) : null;
    expect((await box.ask(user.token, LIST)).status).toBe(502);
    box.homeserver.intercept = null;
    const { errors, homeserver } = await get<UpstreamView>("/upstream");
    expect(errors.find(({ endpoint, kind }) => endpoint === "whoami" && kind === "5xx")?.count).toBe(1);
    expect(homeserver).toMatchObject({ lastFailure: { endpoint: "whoami", reason: "5xx" } });
  });

  test("[ADM-11] a request that worked long is remembered, with where its time went; one that waited is not", async () => {
    const user = box.user("slow");
    const late = async (): Promise<Response> => {
      await Bun.sleep(700);
      return Response.json({ next_batch: "s1" });
    };
    box.homeserver.intercept = (kind, token) => (kind === "sync" && token === user.token ? late() : null);
    const { pos } = await box.sync(user.token, LIST);
    box.homeserver.intercept = null;
    await box.sync(user.token, LIST, { pos, timeoutMs: 700 });
    const ofUser = (await get<SlowRequestView[]>("/slow-requests")).filter(({ userId }) => userId === user.id);
    // On a busy machine the second may have worked long as well.
    const waited = ({ phases }: SlowRequestView): number => phases.find(({ name }) => name === "waiting")?.ms ?? 0;
    const slow = ofUser.filter((one) => one.isInitial || one.durationMs - waited(one) < 500);
    expect(slow).toMatchObject([{ dialect: "msc3575", status: 200, isInitial: true, deviceId: "FOO", connId: "" }]);
    const [{ phases, durationMs }] = slow as [SlowRequestView];
    expect(phases.map(({ name }) => name)).toEqual(["body", "token", "setup", "waiting", "work"]);
    expect(phases.find(({ name }) => name === "setup")?.ms).toBeGreaterThan(600);
    expect(Math.abs(phases.reduce((sum, { ms }) => sum + ms, 0) - durationMs)).toBeLessThan(10);
  });

  test("[ADM-12] rooms are compared on request, and the request can be followed", async () => {
    const user = await syncedUser("compared");
    const started = await ask("/admin/v1/resync", {
      method: "POST",
      body: JSON.stringify({ kind: "room", target: user.roomId }),
    });
    const { id } = (await started.json()) as { id: number };
    const [newest] = await get<ResyncView[]>("/resyncs");
    expect(newest).toMatchObject({ id, kind: "room", target: user.roomId });
    const ended = await eventually(
      async () => (await get<ResyncView[]>("/resyncs")).find((one) => one.id === id)?.endedAtMs ?? null,
      (endedAtMs) => endedAtMs !== null,
    );
    expect(ended).toBeGreaterThanOrEqual(newest?.askedAtMs ?? 0);
    for (const body of ['{"kind":"room","target":"nonsense"}', '{"kind":"world"}', "[]"]) {
      expect((await ask("/admin/v1/resync", { method: "POST", body })).status).toBe(400);
    }
  });

  test("[ADM-13] a profile of every thread opens where developers look at such", async () => {
    for (const host of ["main:0", "sync:0"]) {
      const answer = await ask(`/admin/v1/profile/cpu?seconds=1&host=${host}`, { method: "POST" });
      expect(answer.headers.get("content-disposition")).toMatch(
        /^attachment; filename="glissade-\w+-0-.*\.cpuprofile"$/,
      );
      const profile = (await answer.json()) as { nodes: unknown[]; startTime: number; endTime: number };
      expect(profile.nodes.length).toBeGreaterThan(0);
      expect(profile.endTime - profile.startTime).toBeGreaterThan(900_000);
    }
    const heap = await ask("/admin/v1/profile/heap?host=poller:0", { method: "POST" });
    expect(heap.headers.get("content-disposition")).toContain(".heapsnapshot");
    const { snapshot, nodes, strings } = (await heap.json()) as Record<
      string,
      { node_count?: number; length?: number }
    >;
    expect(snapshot?.node_count).toBeGreaterThan(1000);
    expect([nodes?.length, strings?.length].every((length) => (length ?? 0) > 1000)).toBe(true);
    expect((await ask("/admin/v1/profile/cpu?host=sync:99", { method: "POST" })).status).toBe(400);
    expect((await ask("/admin/v1/profile/cpu?seconds=3600", { method: "POST" })).status).toBe(400);
  });

  test("[ADM-16] explain asks the running server and tells it in words, or as JSON", async () => {
    const user = await syncedUser("worded");
    const told = await box.server.command("explain", user.id);
    expect(told).toMatchObject({ code: 0, err: "" });
    for (const text of [
      user.id,
      "rooms: 1 join",
      "device FOO",
      "first sync: stored",
      "poller: ",
      "connection (unnamed) (msc3575): used",
      "Nothing looks wrong.",
    ]) {
      expect(told.out).toContain(text);
    }
    const json = JSON.parse((await box.server.command("explain", user.id, "--json")).out) as UserView;
    expect(json).toMatchObject({ userId: user.id, devices: [{ deviceId: "FOO", poller: { hasSynced: true } }] });
    expect((await box.server.command("explain", "nobody")).code).toBe(2);
  });

  test("[ADM-18] /health/deep tells anybody how requests and the homeserver did of late, and nothing else", async () => {
    const answer = await box.server.fetch("/health/deep");
    const { status, checks, requests, homeserver, ...rest } = (await answer.json()) as Record<string, unknown>;
    expect([answer.status, status, rest]).toEqual([200, "well", {}]);
    expect(checks).toEqual(
      ["hosts", "database", "requests", "homeserver"].map((name) => ({ name, ok: true, reason: null })),
    );
    expect(requests).toMatchObject({ windowMs: 300_000, calls: expect.any(Number), failures: expect.any(Number) });
    expect(homeserver).toMatchObject({ latencyMs: { p50: expect.any(Number) } });
    expect(Object.keys(homeserver as object).sort()).toEqual(["calls", "failures", "latencyMs", "windowMs"]);
  });

  test("[ADM-14] who did what is in the audit log and in the log, and no token is", async () => {
    const { items } = await get<Page<AuditView>>("/audit?limit=500");
    const actions = new Set(items.map(({ action }) => action));
    for (const action of [
      "resync",
      "pause-poller",
      "resume-poller",
      "drop-connection",
      "profile-cpu",
      "profile-heap",
    ]) {
      expect(actions).toContain(action);
    }
    expect(items.every(({ remote }) => remote === "127.0.0.1")).toBe(true);
    expect(items.find(({ result }) => result !== "done")).toMatchObject({ result: expect.stringContaining("no") });
    const [newest] = items;
    const older = await get<Page<AuditView>>(`/audit?limit=1&after=${newest?.id ?? 0}`);
    expect(older.items[0]?.id).toBe(items[1]?.id);
    expect(box.server.output).toContain('"msg":"admin action"');
    expect(box.server.output).not.toContain(TOKEN);
    expect(JSON.stringify(items)).not.toContain(TOKEN);
  });
});
