import { afterAll, describe, expect, test } from "bun:test";
import { BlackBox, joined, response } from "#test/support/black-box.ts";
import { OtlpReceiver } from "#test/support/otlp-receiver.ts";
import { until } from "#test/support/until.ts";

const LIMIT_MS = 120_000;
const LIST = { lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } } };
const HOSTS = ["main:0", "ingest:0", "sync:0", "poller:0"];
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";

const cleanup = new AsyncDisposableStack();
afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

async function receiver(): Promise<OtlpReceiver> {
  const started = await OtlpReceiver.start();
  cleanup.defer(() => started.stop());
  return started;
}

const hostsOf = (told: readonly { resource: Record<string, unknown> }[]): string[] =>
  HOSTS.filter((host) => told.some(({ resource }) => resource["actor.host"] === host));

/** A message with a secret in it comes to a client that sends a trace along; the answer. */
async function converse(box: BlackBox): Promise<{ token: string }> {
  const user = box.user("told");
  const roomId = box.roomId("told");
  const said = box.say(user.id, "content-sesame");
  box.homeserver.queue(
    user.token,
    response([joined(roomId, { state: box.beginning(user.id), timeline: [said] })], { next_batch: "s1" }),
  );
  const answer = await box.server.fetch("/_matrix/client/v3/sync?timeout=20", {
    method: "POST",
    headers: { authorization: `Bearer ${user.token}`, traceparent: `00-${TRACE_ID}-b7ad6b7169203331-01` },
    body: JSON.stringify(LIST),
  });
  expect(answer.status).toBe(200);
  expect(await answer.text()).toContain("content-sesame");
  return user;
}

describe("OTLP", () => {
  test(
    "[TRC-40] a receiver gets traces, metrics and logs of every host, and nothing secret",
    async () => {
      const otlp = await receiver();
      const secrets = { SYNCV3_OTLP_USERNAME: "glissade", SYNCV3_OTLP_PASSWORD: "otlp-sesame" };
      const box = cleanup.use(
        await BlackBox.start(
          {},
          { SYNCV3_OTLP_URL: otlp.url, ...secrets, OTEL_METRIC_EXPORT_INTERVAL: "500", SYNCV3_LOG_LEVEL: "debug" },
        ),
      );
      const user = await converse(box);
      const isComplete = (): boolean =>
        [otlp.metrics, otlp.spans].every((told) => hostsOf(told).length === HOSTS.length || told === otlp.spans) &&
        otlp.spans.some(({ name }) => name === "ingest.commit") &&
        otlp.logs.some(({ message }) => message === "request");
      await until("all that a receiver is told", isComplete);
      await box.server.kill("SIGTERM");
      const paths = new Set(otlp.requests.map(({ path }) => path));
      expect(paths).toEqual(new Set(["/v1/traces", "/v1/metrics", "/v1/logs"]));
      expect(
        otlp.requests.every(({ authorization }) => authorization === `Basic ${btoa("glissade:otlp-sesame")}`),
      ).toBe(true);
      expect(hostsOf(otlp.metrics)).toEqual(HOSTS);
      expect(hostsOf(otlp.logs)).toEqual(expect.arrayContaining(["main:0", "poller:0"]));
      expect(otlp.spans.map(({ name }) => name)).toEqual(
        expect.arrayContaining(["http.sync.post", "connection.sync-request", "poller.sync", "ingest.commit"]),
      );
      const names = new Set(otlp.metrics.map(({ name }) => name));
      for (const name of [
        "sliding_sync_http_requests_total",
        "homeserver_request_duration_secs",
        "event_loop_lag_secs",
      ]) {
        expect(names).toContain(name);
      }
      // The line of the request is in the client's own trace.
      expect(otlp.logs.find(({ message }) => message === "request")).toMatchObject({
        level: "info",
        traceId: TRACE_ID,
        attributes: { status: 200, device_id: "FOO" },
      });
      // The homeserver is told of the trace: of the client's where the client waits for it.
      const poll = box.homeserver.seen.find(({ token }) => token === user.token);
      expect(poll?.headers.get("traceparent")).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
      expect(box.homeserver.whoamiHeaders.at(-1)?.get("traceparent")).toStartWith(`00-${TRACE_ID}-`);

      const everything = otlp.bodies.join("\n");
      for (const secret of ["sesame", user.token, "a secret of the black box"])
        expect(everything).not.toContain(secret);
    },
    LIMIT_MS,
  );

  test(
    "[TRC-41] without our own variables those of OpenTelemetry say where to, what, and how much",
    async () => {
      const otlp = await receiver();
      const box = cleanup.use(
        await BlackBox.start(
          {},
          {
            OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url,
            OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=matrix",
            OTEL_METRICS_EXPORTER: "none",
            OTEL_TRACES_SAMPLER: "parentbased_always_off",
            OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test",
            OTEL_SERVICE_NAME: "sync-of-hs",
          },
        ),
      );
      await converse(box);
      await box.server.kill("SIGTERM");
      expect(otlp.requests.every(({ headers }) => headers.get("x-tenant") === "matrix")).toBe(true);
      expect(otlp.metrics).toEqual([]);
      // The sampler takes no trace of its own, and the client's, which is sampled.
      expect(new Set(otlp.spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE_ID]));
      expect(otlp.logs.find(({ message }) => message === "ready")?.resource).toMatchObject({
        "service.name": "sync-of-hs",
        "deployment.environment": "test",
        "actor.host": "main:0",
      });
    },
    LIMIT_MS,
  );
});
