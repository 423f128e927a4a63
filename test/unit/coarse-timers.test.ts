import { describe, expect, test } from "bun:test";
import { CoarseTimers } from "#src/coarse-timers.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const START_MS = 1_000_000;

function setUp() {
  const time = new VirtualTime(START_MS);
  const timers = new CoarseTimers(time, time);
  const gone: [name: string, lateMs: number][] = [];
  const after = (delayMs: number, name = String(delayMs)) => {
    const dueMs = time.mono() + delayMs;
    return timers.after(delayMs, () => void gone.push([name, time.mono() - dueMs]));
  };
  return { time, timers, gone, after };
}

describe("CoarseTimers", () => {
  test("[TMR-1] what is due soon goes off to the millisecond, what is due later at most a little late, and never early", async () => {
    const { time, gone, after } = setUp();
    for (const delayMs of [0, 1, 999, 7999]) after(delayMs);
    await time.advance(8000);
    expect(gone).toEqual([
      ["0", 0],
      ["1", 0],
      ["999", 0],
      ["7999", 0],
    ]);
    gone.length = 0;
    const delays = [8000, 30_000, 30_001, 65_432, 300_000, 3 * 86_400_000];
    for (const delayMs of delays) after(delayMs);
    await time.advance(4 * 86_400_000);
    expect(gone.map(([name]) => Number(name))).toEqual(delays);
    for (const [name, lateMs] of gone) {
      expect(lateMs).toBeGreaterThanOrEqual(0);
      expect(lateMs).toBeLessThanOrEqual(Number(name) / 300);
    }
  });

  test("[TMR-2] many that are due at about the same time share a timer, and none of it is left when all are cancelled", async () => {
    const { time, gone, after } = setUp();
    const cancels = Array.from({ length: 100 }, (_, index) => after(30_000 + index, String(index)));
    expect(time.pendingCount).toBeLessThanOrEqual(3);
    for (const cancel of cancels.slice(1)) cancel();
    expect(time.pendingCount).toBe(1);
    for (const cancel of cancels) cancel();
    expect(time.pendingCount).toBe(0);
    const last = after(30_000, "last");
    for (const cancel of cancels) cancel();
    await time.advance(31_000);
    expect(gone.map(([name]) => name)).toEqual(["last"]);
    last();
  });

  test("[TMR-3] one that cancels another of the same moment has it not go off, and one that fails takes none along", async () => {
    const { time, timers, gone, after } = setUp();
    const cancels: (() => void)[] = [];
    timers.after(30_000, () => {
      cancels[0]?.();
      throw new Error("this one fails");
    });
    cancels.push(after(30_000, "cancelled"));
    after(30_000, "another");
    expect(await time.advance(31_000).catch(String)).toContain("this one fails");
    await time.advance(1000);
    expect(gone.map(([name]) => name)).toEqual(["another"]);
  });

  test("[TMR-4] what is to happen never is nobody's business", async () => {
    const { time, timers } = setUp();
    const cancel = timers.after(Infinity, () => expect.unreachable());
    await time.advance(86_400_000);
    cancel();
    expect(time.pendingCount).toBe(0);
  });
});
