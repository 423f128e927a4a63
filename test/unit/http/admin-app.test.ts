import { beforeEach, expect, test } from "bun:test";
import type { AdminService } from "#src/admin/admin-service.ts";
import { type AdminHandler, createAdminApp } from "#src/http/admin-app.ts";
import { RecordingMetrics, recordingLogger } from "#test/support/recording.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const TOKEN = "an-admin-token-of-the-tests";
const ORIGIN = "http://admin.example.org";

let log: ReturnType<typeof recordingLogger>;
let metrics: RecordingMetrics;
let time: VirtualTime;
let called: string[];
let snapshot: PromiseWithResolvers<Uint8Array<ArrayBuffer>>;
let app: AdminHandler;

beforeEach(() => {
  time = new VirtualTime();
  metrics = new RecordingMetrics();
  log = recordingLogger();
  called = [];
  snapshot = Promise.withResolvers();
  const doing = (name: string, answer: unknown) => (): unknown => {
    called.push(name);
    return answer;
  };
  const service = {
    overview: doing("overview", {}),
    user: doing("user", {}),
    audit: doing("audit", {}),
    resync: doing("resync", 1),
    setPaused: doing("setPaused", undefined),
    dropConnection: doing("dropConnection", undefined),
    profileCpu: doing("profileCpu", new Uint8Array()),
    snapshotHeap: () => snapshot.promise,
  };
  app = createAdminApp({
    service: service as unknown as AdminService,
    token: TOKEN,
    console: {
      files: { find: async () => null },
      settings: { version: "1", dialects: [], homeservers: [], hasAdmin: true, needsToken: true },
    },
    store: { saveAudit: async () => undefined },
    clock: time,
    timers: time,
    log,
    metrics,
  });
});

const ask = (method: string, path: string, token: string | null = TOKEN): Promise<Response> => {
  const headers = new Headers(token === null ? {} : { authorization: `Bearer ${token}` });
  return app(new Request(ORIGIN + path, { method, headers }), "192.0.2.1");
};

test("[ADM-23] an action is in the log before it is done, and again when it is over", async () => {
  const asked = ask("POST", "/admin/v1/profile/heap?host=sync:0");
  for (let turns = 0; turns < 1000 && log.lines.length === 0; turns += 1) await Promise.resolve();
  const who = { action: "profile-heap", target: "sync:0", remote: "192.0.2.1" };
  expect(log.lines).toEqual([{ level: "info", message: "admin action begun", fields: who }]);
  snapshot.resolve(new Uint8Array([123, 125]));
  expect((await asked).status).toBe(200);
  expect(log.lines[1]).toEqual({ level: "info", message: "admin action", fields: { ...who, result: "done" } });
  expect(JSON.stringify(log.lines)).not.toContain(TOKEN);
});

test("[ADM-24] no spelling of a path and no other method gets past the token", async () => {
  const operations = [
    ["GET", "/admin/v1/overview"],
    ["GET", "/admin/v1/users/%40a%3Ab"],
    ["POST", "/admin/v1/resync"],
    ["POST", "/admin/v1/pollers/%40a%3Ab/D/pause"],
    ["DELETE", "/admin/v1/connections/%40a%3Ab/D/"],
    ["POST", "/admin/v1/profile/cpu"],
  ] as const;
  for (const [own, path] of operations) {
    const spellings = [
      path,
      `/${path}`,
      `${path}?x=1`,
      path.replace("/admin", "/client/../admin"),
      path.replace("/v1", "/v1/."),
      path.replace("admin", "%61dmin"),
      path.replace("/v1/", "/v1%2F"),
      path.replace("/v1/", "//v1/"),
      path.toUpperCase(),
    ];
    for (const spelling of spellings) {
      for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
        for (const token of [null, `${TOKEN}x`, ""]) {
          const { status } = await ask(method, spelling, token);
          expect([401, 404]).toContain(status);
        }
        // With the token what acts answers to its own method alone.
        if (own !== "GET" && method !== own) expect((await ask(method, spelling)).status).toBe(404);
      }
    }
  }
  expect(called).toEqual([]);
  // Bytes that are no text are somebody's mistake, not ours.
  expect((await ask("GET", "/admin/v1/users/%zz")).status).toBe(400);
  expect((await ask("GET", "/admin/v1/users/%40a%3Ab")).status).toBe(200);
});

test("[ADM-29] refused requests are counted, and told in the log once a minute with how many there were", async () => {
  const guess = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n += 1)
      expect((await ask("GET", `/admin/v1/overview?${n}`, `guess-${n}`)).status).toBe(401);
  };
  const refused = { path: "/admin/v1/overview", remote: "192.0.2.1" };
  await guess(50);
  expect(log.lines).toEqual([{ level: "warn", message: "admin request refused", fields: { ...refused, refused: 1 } }]);
  await time.advance(60_000);
  await guess(3);
  expect(log.lines.slice(1)).toEqual([
    { level: "warn", message: "admin request refused", fields: { ...refused, refused: 50 } },
  ]);
  await ask("GET", "/admin/v1/overview");
  expect(metrics.of("admin_requests_refused_total")).toBe(53);
  await time.advance(60_000);
  await ask("GET", `/admin/v1/users/${"x".repeat(5000)}`, null);
  expect(String(log.lines[2]?.fields["path"])).toHaveLength(200);
});
