import { describe, expect, test } from "bun:test";
import { EMPTY_PARAMS, type StickyParams } from "#src/protocol/sticky.ts";
import { ParamsHistory } from "#actors/connection/stored-params.ts";

const params = (room: string): StickyParams => ({
  ...EMPTY_PARAMS,
  subscriptions: { [room]: { requiredState: [], timelineLimit: 1, includeHeroes: false, includeOldRooms: null } },
});
const roomAt = (history: ParamsHistory, seq: number): string | undefined =>
  Object.keys(history.at(seq)?.params.subscriptions ?? { unknown: true })[0];

describe("ParamsHistory", () => {
  test("[STP-1] knows what counted at each response that may be acknowledged, also after it was stored", () => {
    const history = new ParamsHistory();
    expect(history.record(1, params("a"), 0)).toBe(true);
    expect(history.record(3, params("b"), 1)).toBe(true);
    const again = ParamsHistory.parse(history.stringify());
    expect([0, 1, 2, 3, 9].map((seq) => roomAt(again, seq))).toEqual([undefined, "a", "a", "b", "b"]);
  });

  test("[STP-2] parameters that stay the same are no news", () => {
    const history = new ParamsHistory();
    const same = params("a");
    history.record(1, same, 0);
    expect(history.record(2, same, 1)).toBe(false);
  });

  test("[STP-3] what is acknowledged and overtaken is forgotten", () => {
    const history = new ParamsHistory();
    history.record(1, params("a"), 0);
    history.record(2, params("b"), 1);
    history.record(3, params("c"), 2);
    expect([1, 2, 3].map((seq) => roomAt(history, seq))).toEqual(["unknown", "b", "c"]);
  });

  test("[STP-4] a request answered with an older response counts from that one on", () => {
    const history = new ParamsHistory();
    history.record(1, params("a"), 0);
    history.record(2, params("b"), 1);
    history.record(3, params("c"), 1, 2);
    expect([1, 2, 3].map((seq) => roomAt(history, seq))).toEqual(["a", "c", "c"]);
    const again = ParamsHistory.parse(history.stringify());
    expect([0, 1, 2, 3].map((seq) => again.at(seq)?.isServed)).toEqual([true, true, false, true]);
  });
});
