import { describe, expect, test } from "bun:test";
import { LoopLag } from "#src/telemetry/loop-lag.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

describe("LoopLag", () => {
  test("[GIV-4] a thread looks at how late it is once a second at work, once in five at rest", async () => {
    const time = new VirtualTime();
    const thread = { cpuMs: 100 };
    const looks: number[] = [];
    const lag = new LoopLag({
      clock: time,
      timers: time,
      cpuMs: () => thread.cpuMs,
      onLag: () => looks.push(time.mono()),
    });
    const looksIn = async (seconds: number, cpuMsPerSecond: number): Promise<number> => {
      const before = looks.length;
      for (let second = 0; second < seconds; second++) {
        thread.cpuMs += cpuMsPerSecond;
        await time.advance(1000);
      }
      return looks.length - before;
    };
    expect(await looksIn(10, 300)).toBe(10);
    // One more until it has seen that the work is over.
    expect(await looksIn(61, 5)).toBe(13);
    await looksIn(5, 300);
    expect(await looksIn(10, 300)).toBe(10);
    lag.stop();
    expect(time.pendingCount).toBe(0);
  });
});
