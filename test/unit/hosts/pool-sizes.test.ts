import { describe, expect, test } from "bun:test";
import type { Config } from "#src/config.ts";
import { mayListen, poolSize, poolTotal } from "#src/hosts/pool-sizes.ts";

const config = (maxConnections: number | null) =>
  ({ syncHosts: 1, pollerHosts: 1, storage: { maxConnections } }) as unknown as Config;

describe("pools", () => {
  test("[HEAL-82] the connection over which requests are told is one of those that the operator allows, or is not opened", () => {
    expect([mayListen(config(null)), poolTotal(config(null))]).toEqual([true, 11]);
    expect([mayListen(config(11)), poolTotal(config(11))]).toEqual([true, 11]);
    expect([mayListen(config(10)), poolTotal(config(10))]).toEqual([false, 10]);
    for (let most = 4; most < 40; most += 1) expect(poolTotal(config(most))).toBeLessThanOrEqual(most);
    expect(poolSize("ingest", config(1))).toBe(1);
    expect(mayListen(config(1))).toBe(false);
  });
});
