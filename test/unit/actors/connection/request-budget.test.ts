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
/** Requests that wait, that do not, and that begin. */
const [PATIENT, HURRIED, START] = [
  { isStart: false, timeoutMs: 30_000 },
  { isStart: false, timeoutMs: 0 },
  { isStart: true, timeoutMs: 0 },
];

/** How many of so many requests, each asking for something else, are served. */
function served(meter: RequestMeter, count: number): number {
  meter.process("advance", "what was asked for before", START);
  const refusals = Array.from({ length: count }, () => meter.process("advance", `request ${asked++}`, PATIENT));
  return refusals.filter((refusal) => refusal === null).length;
}

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
    for (let n = 0; n < 1000; n += 1) expect(connection.process("advance", "the same", PATIENT)).toBeNull();
    // The same goes for those that take news as fast as they come.
    for (let n = 0; n < 1000; n += 1) {
      expect(connection.process("advance", "the same", HURRIED)).toBeNull();
      connection.answered(true, 0);
    }
  });

  test("[LIM-3] asking on in vain without waiting is paid afterwards, and refused while the device owes for it", async () => {
    const { time, meter } = rig();
    for (const [timeoutMs, waitedMs] of [
      [0, 0],
      [1, 1],
    ] as const) {
      const connection = meter();
      const hurried = { isStart: false, timeoutMs };
      let count = 0;
      while (connection.process("advance", "the same", hurried) === null && count < 100) {
        connection.answered(false, waitedMs);
        count += 1;
      }
      // The whole burst, and one more, which is what it owes.
      expect(count).toBe(6);
      expect(connection.process("advance", "another", PATIENT)?.code).toBe("limit_exceeded");
      // Who waits for news is served all the same, and so is who has news to take.
      expect(connection.process("advance", "the same", PATIENT)).toBeNull();
      connection.answered(true, 0);
      expect(connection.process("advance", "the same", hurried)).toBeNull();
      // However much it was, it is paid back within seconds.
      await time.advance(10_000);
      expect(connection.process("advance", "a third", PATIENT)).toBeNull();
      await time.advance(10_000);
    }
  });

  test("[LIM-3] news that do not come within the time of a long poll cost nothing", () => {
    const { meter } = rig();
    const connection = meter();
    expect(connection.start()).toBeNull();
    for (let n = 0; n < 100; n += 1) {
      expect(connection.process("advance", "the same", PATIENT)).toBeNull();
      connection.answered(false, 30_000);
    }
    expect(served(meter(), 9)).toBe(4);
  });

  test("[LIM-7] what was refused is as new the second time as the first", async () => {
    const { time, meter } = rig();
    const connection = meter();
    expect(served(connection, 9)).toBe(5);
    for (let n = 0; n < 5; n += 1)
      expect(connection.process("advance", "too much", PATIENT)?.code).toBe("limit_exceeded");
    await time.advance(500);
    expect(connection.process("advance", "too much", PATIENT)).toBeNull();
    expect(connection.process("advance", "too much", PATIENT)).toBeNull();
  });

  test("[LIM-8] a connection that is taken up, or lives for one request alone, goes on without paying", () => {
    const { meter } = rig();
    expect(served(meter(), 9)).toBe(5);
    for (let n = 0; n < 9; n += 1) expect(meter().process("process", "what waits for keys", PATIENT)).toBeNull();
    // In debt it has to wait for news, as any other.
    const vain = meter();
    for (let n = 0; n < 3; n += 1) vain.answered(false, 0);
    expect(meter().process("process", "what waits for keys", PATIENT)).toBeNull();
    expect(meter().process("process", "what waits for keys", HURRIED)?.code).toBe("limit_exceeded");
  });

  test("[LIM-4] an answer that was lost is had again without paying, some times", () => {
    const { meter } = rig();
    const connection = meter();
    expect(served(connection, 9)).toBe(5);
    for (let n = 0; n < 8; n += 1) expect(connection.repeat()).toBeNull();
    expect(connection.repeat()?.code).toBe("limit_exceeded");
    // In the simplified dialects it is the same request that comes again.
    const other = meter("OTHER");
    other.process("advance", "before", START);
    other.process("advance", "the same", PATIENT);
    expect(served(meter("OTHER"), 9)).toBe(4);
    for (let n = 0; n < 8; n += 1) expect(other.process("fork", "the same", PATIENT)).toBeNull();
    expect(other.process("fork", "the same", PATIENT)?.code).toBe("limit_exceeded");
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
