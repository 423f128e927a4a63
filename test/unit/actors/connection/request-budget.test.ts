import { describe, expect, test } from "bun:test";
import { RequestBudgets, type RequestMeter } from "#actors/connection/request-budget.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { RecordingMetrics } from "#test/support/recording.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const USER = "@alice:hs" as UserId;
const LIMIT = { perSecond: 2, burst: 5 };

function rig(limit: typeof LIMIT | null = LIMIT) {
  const time = new VirtualTime();
  const metrics = new RecordingMetrics();
  const budgets = new RequestBudgets(limit, { clock: time, metrics });
  const meter = (deviceId = "D"): RequestMeter => budgets.forConnection(USER, deviceId as DeviceId);
  return { time, metrics, meter };
}

let asked = 0;

/** How many of so many requests, each asking for something else, are served. */
const served = (meter: RequestMeter, count: number): number =>
  Array.from({ length: count }, () => meter.process("advance", `request ${asked++}`, false)).filter(
    (refusal) => refusal === null,
  ).length;

describe("the budget of a device", () => {
  test("[LIM-1] so many at once, then so many a second, all connections of the device together, and no other device", async () => {
    const { time, metrics, meter } = rig();
    expect(served(meter(), 4)).toBe(4);
    expect(served(meter(), 4)).toBe(1);
    expect(meter().start()?.code).toBe("limit_exceeded");
    expect(served(meter("OTHER"), 5)).toBe(5);
    await time.advance(1000);
    expect(served(meter(), 9)).toBe(2);
    await time.advance(60_000);
    expect(served(meter(), 9)).toBe(5);
    expect(metrics.of("sliding_sync_api_rate_limited_total")).toBe(3 + 1 + 7 + 4);
  });

  test("[LIM-2] asking on as before costs nothing, however often news come", () => {
    const { meter } = rig();
    const connection = meter();
    expect(connection.start()).toBeNull();
    for (let n = 0; n < 1000; n += 1) expect(connection.process("advance", "the same", false)).toBeNull();
  });

  test("[LIM-3] asking on in vain without waiting costs, and is refused as soon as something else is asked for", async () => {
    const { time, meter } = rig();
    const connection = meter();
    for (let n = 0; n < 50; n += 1) {
      connection.process("advance", "the same", false);
      connection.askedInVain();
    }
    expect(connection.process("advance", "another", false)?.code).toBe("limit_exceeded");
    // However much it was, it is paid back within seconds.
    await time.advance(3000);
    expect(connection.process("advance", "a third", false)).toBeNull();
  });

  test("[LIM-4] an answer that was lost is had again without paying, some times", () => {
    const { meter } = rig();
    const connection = meter();
    expect(served(connection, 9)).toBe(5);
    for (let n = 0; n < 8; n += 1) expect(connection.repeat()).toBeNull();
    expect(connection.repeat()?.code).toBe("limit_exceeded");
    // In the simplified dialects it is the same request that comes again.
    const other = meter("OTHER");
    other.process("advance", "the same", false);
    expect(served(meter("OTHER"), 9)).toBe(4);
    for (let n = 0; n < 8; n += 1) expect(other.process("fork", "the same", false)).toBeNull();
    expect(other.process("fork", "the same", false)?.code).toBe("limit_exceeded");
  });

  test("[LIM-5] whoever is sent back to the beginning begins without paying, once a second", async () => {
    const { time, meter } = rig();
    const connection = meter();
    expect(served(connection, 9)).toBe(5);
    expect(connection.start()?.code).toBe("limit_exceeded");
    connection.sentBack("lost", "it is lost");
    expect(connection.start()).toBeNull();
    expect(connection.start()?.code).toBe("limit_exceeded");
    connection.sentBack("lost", "it is lost");
    expect(connection.start()?.code).toBe("limit_exceeded");
    await time.advance(1000);
    expect(served(connection, 9)).toBe(2);
    connection.sentBack("lost", "it is lost");
    expect(connection.start()).toBeNull();
  });

  test("[LIM-6] without a limit nobody is limited", () => {
    const { meter } = rig(null);
    expect(served(meter(), 100_000)).toBe(100_000);
  });
});
