import { describe, expect, test } from "bun:test";
import { giveBackAfterWork } from "#src/hosts/give-back.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const MB = 1024 * 1024;

/** A thread whose work the test does. */
function watched() {
  const time = new VirtualTime();
  const thread = { cpu: 100, heap: 10 * MB, kept: 10 * MB, collections: 0 };
  const stop = giveBackAfterWork(
    {
      cpuMs: () => thread.cpu,
      heapBytes: () => thread.heap,
      collect: () => {
        thread.collections += 1;
        thread.heap = thread.kept;
      },
    },
    time,
  );
  /** Works for a second of time, with so much CPU, and leaves so much behind. */
  const work = async (cpuMs: number, leftMb = 0): Promise<number> => {
    for (let part = 0; part < 10; part++) {
      thread.cpu += cpuMs / 10;
      thread.heap += (leftMb * MB) / 10;
      await time.advance(100);
    }
    return thread.collections;
  };
  const rest = async (seconds: number): Promise<number> => {
    for (let second = 0; second < seconds; second++) await work(5);
    return thread.collections;
  };
  return { thread, work, rest, stop, time };
}

describe("giveBackAfterWork", () => {
  test("[GIV-1] collects once when a stretch of work is over, not during it and not again", async () => {
    const { work, rest, thread } = watched();
    await rest(5);
    for (let second = 0; second < 10; second++) expect(await work(800, 10)).toBe(0);
    // A look or two later, not seconds.
    expect(await rest(1)).toBe(1);
    expect(await rest(60)).toBe(1);
    thread.kept = 20 * MB;
    for (let second = 0; second < 10; second++) await work(300, 10);
    expect(await rest(6)).toBe(2);
  });

  test("[GIV-1] clients that wait are no work, however long they wait", async () => {
    const { work } = watched();
    for (let second = 0; second < 600; second++) expect(await work(18, 1)).toBe(0);
  });

  test("[GIV-2] work that leaves little behind, for what is kept, is no reason to collect", async () => {
    const { work, rest, thread } = watched();
    thread.kept = 100 * MB;
    for (let second = 0; second < 10; second++) await work(800, 20);
    expect(await rest(10)).toBe(1);
    // A round of long polls: a second of work, a quarter of the heap.
    for (let round = 0; round < 1; round++) {
      await work(900, 25);
      expect(await rest(29)).toBe(1);
    }
    await work(900, 40);
    expect(await rest(29)).toBe(2);
  });

  test("[GIV-3] a thread at rest looks once in five seconds", async () => {
    const { rest, time, thread } = watched();
    await rest(10);
    const looks: number[] = [];
    Object.defineProperty(thread, "cpu", { get: () => looks.push(time.mono()) && 0, set() {} });
    await time.advance(60_000);
    expect(looks.length).toBe(12);
  });

  test("[GIV-1] a thread that ends looks no more", async () => {
    const { stop, rest, time } = watched();
    await rest(6);
    stop();
    expect(time.pendingCount).toBe(0);
  });
});
