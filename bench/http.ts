/**
 * What the front door costs: long-lived connections, one request in flight on each, a gateway that answers at once.
 * `bun bench/http.ts [seconds]`. The server runs in a process of its own and is compared with Bun's bare server.
 */
import { WELL } from "#test/support/well.ts";
import { connect } from "node:net";
import { yieldToIo } from "#src/hosts/serve-host.ts";
import { RecentRequests } from "#src/http/recent-requests.ts";
import { createApp } from "#src/http/app.ts";
import { listen } from "#src/http/listener.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import { createMetricsRegistry } from "#src/telemetry/metrics-registry.ts";
import { NO_METRICS } from "#src/telemetry/start.ts";

const CONNECTIONS = 32;
const ANSWER = new TextEncoder().encode(
  JSON.stringify({ pos: "p", lists: {}, rooms: {}, extensions: {}, pad: "x".repeat(1900) }),
);
const BODY = JSON.stringify({
  conn_id: "bench",
  lists: { all: { ranges: [[0, 19]], sort: ["by_recency"], timeline_limit: 10 } },
  extensions: { to_device: { enabled: true }, e2ee: { enabled: true } },
});
const PATH = "/_matrix/client/unstable/org.matrix.msc3575/sync";

type Variant = "bare" | "app" | "app+log" | "app+log+metrics";
const VARIANTS: readonly Variant[] = ["bare", "app", "app+log", "app+log+metrics"];

/** Child: serves, and tells its port and, when its input ends, its CPU time. */
async function serve(variant: Variant): Promise<void> {
  const identity = { userId: "@alice:example.org" as UserId, deviceId: "DEVICE" as DeviceId, tokenHash: "hash" };
  const answer = { body: ANSWER, posOut: "p", rooms: 0, ops: 0, waitedMs: 0, setupMs: 0 };
  const app = createApp({
    gateway: { identify: async () => identity, sync: async () => answer },
    dialects: Object.values(DIALECTS),
    clock: systemClock,
    timers: systemTimers,
    log: createLogger({ level: variant === "app" ? "error" : "info", host: "main:0" }),
    metrics:
      variant === "app+log+metrics" ? createMetricsRegistry({ host: "main:0", startedMs: 0 }).metrics : NO_METRICS,
    health: { report: async () => ({ ready: true, checks: [] }) },
    versions: { versionsFor: async () => ({ status: 200, headers: {}, body: "{}" }) },
    serverInfo: { server: "", version: "" },
    deepHealth: async () => WELL,
    recent: new RecentRequests(systemClock),
    afterReply: yieldToIo,
  });
  const bare = async (request: Request): Promise<Response> => {
    await request.text();
    return new Response(ANSWER, { headers: { "content-type": "application/json" } });
  };
  const listener = await listen({
    bind: { kind: "tcp", host: "127.0.0.1", port: 0 },
    tls: null,
    fetch: variant === "bare" ? bare : (request) => app.handle(request),
    timers: systemTimers,
  });
  process.stderr.write(`${listener.address}\n`);
  for await (const _ of Bun.stdin.stream()) continue;
  const { user, system } = process.cpuUsage();
  process.stderr.write(`${(user + system) / 1000}\n`);
  process.exit(0);
}

/** Requests over one connection, the next as soon as one is answered, until `untilMs`; their number. */
function drive(port: number, untilMs: number): Promise<number> {
  const request = `POST ${PATH}?pos=p&timeout=30000 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer syt_token\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
  return new Promise((resolve, reject) => {
    let done = 0;
    let missing = 0;
    const socket = connect({ host: "127.0.0.1", port }, () => socket.write(request));
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      if (missing === 0) {
        const end = chunk.indexOf("\r\n\r\n");
        const length = Number(/content-length: (\d+)/i.exec(chunk.toString("latin1", 0, end))?.[1]);
        missing = end + 4 + length;
      }
      missing -= chunk.length;
      if (missing > 0) return;
      done++;
      if (systemClock.mono() < untilMs) socket.write(request);
      else {
        socket.destroy();
        resolve(done);
      }
    });
  });
}

async function measure(variant: Variant, seconds: number): Promise<void> {
  const child = Bun.spawn([process.execPath, Bun.main, `--serve=${variant}`], {
    stdin: "pipe",
    stdout: Bun.file("/dev/null"),
    stderr: "pipe",
  });
  const lines = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const port = Number(new URL(String((await lines.read()).value).trim()).port);
  await Promise.all(Array.from({ length: CONNECTIONS }, () => drive(port, systemClock.mono() + 500)));
  const untilMs = systemClock.mono() + seconds * 1000;
  const counts = await Promise.all(Array.from({ length: CONNECTIONS }, () => drive(port, untilMs)));
  const total = counts.reduce((sum, count) => sum + count, 0);
  await child.stdin.end();
  const cpuMs = Number(String((await lines.read()).value).trim());
  const warmShare = 0.5 / (seconds + 0.5);
  const cpuEachUs = (cpuMs * (1 - warmShare) * 1000) / total;
  console.log(
    `${variant.padEnd(18)} ${Math.round(total / seconds)} requests/s, server CPU ${cpuEachUs.toFixed(0)} µs each`,
  );
}

const role = Bun.argv.find((argument) => argument.startsWith("--serve="))?.slice("--serve=".length);
if (role !== undefined) await serve(role as Variant);
else for (const variant of VARIANTS) await measure(variant, Number(Bun.argv[2] ?? 3));
