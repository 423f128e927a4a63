import { describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import type { OlderNeed } from "#src/protocol/engine/older-events.ts";
import type { DeviceId, RoomNid, UserId } from "#src/protocol/ids.ts";
import { packEvents } from "#src/protocol/packed.ts";
import { HistoryReader } from "#actors/connection/history-reader.ts";
import { HistoryShelf } from "#actors/directory/history-shelf.ts";
import type { HistoryAnswer } from "#actors/poller/messages.ts";
import { settlePromises, VirtualTime } from "#test/support/virtual-time.ts";

const OWNER = { userId: "@a:hs" as UserId, deviceId: "A" as DeviceId };
const need = (nid: number, limit = 5): OlderNeed => ({ nid: nid as RoomNid, roomId: `!${nid}:hs`, from: "p", limit });
const needs = (count: number, from = 1): OlderNeed[] => Array.from({ length: count }, (_, index) => need(from + index));
const READ: HistoryAnswer = { kind: "read", events: packEvents([]), prevBatch: "e", hasMore: true };

/** A reader whose questions the test answers. */
const rig = () => {
  const time = new VirtualTime();
  const open: { roomId: string; settle: (answer: HistoryAnswer | SyncError) => void }[] = [];
  const counts = new Map<string, number>();
  const reader = new HistoryReader({
    actors: {
      ask: <T>(_to: unknown, message: Record<string, unknown>) =>
        new Promise<T>((resolve, reject) => {
          const { roomId } = message["query"] as { roomId: string };
          open.push({
            roomId,
            settle: (answer) => (answer instanceof SyncError ? reject(answer) : resolve(answer as T)),
          });
        }),
    },
    clock: time,
    timers: time,
    metrics: {
      count: (name, by = 1, labels) => {
        const key = labels?.["outcome"] ?? name;
        counts.set(key, (counts.get(key) ?? 0) + by);
      },
      observe() {},
    },
    shelf: new HistoryShelf(1_000_000),
  });
  return { time, open, counts, reader };
};

/** Whether it has settled. */
const watch = (wait: Promise<void> | null): (() => boolean) => {
  let isOver = wait === null;
  void wait?.then(() => (isOver = true));
  return () => isOver;
};

describe("HistoryReader", () => {
  test("[HIS-22] one device has four reads at once, over all its connections; another one has its own", async () => {
    const { open, reader, counts } = rig();
    const isOver = watch(reader.visit(OWNER, true).ensure(needs(6)));
    await settlePromises();
    expect(open.length).toBe(4);
    expect(watch(reader.visit(OWNER, true).ensure([need(50)]))()).toBe(false);
    await settlePromises();
    expect([open.length, counts.get("skipped")]).toEqual([4, 1]);
    void reader.visit({ ...OWNER, deviceId: "B" as DeviceId }, true).ensure([need(51)]);
    await settlePromises();
    expect(open.length).toBe(5);
    open[0]?.settle(READ);
    await settlePromises();
    expect(open.map(({ roomId }) => roomId)).toEqual(["!1:hs", "!2:hs", "!3:hs", "!4:hs", "!51:hs", "!5:hs"]);
    for (const { settle } of open) settle(READ);
    await settlePromises();
    for (const { settle } of open) settle(READ);
    await settlePromises();
    expect(isOver()).toBe(true);
  });

  test("[HIS-23] a response waits one second for all of its pages, and asks nothing more after it", async () => {
    const { time, open, reader, counts } = rig();
    const visit = reader.visit(OWNER, true);
    const isOver = watch(visit.ensure(needs(2)));
    await time.advance(600);
    for (const { settle } of open) settle(READ);
    await settlePromises();
    expect(isOver()).toBe(true);
    const isSecondOver = watch(visit.ensure(needs(6, 10)));
    await time.advance(399);
    expect(isSecondOver()).toBe(false);
    await time.advance(1);
    expect([isSecondOver(), visit.found.size, open.length]).toEqual([true, 2, 6]);
    expect(counts.get("history_late_responses_total")).toBe(1);
    for (const { settle } of open) settle(READ);
    await settlePromises();
    expect(open.length).toBe(6);
    expect(visit.ensure(needs(1, 30))).toBeNull();
  });

  test("[HIS-24] twenty rooms are read for one response", async () => {
    const { open, reader } = rig();
    const visit = reader.visit(OWNER, true);
    void visit.ensure(needs(30));
    for (let round = 0; round < 30; round += 1) {
      await settlePromises();
      for (const { settle } of open) settle(READ);
    }
    expect([open.length, visit.found.size]).toEqual([20, 20]);
    expect(visit.ensure(needs(1, 50))).toBeNull();
  });

  test("[HIS-25] the same read is made once, and a response in a hurry takes what is at hand", async () => {
    const { open, reader } = rig();
    const [first, second] = [reader.visit(OWNER, true), reader.visit(OWNER, true)];
    void first.ensure([need(1)]);
    void second.ensure([need(1)]);
    await settlePromises();
    expect(open.length).toBe(1);
    const hurried = reader.visit(OWNER, false);
    expect([hurried.ensure([need(1), need(2)]), hurried.found.size, open.length]).toEqual([null, 0, 1]);
    open[0]?.settle(READ);
    await settlePromises();
    expect([first.found.size, second.found.size]).toEqual([1, 1]);
    expect([hurried.ensure([need(1), need(2)]), hurried.found.size, open.length]).toEqual([null, 1, 1]);
  });

  test("[HIS-26] after a failure the user's rooms are left alone for a while, after a refusal that room for longer", async () => {
    const { time, open, reader } = rig();
    const ask = async (nid: number, answer: HistoryAnswer | SyncError): Promise<boolean> => {
      const before = open.length;
      void reader.visit(OWNER, true).ensure([need(nid)]);
      await settlePromises();
      open[before]?.settle(answer);
      await settlePromises();
      return open.length > before;
    };
    expect(await ask(1, { kind: "refused" })).toBe(true);
    expect([await ask(1, READ), await ask(2, { kind: "failed", retryAfterMs: 60_000 })]).toEqual([false, true]);
    await time.advance(59_999);
    expect(await ask(3, READ)).toBe(false);
    await time.advance(1);
    expect([await ask(3, READ), await ask(1, READ)]).toEqual([true, false]);
    expect(await ask(4, new SyncError("ask_timeout", "late"))).toBe(true);
    expect(await ask(5, READ)).toBe(false);
    await time.advance(10_000);
    expect(await ask(5, { kind: "unavailable" })).toBe(true);
    expect(await ask(5, READ)).toBe(true);
    await time.advance(300_000);
    expect(await ask(1, READ)).toBe(true);
  });
});
