import { describe, expect, test } from "bun:test";
import { Deliveries } from "#bench/deliveries.ts";
import { markerFor, nowUs } from "#bench/marker.ts";

function event(sequence: number, sentUs = nowUs()): string {
  return `{"type":"m.room.message","content":{"body":"x",${markerFor(sequence, sentUs)}}}`;
}

function answer(events: readonly string[], room = ""): Buffer {
  return Buffer.from(`{"rooms":{"!a":{${room}"timeline":[${events.join(",")}]}},"pos":"1"}`);
}

describe("Deliveries", () => {
  test("[BENCH-4] counts lost and doubled events by their numbers", () => {
    const deliveries = new Deliveries(2);
    for (let index = 0; index < 3; index += 1) deliveries.expect([0, 1]);
    deliveries.received(0, answer([event(0), event(1), event(2)]));
    deliveries.received(1, answer([event(0), event(2)]));
    deliveries.received(1, answer([event(2)]));
    expect(deliveries.count()).toEqual({ deliveredCount: 5, lostCount: 1, doubledCount: 1 });
  });

  test("[BENCH-5] a room that starts anew repeats nothing", () => {
    const deliveries = new Deliveries(1);
    deliveries.expect([0]);
    deliveries.received(0, answer([event(0)]));
    deliveries.received(0, answer([event(0)], '"initial":true,'));
    expect(deliveries.count()).toEqual({ deliveredCount: 1, lostCount: 0, doubledCount: 0 });
  });

  test("[BENCH-6] a join that also comes as state is one delivery when only timelines count", () => {
    const deliveries = new Deliveries(1, true);
    deliveries.expect([0]);
    deliveries.received(0, answer([event(0)], `"required_state":[${event(0)}],`));
    expect(deliveries.count()).toEqual({ deliveredCount: 1, lostCount: 0, doubledCount: 0 });
  });

  test("[BENCH-7] latency is the time from sending to the client, and completion is told once", () => {
    const deliveries = new Deliveries(2);
    const complete: number[] = [];
    deliveries.onComplete = (sequence) => complete.push(sequence);
    deliveries.expect([0, 1]);
    const sentUs = nowUs() - 5000;
    deliveries.received(0, answer([event(0, sentUs)]));
    expect(complete).toEqual([]);
    deliveries.received(1, answer([event(0, sentUs)]));
    expect(complete).toEqual([0]);
    const latencies = deliveries.takeLatencies();
    expect(latencies).toHaveLength(2);
    for (const latencyMs of latencies) expect(latencyMs).toBeGreaterThanOrEqual(5);
    expect(deliveries.takeLatencies()).toEqual([]);
  });
});
