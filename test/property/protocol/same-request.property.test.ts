import { expect, test } from "bun:test";
import fc from "fast-check";
import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import type { Engine } from "#src/protocol/engine/engine-api.ts";
import { DIRTY } from "#src/protocol/engine/world.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import { FakeWorld } from "#test/support/fake-world.ts";

const RUNS = 150;
const ROOMS = [1, 2, 3, 4, 5, 6];
const KEYS = ["a", "b", "__proto__"];

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
const state = fc.subarray<[string, string]>([
  ["m.room.name", ""],
  ["m.room.member", "$LAZY"],
]);
const list = fc.record(
  {
    deleted: fc.boolean(),
    ranges: fc.constantFrom<[number, number][]>([[0, 1]], [[0, 3]], [], [[2, 9]]),
    timeline_limit: fc.integer({ min: 0, max: 2 }),
    required_state: state,
    sort: fc.constantFrom<string[]>(["by_recency"], ["by_name"]),
    slow_get_all_rooms: fc.boolean(),
  },
  { requiredKeys: [] },
);
const extension = fc.record(
  {
    enabled: fc.boolean(),
    rooms: fc.constantFrom<string[]>(["*"], [], ["!room1:example.org"]),
    lists: fc.constantFrom<string[]>(["*"], ["a"]),
  },
  { requiredKeys: [] },
);
const rooms = fc.constantFrom(...ROOMS, 99).map((nid) => `!room${nid}:example.org`);
const parts = {
  lists: fc.dictionary(fc.constantFrom(...KEYS), list, { maxKeys: 2 }),
  room_subscriptions: fc.dictionary(
    rooms,
    fc.record({ timeline_limit: fc.integer({ min: 0, max: 2 }), required_state: state }, { requiredKeys: [] }),
    { maxKeys: 2 },
  ),
  extensions: fc.record(
    { receipts: extension, account_data: extension, typing: extension, e2ee: extension },
    { requiredKeys: [] },
  ),
};
const requests = {
  // Only where parameters stay does anything have to be ended.
  msc3575: fc.record({ ...parts, unsubscribe_rooms: fc.array(rooms, { maxLength: 2 }) }, { requiredKeys: [] }),
  simplified: fc.record(parts, { requiredKeys: [] }),
  v4: fc.record(parts, { requiredKeys: [] }),
};
const stepOf = (name: keyof typeof requests) =>
  fc.record({ request: requests[name], news: maybe(fc.constantFrom(...ROOMS)), isAcked: fc.boolean() });

/** All that a response would be made of. */
function drafted(engine: Engine, world: FakeWorld, upTo: number, seq: number, isAcked: boolean): unknown {
  const before = [engine.isDirty, engine.hasUnheardExtensions];
  const { rooms: told, dirty, startedExtensions, shown, ...rest } = engine.collect(world, upTo);
  const draft = { rooms: told, dirty, startedExtensions, ...(shown === undefined ? {} : { shown }), ...rest };
  const facts = [before, [...told.values()], [...dirty], [...startedExtensions], [...(shown ?? [])], rest];
  engine.noteSent(draft, seq, new Map());
  if (isAcked) engine.acknowledged();
  return JSON.parse(JSON.stringify([facts, engine.params, engine.version, engine.generation, engine.snapshot()]));
}

test.each(["msc3575", "simplified", "v4"] as const)(
  "[STK-37] a request that asks for what the one before it asked for changes nothing (%p)",
  (name) => {
    fc.assert(
      fc.property(fc.array(stepOf(name), { minLength: 1, maxLength: 8 }), (steps) => {
        const world = new FakeWorld();
        for (const nid of ROOMS) world.set(nid);
        const [once, twice] = [0, 1].map(() => DIALECTS[name].policy.makeEngine(100, 1)) as [Engine, Engine];
        for (const [index, { request: asked, news, isAcked }] of steps.entries()) {
          for (const engine of [once, twice]) {
            engine.applyRequest(world, asked);
            if (news !== undefined) engine.markDirty(news as RoomNid, DIRTY.event);
          }
          twice.applyRequest(world, structuredClone(asked));
          const upTo = 101 + index;
          const [a, b] = [once, twice].map((engine) => drafted(engine, world, upTo, index + 1, isAcked));
          expect(b).toEqual(a);
        }
      }),
      { numRuns: RUNS },
    );
  },
);
