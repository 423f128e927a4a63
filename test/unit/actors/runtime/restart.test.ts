import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { backoff, CrashHistory, RestartBudget } from "#actors/runtime/restart.ts";

const POLICY = { baseMs: 100, maxMs: 5000 };

describe("RestartBudget", () => {
  test("[SUP-1] is spent by one restart too many within the period, and not by the same number spread out", () => {
    let now = 0;
    const budget = new RestartBudget({ intensity: 2, periodMs: 1000 }, () => now);
    expect([budget.spend(), budget.spend(), budget.spend()]).toEqual([true, true, false]);
    now = 10_000;
    for (let i = 0; i < 10; i++) {
      expect(budget.spend()).toBe(true);
      now += 500;
    }
  });
});

describe("backoff", () => {
  test("[SUP-2] is nothing at first, then within a quarter below its doubling, never above its maximum", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempt, random) => {
          const delay = backoff(POLICY, attempt, { next: () => random });
          if (attempt === 1) expect(delay).toBe(0);
          else {
            const ceiling = Math.min(5000, 100 * 2 ** (attempt - 2));
            expect(delay).toBeLessThanOrEqual(ceiling);
            expect(delay).toBeGreaterThanOrEqual(Math.floor(ceiling * 0.75));
          }
        },
      ),
    );
  });
});

describe("CrashHistory", () => {
  test("[SUP-3] counts crashes in a row for each actor, and forgets them after a quiet time", () => {
    let now = 0;
    const history = new CrashHistory(() => now, 1000);
    expect([history.record("a"), history.record("a"), history.record("b")]).toEqual([1, 2, 1]);
    now = 999;
    expect(history.record("a")).toBe(3);
    now = 1999;
    expect(history.record("a")).toBe(1);
  });

  test("[SUP-3] remembers a bounded number of actors, the latest", () => {
    const history = new CrashHistory(() => 0, 1000, 2);
    for (const who of ["a", "b", "a", "c"]) history.record(who);
    expect([history.record("a"), history.record("b")]).toEqual([3, 1]);
  });
});
