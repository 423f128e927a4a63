// Forwards one request with tracing on; run by tracing.test.ts as a process of its own, because tracing is global.
import { NO_METRICS, startTelemetry } from "#src/telemetry/start.ts";
import { Forwarder } from "#src/homeserver/forwarder.ts";
import { createFront } from "#src/http/front.ts";
import { listenRaw } from "#src/http/raw-listener.ts";
import { systemClock, systemTimers } from "#src/system.ts";

const TRACES = { traces: true, metrics: false, logs: false };
const [, , url = ""] = Bun.argv;
const telemetry = await startTelemetry(
  {
    logLevel: "debug",
    otlp: { url, username: null, password: null, signals: TRACES, metricIntervalMs: 60_000 },
    hasMetrics: false,
  },
  "main",
);
const homeserver = Bun.serve({ port: 0, fetch: () => new Response("sesame", { status: 403 }) });
const ports = { clock: systemClock, timers: systemTimers };
const address = { url: `http://127.0.0.1:${homeserver.port}`, socketPath: null };
const listener = await listenRaw({
  bind: { kind: "tcp", host: "127.0.0.1", port: 0 },
  tls: null,
  timers: systemTimers,
  handle: createFront({
    ...ports,
    forwarder: new Forwarder({ ...ports, address, frontId: "front", deadlineMs: 5000 }),
    tokens: { tokenAt: () => Promise.resolve(null) },
    observer: { forwarded: () => {} },
    handle: () => new Response(),
    scheme: "http",
    log: telemetry.log,
    metrics: NO_METRICS,
  }),
});
const answer = await fetch(`${listener.address}/_matrix/client/v3/rooms/!sesame:hs/messages?access_token=sesame`, {
  headers: { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", authorization: "Bearer sesame" },
});
await answer.text();
await listener.stop(1000);
await homeserver.stop();
await telemetry.shutdown();
process.exit(0);
