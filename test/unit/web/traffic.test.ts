import { describe, expect, test } from "bun:test";
import { agoText, bytesText, connectionName, durationText, percentOf } from "#web/model/format.ts";
import { clearTraffic, type Exchange, NO_TRAFFIC, noteExchange, setPaused, type Traffic } from "#web/model/traffic.ts";

const begun = (id: number, request: string | null = "{}"): Exchange => ({
  id,
  startedAtMs: id,
  method: "POST",
  path: "/sync",
  status: null,
  outcome: "waiting",
  durationMs: null,
  requestBytes: 10,
  responseBytes: 0,
  request,
  response: null,
  sync: null,
});
const ended = (id: number, response = "{}"): Exchange => ({
  ...begun(id),
  status: 200,
  outcome: "answered",
  durationMs: 5,
  responseBytes: 100,
  response,
});
const noted = (traffic: Traffic, ...exchanges: Exchange[]): Traffic => {
  let result = traffic;
  for (const exchange of exchanges) result = noteExchange(result, exchange);
  return result;
};
const idsOf = ({ exchanges }: Traffic): number[] => exchanges.map(({ id }) => id);

describe("noteExchange", () => {
  test("[CNS-50] newest first, an answer takes the place of its request, and sums count all", () => {
    const traffic = noted(NO_TRAFFIC, begun(1), begun(2), ended(1));
    expect(traffic.exchanges.map(({ id, outcome }) => [id, outcome])).toEqual([
      [2, "waiting"],
      [1, "answered"],
    ]);
    expect(traffic.totals).toEqual({ requests: 2, requestBytes: 20, responseBytes: 100 });
  });

  test("[CNS-51] while it is paused the picture stands still: what is on it ends, what is new passes by and is counted", () => {
    const paused = noted(setPaused(noted(NO_TRAFFIC, begun(1)), true), begun(2), ended(2), ended(1), begun(3));
    expect([idsOf(paused), paused.passedBy, paused.exchanges[0]?.outcome]).toEqual([[1], 2, "answered"]);
    expect(paused.totals.requests).toBe(3);
    // What began while it was paused does not come in with its answer.
    expect(idsOf(noted(setPaused(paused, false), ended(3), begun(4)))).toEqual([4, 1]);
    expect(idsOf(noted(clearTraffic(paused), ended(1)))).toEqual([]);
  });

  test("[CNS-52] it is bounded in number, and in text", () => {
    let traffic = NO_TRAFFIC;
    for (let id = 1; id <= 250; id += 1) traffic = noted(traffic, begun(id), ended(id));
    expect([idsOf(traffic).length, idsOf(traffic)[0]]).toEqual([200, 250]);
    const large = "x".repeat(1_500_000);
    let heavy = NO_TRAFFIC;
    for (let id = 1; id <= 5; id += 1) heavy = noted(heavy, begun(id), ended(id, large));
    expect(heavy.exchanges.map(({ response }) => response !== null)).toEqual([true, true, false, false, false]);
    expect(heavy.totals.responseBytes).toBe(500);
  });
});

describe("format", () => {
  test("[CNS-53] sizes and durations as people say them", () => {
    expect([0, 999, 1000, 12_345, 999_499, 999_600, 123_456_789, 5e15].map(bytesText)).toEqual([
      "0 B",
      "999 B",
      "1.0 kB",
      "12 kB",
      "999 kB",
      "1.0 MB",
      "123 MB",
      "5000 TB",
    ]);
    expect([0, 1.25, 3, 999, 1000, 61_000, 600_000, 86_400_000, 864_000_000].map(durationText)).toEqual([
      "0 ms",
      "1.3 ms",
      "3 ms",
      "999 ms",
      "1.0 s",
      "61.0 s",
      "10 min",
      "24 h",
      "10 d",
    ]);
    expect([agoText(null, 5), agoText(1000, 4000), agoText(9, 4)]).toEqual(["never", "3.0 s ago", "0 ms ago"]);
    const names = ["", "a:b", "org.matrix.simplified_msc3575:main", "_matrix/client/v4/sync:"].map(connectionName);
    expect(names).toEqual(["no name", "a:b", "main", "no name"]);
    expect([percentOf(1, 4), percentOf(5, 4), percentOf(1, 0)]).toEqual([25, 100, 0]);
  });
});
