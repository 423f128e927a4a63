import { describe, expect, test } from "bun:test";
import { TARGETS, isKept } from "#bench/targets.ts";
import { median, percentile } from "#bench/statistics.ts";
import { roomsOfUsers, usersOfRoom } from "#bench/topology.ts";

describe("topology", () => {
  test("[BENCH-8] every room has its number of different accounts and they share the rooms evenly", () => {
    const topology = { users: 100, rooms: 200, usersPerRoom: 20, othersPerRoom: 0, messages: 0 };
    for (let room = 0; room < topology.rooms; room += 1) expect(new Set(usersOfRoom(topology, room)).size).toBe(20);
    const counts = roomsOfUsers(topology).map((rooms) => rooms.length);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(35);
    expect(Math.max(...counts)).toBeLessThanOrEqual(45);
  });
});

describe("targets", () => {
  test("[BENCH-9] rates must reach their target, everything else must stay below it", () => {
    const rate = TARGETS.find(({ figure }) => figure === "deliveries_per_s");
    const time = TARGETS.find(({ workload, figure }) => workload === "login" && figure === "first_answer_ms");
    if (rate === undefined || time === undefined) throw new Error("targets are missing");
    expect([isKept(rate, 3400), isKept(rate, 3399)]).toEqual([true, false]);
    expect([isKept(time, 2000), isKept(time, 2001), isKept(time, Number.NaN)]).toEqual([true, false, false]);
  });
});

describe("percentile", () => {
  test("[BENCH-10] takes the value below which the share of samples lies", () => {
    const samples = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect([median(samples), percentile(samples, 0.99), percentile(samples, 0)]).toEqual([51, 100, 1]);
    expect(median([])).toBeNaN();
  });
});
