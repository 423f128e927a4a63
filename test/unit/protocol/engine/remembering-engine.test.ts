import { describe, expect, test } from "bun:test";
import { RememberingEngine } from "#src/protocol/engine/remembering-engine.ts";
import type { SyncRequest } from "#src/protocol/request.ts";
import { FakeWorld } from "#test/support/fake-world.ts";

const ROOMS = 50;
const list = (...types: string[]): NonNullable<SyncRequest["lists"]>[string] => ({
  ranges: [[0, ROOMS]],
  timeline_limit: 1,
  required_state: types.map((type) => [type, ""]),
});

describe("a connection that remembers its rooms", () => {
  test("[SSS-52] remembers what was asked for once, of however many rooms and by however many lists", () => {
    const world = new FakeWorld();
    for (let nid = 1; nid <= ROOMS; nid += 1) world.set(nid);
    const engine = new RememberingEngine(100, 1, {
      tellsWindows: true,
      keepsSelfLeft: false,
      hidesStrangers: false,
      tellsAll: false,
    });
    let seq = 0;
    const ask = (lists: NonNullable<SyncRequest["lists"]>): void => {
      engine.applyRequest(world, { lists });
      const draft = engine.collect(world, 100);
      engine.noteSent(draft, ++seq, new Map());
      engine.acknowledged();
    };
    ask({ a: list("m.room.name"), b: list("m.room.topic") });
    ask({ a: list("m.room.name"), b: list("m.room.topic"), c: list("m.room.avatar") });
    ask({ a: list("m.room.name"), c: list("m.room.join_rules") });
    const states = new Set(Array.from(engine.held.keys(), (nid) => engine.held.get(nid)?.requiredState));
    expect([...engine.held.keys()].length).toBe(ROOMS);
    expect(states.size).toBe(1);
    expect([...states][0]?.map(([type]) => type).sort()).toEqual([
      "m.room.avatar",
      "m.room.join_rules",
      "m.room.name",
      "m.room.topic",
    ]);
    expect(engine.snapshot().remembered?.configs.length).toBe(1);
  });
});
