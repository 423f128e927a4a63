import { expect, test } from "bun:test";
import fc from "fast-check";
import { readSyncRequest } from "#src/protocol/dialects/msc3575-request.ts";
import type { ListRequest, RoomConfigRequest, SyncRequest } from "#src/protocol/request.ts";
import { compileRequiredState, unionRequiredState, uniteSelections } from "#src/protocol/required-state.ts";
import { combineConfigs, EMPTY_PARAMS, mergeRequest, type StickyParams } from "#src/protocol/sticky.ts";

const flag = fc.boolean();
const tuple = fc.tuple(
  fc.constantFrom("a", "b", "*", "m.room.member"),
  fc.constantFrom("", "*", "$ME", "$LAZY", "@me:hs"),
);
const state = fc.array(tuple, { maxLength: 4 });
const partial = <T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { requiredKeys: [] });

const oldRooms = partial({
  required_state: state,
  timeline_limit: fc.integer({ min: 1, max: 9 }),
  include_heroes: flag,
});
const config = partial({
  required_state: state,
  timeline_limit: fc.integer({ min: 1, max: 9 }),
  include_heroes: flag,
  include_old_rooms: oldRooms,
}) as fc.Arbitrary<RoomConfigRequest>;
const list = partial({
  required_state: state,
  timeline_limit: fc.integer({ min: 1, max: 9 }),
  include_heroes: flag,
  include_old_rooms: oldRooms,
  ranges: fc.constantFrom<[number, number][]>(
    [],
    [[0, 9]],
    [
      [5, 9],
      [0, 2],
    ],
  ),
  sort: fc.constantFrom(["by_name"], ["by_recency"], []),
  filters: partial({ is_dm: flag, tags: fc.constantFrom([], ["a"]) }),
  slow_get_all_rooms: flag,
  bump_event_types: fc.constantFrom([], ["m.room.message"]),
  deleted: flag,
}) as fc.Arbitrary<ListRequest>;
const extension = partial({
  enabled: flag,
  lists: fc.constantFrom([], ["*"], ["a"]),
  rooms: fc.constantFrom([], ["!a"]),
});
const request = partial({
  lists: fc.dictionary(fc.constantFrom("a", "b", "__proto__"), list, { maxKeys: 3 }),
  room_subscriptions: fc.dictionary(fc.constantFrom("!a", "!b", "!c"), config, { maxKeys: 3 }),
  unsubscribe_rooms: fc.array(fc.constantFrom<string>("!a", "!b", "!c"), { maxLength: 2 }),
  extensions: partial({ typing: extension, e2ee: extension }),
}) as fc.Arbitrary<unknown> as fc.Arbitrary<SyncRequest>;

const mergeAll = (requests: readonly SyncRequest[]): StickyParams =>
  requests.reduce((params, item) => mergeRequest(params, item).params, EMPTY_PARAMS);

/** Member by member, the last request that gave it, since the list was last deleted. */
function everything(requests: readonly SyncRequest[]): SyncRequest {
  const lists = new Map<string, ListRequest>();
  const rooms = new Map<string, RoomConfigRequest>();
  let extensions: NonNullable<SyncRequest["extensions"]> = {};
  for (const item of requests) {
    for (const [key, part] of Object.entries(item.lists ?? {})) {
      if (part.deleted === true) lists.delete(key);
      else lists.set(key, { ...lists.get(key), ...part });
    }
    for (const [roomId, part] of Object.entries(item.room_subscriptions ?? {})) rooms.set(roomId, part);
    for (const roomId of item.unsubscribe_rooms ?? []) rooms.delete(roomId);
    extensions = {
      typing: { ...extensions.typing, ...item.extensions?.typing },
      e2ee: { ...extensions.e2ee, ...item.extensions?.e2ee },
    };
  }
  return { lists: Object.fromEntries(lists), room_subscriptions: Object.fromEntries(rooms), extensions };
}

const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("[STK-17] any requests leave what sending everything at once would", () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 8 }), (requests) => {
      expect(json(mergeAll(requests))).toEqual(json(mergeAll([everything(requests)])));
    }),
    { numRuns: 500 },
  );
});

test("[STK-18] the same request again changes nothing", () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 4 }), request, (requests, last) => {
      const once = mergeRequest(mergeAll(requests), last);
      const twice = mergeRequest(once.params, last);
      expect(twice.params).toBe(once.params);
      expect(twice).toMatchObject({ changed: false, deletedLists: [], subscribed: [], unsubscribed: [] });
      for (const change of Object.values(twice.lists)) {
        expect(change).toMatchObject({
          isNew: false,
          rebuilt: false,
          rangesChanged: false,
          timelineChanged: false,
          stateChanged: false,
        });
      }
    }),
    { numRuns: 500 },
  );
});

