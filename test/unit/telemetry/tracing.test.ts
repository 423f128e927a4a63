import { context, propagation, trace } from "@opentelemetry/api";
import { describe, expect, test } from "bun:test";
import { traceRequest } from "#src/http/tracing.ts";
import { signalUrl } from "#src/telemetry/otlp.ts";
import { startTelemetry } from "#src/telemetry/start.ts";
import { OtlpReceiver } from "#test/support/otlp-receiver.ts";

describe("tracing", () => {
  test("[TRC-1] a request is one span that continues the client's trace, with nothing secret in it", async () => {
    const receiver = await OtlpReceiver.start();
    try {
      const script = new URL("traced-request.ts", import.meta.url).pathname;
      const traced = Bun.spawn([process.execPath, script, receiver.url], { stdout: "pipe", stderr: "pipe" });
      const output = (await new Response(traced.stdout).text()) + (await new Response(traced.stderr).text());
      expect({ code: await traced.exited, output }).toMatchObject({ code: 0 });

      expect(new Set(receiver.requests.map(({ path }) => path))).toEqual(new Set(["/v1/traces"]));
      expect(receiver.requests[0]?.authorization).toBe(`Basic ${btoa("user:otlp-sesame")}`);
      const [first, second, ...others] = receiver.spans;
      expect(others).toEqual([]);
      expect(first).toMatchObject({
        name: "http.sync.post",
        traceId: "0af7651916cd43dd8448eb211c80319c",
        parentSpanId: "b7ad6b7169203331",
      });
      expect(first?.attributes).toEqual({
        "http.request.method": "POST",
        "http.route": "/_matrix/client/v3/sync",
        "http.response.status_code": 200,
        "sync.user_id": "@alice:hs",
        "sync.device_id": "DEV",
        "sync.conn_id": "c",
        "sync.txn_id": "t",
        "sync.pos": "p1",
        "sync.initial": false,
        "sync.waited": true,
        "sync.rooms": 1,
      });
      expect(first?.resource).toMatchObject({ "service.name": "glissade", "actor.host": "main" });
      expect(second?.attributes).toMatchObject({ "http.response.status_code": 401, "error.type": "unknown_token" });
      expect(receiver.bodies.join("")).not.toContain("sesame");
      // The log line of the request leads to its trace.
      expect(output).toContain('"trace_id":"0af7651916cd43dd8448eb211c80319c"');
      expect(output).not.toContain("sesame");
    } finally {
      await receiver.stop();
    }
  });

  test("[TRC-2] without a receiver nothing global changes, and requests run without a recording span", async () => {
    const telemetry = await startTelemetry({ logLevel: "fatal", otlp: null, hasMetrics: false }, "main");
    const headers = new Headers({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
    const isRecording = await traceRequest("http.sync.post", headers, {}, async (span) => span.isRecording());
    expect(isRecording).toBe(false);
    expect(propagation.fields()).toEqual([]);
    expect(trace.getSpan(context.active())).toBeUndefined();
    expect(await telemetry.collectMetrics()).toBeNull();
    await telemetry.shutdown();
  });

  test("[TRC-3] a receiver that is away costs a log line, not the shutdown", async () => {
    const script = new URL("traced-request.ts", import.meta.url).pathname;
    const traced = Bun.spawn([process.execPath, script, "http://127.0.0.1:9"], { stdout: "pipe", stderr: "pipe" });
    const output = await new Response(traced.stdout).text();
    expect(await traced.exited).toBe(0);
    expect(output).toContain("spans not flushed");
    expect(output).not.toContain("sesame");
  });

  test("[FWD-33] a forwarded request is one span in the client's trace, with its class and nothing of its path", async () => {
    const receiver = await OtlpReceiver.start();
    try {
      const script = new URL("traced-forward.ts", import.meta.url).pathname;
      const traced = Bun.spawn([process.execPath, script, receiver.url], { stdout: "pipe", stderr: "pipe" });
      const output = await new Response(traced.stdout).text();
      expect(await traced.exited).toBe(0);
      expect(
        receiver.spans.map(({ name, traceId, parentSpanId, attributes }) => ({
          name,
          traceId,
          parentSpanId,
          attributes,
        })),
      ).toEqual([
        {
          name: "http.forward.request",
          traceId: "0af7651916cd43dd8448eb211c80319c",
          parentSpanId: "b7ad6b7169203331",
          attributes: { "http.request.method": "GET", "http.route": "rooms", "http.response.status_code": 403 },
        },
      ]);
      expect(receiver.bodies.join("") + output).not.toContain("sesame");
    } finally {
      await receiver.stop();
    }
  });

  test("[TRC-4] the path of a signal is added once", () => {
    expect(signalUrl("http://otel:4318", "traces")).toBe("http://otel:4318/v1/traces");
    expect(signalUrl("http://otel:4318/", "traces")).toBe("http://otel:4318/v1/traces");
    expect(signalUrl("http://otel/prefix", "metrics")).toBe("http://otel/prefix/v1/metrics");
    expect(signalUrl("http://otel/v1/traces", "traces")).toBe("http://otel/v1/traces");
    expect(signalUrl("http://otel/v1/traces", "logs")).toBe("http://otel/v1/logs");
  });
});
