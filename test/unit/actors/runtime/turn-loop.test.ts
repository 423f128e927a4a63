import { describe, expect, test } from "bun:test";
import { TurnLoop, type TurnTaker } from "#actors/runtime/turn-loop.ts";
import { settlePromises } from "#test/support/virtual-time.ts";

/** A loop whose I/O gets its chance when the test says so. */
function rig() {
  let nowMs = 0;
  const waiting: (() => void)[] = [];
  const loop = new TurnLoop({ now: () => nowMs, mono: () => nowMs }, (run) => void waiting.push(run));
  const taken: string[] = [];
  /** Each turn takes so long. */
  const taker = (name: string, turns: number, turnMs: number): TurnTaker => ({
    takeTurn: () => {
      taken.push(name);
      nowMs += turnMs;
      turns -= 1;
      return turns > 0;
    },
  });
  const letIoIn = (): void => {
    for (const run of waiting.splice(0)) run();
  };
  return { loop, taken, taker, waiting, letIoIn };
}

describe("TurnLoop", () => {
  test("[ACT-14] after a slice I/O comes first, whoever began it", async () => {
    const { loop, taken, taker, waiting, letIoIn } = rig();
    // As a batch of a peer: its messages are accepted, then the turns run at once.
    for (const name of ["a", "b", "c"]) loop.schedule(taker(name, 1, 1));
    loop.runNow();
    expect(taken).toEqual(["a"]);
    // The end of the task is no reason for the next slice: what "a" said leaves first.
    await settlePromises();
    expect(taken).toEqual(["a"]);
    expect(waiting).toHaveLength(1);
    letIoIn();
    expect(taken).toEqual(["a", "b"]);
    letIoIn();
    expect(taken).toEqual(["a", "b", "c"]);
    expect(loop.isIdle).toBe(true);
  });

  test("[ACT-14] short turns run with the end of the task, without waiting for I/O", async () => {
    const { loop, taken, taker, waiting } = rig();
    loop.schedule(taker("a", 3, 0));
    loop.schedule(taker("b", 1, 0));
    expect(taken).toEqual([]);
    await settlePromises();
    expect(taken).toEqual(["a", "a", "a", "b"]);
    expect(waiting).toEqual([]);
    // The next one finds a loop at rest.
    loop.schedule(taker("c", 1, 0));
    await settlePromises();
    expect(taken.at(-1)).toBe("c");
  });
});