test("[STK-19] nothing given is changed, what is remembered survives storage, and what changed is said", () => {
  const freeze = <T>(value: T): T => {
    if (typeof value === "object" && value !== null) {
      for (const item of Object.values(value)) freeze(item);
      Object.freeze(value);
    }
    return value;
  };
  fc.assert(
    fc.property(fc.array(request, { maxLength: 4 }), request, (requests, last) => {
      const before = freeze(mergeAll(requests));
      const merged = mergeRequest(before, freeze(last));
      expect(json(merged.params)).toEqual(merged.params);
      const stored = mergeRequest(json(before) as StickyParams, last);
      expect(stored).toEqual(merged);
      expect(merged.changed).toBe(JSON.stringify(before) !== JSON.stringify(merged.params));
    }),
    { numRuns: 500 },
  );
});

test("[STK-20] combining configs does not depend on their order, nor on repeats", () => {
  const configOf = (item: RoomConfigRequest) =>
    mergeRequest(EMPTY_PARAMS, { room_subscriptions: { "!a": item } }).params.subscriptions["!a"];
  const asSets = (combined: ReturnType<typeof combineConfigs>) => ({
    ...combined,
    requiredState: new Set(combined.requiredState.map((item) => item.join())),
    includeOldRooms: combined.includeOldRooms && {
      ...combined.includeOldRooms,
      requiredState: new Set(combined.includeOldRooms.requiredState.map((item) => item.join())),
    },
  });
  fc.assert(
    fc.property(fc.array(config, { maxLength: 4 }), (requests) => {
      const configs = requests.map(configOf).filter((item) => item !== undefined);
      const combined = asSets(combineConfigs(configs));
      expect(asSets(combineConfigs(configs.toReversed()))).toEqual(combined);
      expect(asSets(combineConfigs([...configs, ...configs]))).toEqual(combined);
      expect(combined.timelineLimit).toBe(Math.max(0, ...configs.map((item) => item.timelineLimit)));
      expect(combined.includeHeroes).toBe(configs.some((item) => item.includeHeroes));
    }),
  );
});

test("[STATE-9] combined, two selections select what either does; of members, lazily those that neither has all of", () => {
  fc.assert(
    fc.property(state, state, (a, b) => {
      const both = compileRequiredState(uniteSelections(a, b), "@me:hs");
      const each = [a, b].map((tuples) => compileRequiredState(tuples, "@me:hs"));
      for (const type of ["a", "b", "c", "m.room.member"]) {
        for (const key of ["", "@me:hs", "$LAZY", "k"]) {
          expect(both.matches(type, key)).toBe(each.some((one) => one.matches(type, key)));
        }
      }
      const hasAllMembers = both.matches("m.room.member", "@anybody:hs");
      if (!hasAllMembers) expect(both.lazyMembers).toBe(each.some(({ lazyMembers }) => lazyMembers));
    }),
  );
});

test("[STATE-8] a selection matches what its tuples say, and everything it matches can be queried by its entries", () => {
  const types = ["a", "b", "m.room.member"];
  const keys = ["", "@me:hs", "$LAZY", "k"];
  fc.assert(
    fc.property(state, state, (a, b) => {
      const tuples = unionRequiredState(a, b);
      expect(new Set(tuples.map((item) => item.join()))).toEqual(new Set([...a, ...b].map((item) => item.join())));
      const selection = compileRequiredState(tuples, "@me:hs");
      const resolved = tuples.map(([type, key]) => [type, key === "$ME" ? "@me:hs" : key] as const);
      const isLazy = ([type, key]: readonly [string, string]): boolean => type === "m.room.member" && key === "$LAZY";
      expect(selection.lazyMembers).toBe(resolved.some(isLazy));
      for (const type of types) {
        for (const key of keys) {
          const expected = resolved.some((item) => {
            if (isLazy(item) || (item[1] !== key && item[1] !== "*")) return false;
            if (item[0] === "*" && item[1] === "*") return !resolved.some(([named]) => named === type);
            return item[0] === type || item[0] === "*";
          });
          expect(selection.matches(type, key)).toBe(expected);
          const isQueried = selection.entries.some(
            ([wantedType, wantedKey]) =>
              (wantedType === type || wantedType === "*") && (wantedKey === key || wantedKey === "*"),
          );
          if (expected) expect(isQueried).toBe(true);
          if (isQueried && !resolved.some(([t, k]) => t === "*" && k === "*")) expect(expected).toBe(true);
        }
      }
    }),
    { numRuns: 1000 },
  );
});

test("[REQ-11] any JSON is read or refused with a Matrix error, and what was read reads the same again", () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), request), (body) => {
      let read: SyncRequest;
      try {
        read = readSyncRequest(body);
      } catch (error) {
        expect(error).toMatchObject({ name: "SyncError", code: expect.stringMatching(/^(bad_json|invalid_param)$/) });
        return;
      }
      expect(readSyncRequest(json(read))).toEqual(read);
    }),
    { numRuns: 1000 },
  );
});
