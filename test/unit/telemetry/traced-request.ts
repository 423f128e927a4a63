/**
 * Run by `tracing.test.ts` as a process of its own: the SDK is global to a thread, and other tests must not be traced.
 * Arguments: URL of the receiver. Serves two requests through the real app, then shuts down.
 */
import { WELL } from "#test/support/well.ts";
import { SyncError } from "#src/errors.ts";
import { createApp } from "#src/http/app.ts";
import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { NO_METRICS, startTelemetry } from "#src/telemetry/start.ts";

const TRACES = { traces: true, metrics: false, logs: false };
const [, , url = ""] = Bun.argv;
const telemetry = await startTelemetry(
  {
    logLevel: "info",
    otlp: { url, username: "user", password: "otlp-sesame", signals: TRACES, metricIntervalMs: 60_000 },
    hasMetrics: false,
  },
  "main",
);
const app = createApp({
  gateway: {
    identify: async (token) => {
      if (token === "dead-sesame") throw new SyncError("unknown_token", "/whoami returned HTTP 401");
      return { userId: "@alice:hs" as UserId, deviceId: "DEV" as DeviceId, tokenHash: "hash" };
    },
    sync: async () => ({ body: new Uint8Array([123, 125]), posOut: "p2", rooms: 1, ops: 1, waitedMs: 5, setupMs: 0 }),
  },
  dialects: Object.values(DIALECTS),
  clock: systemClock,
  timers: systemTimers,
  log: telemetry.log,
  metrics: NO_METRICS,
  health: { report: async () => ({ ready: true, checks: [] }) },
  versions: { versionsFor: async () => ({ status: 200, headers: {}, body: "{}" }) },
  serverInfo: { server: "https://hs", version: "1" },
  deepHealth: async () => WELL,
  recent: { ended() {} },
  afterReply: (run) => run(),
});

const post = async (token: string, query: string): Promise<number> => {
  const request = new Request(`http://localhost/_matrix/client/v3/sync?${query}`, {
    method: "POST",
    body: JSON.stringify({ conn_id: "c", txn_id: "t", lists: { "body-sesame": {} } }),
    headers: {
      authorization: `Bearer ${token}`,
      cookie: "cookie-sesame",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
  });
  return (await app.handle(request)).status;
};

const statuses = [await post("token-sesame", "pos=p1&access_token=query-sesame"), await post("dead-sesame", "")];
await telemetry.shutdown();
process.exit(statuses.join() === "200,401" ? 0 : 1);
