import { describe, expect, test } from "bun:test";
import { runStages, type ShutdownStage } from "#actors/supervisor/shutdown.ts";
import { recordingLogger } from "#test/support/recording.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

describe("runStages", () => {
  test("[SUP-7] goes on after a stage that fails and one that hangs, in order, and says which", async () => {
    const time = new VirtualTime();
    const logger = recordingLogger();
    const order: string[] = [];
    const stage = (name: string, run: () => Promise<void>): ShutdownStage => ({
      name,
      shareMs: 1000,
      run: () => {
        order.push(name);
        return run();
      },
    });
    const finished = runStages(
      [
        stage("good", async () => {}),
        stage("failing", () => Promise.reject(new Error("no"))),
        stage("hanging", () => new Promise(() => {})),
        stage("last", async () => {}),
      ],
      4000,
      { clock: time, timers: time, logger },
    );
    // What the first two have left is for it too.
    await time.advance(2999);
    expect(order).toEqual(["good", "failing", "hanging"]);
    await time.advance(1);
    expect(await finished).toBe(false);
    expect(order).toEqual(["good", "failing", "hanging", "last"]);
    const failed = logger.lines.filter(({ level }) => level === "error").map(({ fields }) => fields["stage"]);
    expect(failed).toEqual(["failing", "hanging"]);
  });

  test("[SUP-15] a stage may take what nobody needs, the later ones keep their shares, and the whole ends in time", async () => {
    const time = new VirtualTime();
    const logger = recordingLogger();
    const given: number[] = [];
    const stage = (shareMs: number, takesMs: number): ShutdownStage => ({
      name: `of ${shareMs}`,
      shareMs,
      run: (limitMs) => {
        given.push(limitMs);
        return new Promise((resolve) => void time.after(takesMs, resolve));
      },
    });
    const finished = runStages([stage(100, 400), stage(200, 5000), stage(300, 50), stage(50, 299)], 1500, {
      clock: time,
      timers: time,
      logger,
    });
    await time.advance(1499);
    expect(given).toEqual([950, 750, 300, 300]);
    expect(await finished).toBe(false);
    expect(logger.lines.filter(({ level }) => level === "error").map(({ fields }) => fields["stage"])).toEqual([
      "of 200",
    ]);
  });
});
