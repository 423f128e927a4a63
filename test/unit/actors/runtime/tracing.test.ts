import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { context, propagation, trace } from "@opentelemetry/api";
import { NodeSDK } from "@opentelemetry/sdk-node";
import type { Asked } from "#actors/runtime/actor.ts";
import { activeTraceparent } from "#actors/runtime/tracing.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { at, kindOf, soloHost } from "./rig.ts";

type Message = { type: "note-saved" } | Asked<{ type: "hello" }, string> | { type: "piped" } | { type: "delayed" };

type SpanProcessor = NonNullable<NonNullable<ConstructorParameters<typeof NodeSDK>[0]>["spanProcessors"]>[number];
type ReadableSpan = Parameters<SpanProcessor["onEnd"]>[0];

const finished: ReadableSpan[] = [];
const recorder: SpanProcessor = {
  onStart() {},
  onEnd: (span) => void finished.push(span),
  forceFlush: async () => {},
  shutdown: async () => {},
};
const sdk = new NodeSDK({ spanProcessors: [recorder], instrumentations: [], autoDetectResources: false });

beforeAll(() => sdk.start());
beforeEach(() => void finished.splice(0));
afterAll(async () => {
  await sdk.shutdown();
  // Other test files of this process are to find no tracing.
  trace.disable();
  context.disable();
  propagation.disable();
});

function rig() {
  const solo = soloHost();
  solo.host.addKinds({
    probe: kindOf<Message>((actor) => ({
      receive(message) {
        if (message.type === "note-saved") {
          actor.pipe(
            Promise.resolve(),
            () => ({ type: "piped" }),
            () => ({ type: "piped" }),
          );
          actor.after(10, { type: "delayed" });
        } else if (message.type === "hello") {
          actor.tell(at("b"), { type: "note-saved" });
          message.reply.resolve("hello");
        } else if (message.type === "delayed") {
          strays.push(activeTraceparent());
        }
      },
    })),
  });
  return solo;
}

/** The trace each turn without one of its own found itself in. */
const strays: string[] = [];
const names = (): string[] => finished.map(({ name }) => name);

test("[OBS-1] a turn continues the trace of its message, through tells and piped results, not through timers", async () => {
  const { host, time } = rig();
  const root = trace.getTracer("test").startSpan("root");
  await context.with(trace.setSpan(context.active(), root), () =>
    host.ask(at("a"), { type: "hello" }, { deadlineMs: 1000 }),
  );
  root.end();
  await settlePromises();
  await time.advance(10);
  expect(names().toSorted()).toEqual(["probe.hello", "probe.note-saved", "probe.piped", "root"]);
  const traceIds = new Set(finished.map((span) => span.spanContext().traceId));
  expect(traceIds.size).toBe(1);
  const hello = finished.find(({ name }) => name === "probe.hello");
  expect(hello?.attributes).toEqual({ "actor.kind": "probe", "actor.host": "main:0" });
  expect(strays).toEqual([""]);
});

test("[OBS-1] without a trace, or with one nobody records, a turn makes no span", async () => {
  const { host } = rig();
  await host.ask(at("a"), { type: "hello" }, { deadlineMs: 1000 });
  const unsampled = trace.wrapSpanContext({ traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: 0 });
  await context.with(trace.setSpan(context.active(), unsampled), async () => {
    expect(activeTraceparent()).toBe("");
    await host.ask(at("a"), { type: "hello" }, { deadlineMs: 1000 });
  });
  expect(names()).toEqual([]);
});

test("[OBS-1] a malformed traceparent costs the trace, not the message", async () => {
  const { host } = rig();
  const link = host.attach("sync:0", { isNear: false, deliver: () => Promise.resolve(undefined), close() {} });
  for (const traceparent of ["garbage", `00-${"0".repeat(32)}-${"0".repeat(16)}-01`, `ff-${"1".repeat(49)}-01`]) {
    const messages = [["probe", "a", "main:0", 5, traceparent, { type: "hello" }]];
    expect(host.take(link, { v: 1, messages, answers: [] }).answers).toEqual([[5, null, "hello"]]);
  }
  expect(names()).toEqual([]);
});
