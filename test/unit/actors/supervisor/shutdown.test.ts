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
      limitMs: 1000,
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
      { clock: time, timers: time, logger },
    );
    await time.advance(999);
    expect(order).toEqual(["good", "failing", "hanging"]);
    await time.advance(1);
    expect(await finished).toBe(false);
    expect(order).toEqual(["good", "failing", "hanging", "last"]);
    const failed = logger.lines.filter(({ level }) => level === "error").map(({ fields }) => fields["stage"]);
    expect(failed).toEqual(["failing", "hanging"]);
  });
});
