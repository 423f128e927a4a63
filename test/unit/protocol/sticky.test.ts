import { describe, expect, test } from "bun:test";
import type { SyncRequest } from "#src/protocol/request.ts";
import {
  combineConfigs,
  EMPTY_PARAMS,
  type ListParams,
  MAX_LISTS,
  mergeRequest,
  type RoomConfig,
  type StickyParams,
} from "#src/protocol/sticky.ts";

function after(...requests: SyncRequest[]): StickyParams {
  return requests.reduce((params, request) => mergeRequest(params, request).params, EMPTY_PARAMS);
}

function list(params: StickyParams, key = "a"): ListParams {
  const found = params.lists[key];
  if (found === undefined) throw new Error(`no list ${key}`);
  return found;
}

const FULL: SyncRequest = {
  lists: {
    a: {
      ranges: [[0, 9]],
      sort: ["by_name"],
      filters: { is_dm: true, tags: ["m.favourite"] },
      slow_get_all_rooms: false,
      bump_event_types: ["m.room.message"],
      required_state: [["m.room.name", ""]],
      timeline_limit: 10,
      include_heroes: true,
      include_old_rooms: { timeline_limit: 1, required_state: [["m.room.create", ""]] },
    },
  },
};

describe("mergeRequest: lists", () => {
  test("[STK-1] a new list gets what it gives and defaults for the rest", () => {
    const merged = mergeRequest(EMPTY_PARAMS, { lists: { a: {} } });
    expect(list(merged.params)).toEqual({
      ranges: [],
      sort: ["by_recency"],
      filters: {},
      slowGetAllRooms: false,
      bumpEventTypes: [],
      requiredState: [],
      timelineLimit: 0,
      includeHeroes: false,
      includeOldRooms: null,
    });
    expect(merged.lists["a"]).toMatchObject({ isNew: true, rebuilt: false, before: null });
    expect(merged.changed).toBe(true);
  });

  test("[STK-1] an empty sort is the default sort, at first and later", () => {
    expect(list(after({ lists: { a: { sort: [] } } })).sort).toEqual(["by_recency"]);
    expect(list(after(FULL, { lists: { a: { sort: [] } } })).sort).toEqual(["by_recency"]);
  });

  test("[STK-2] a list not mentioned, and members not mentioned, stay as they are", () => {
    const first = after(FULL);
    for (const request of [{}, { lists: {} }, { lists: { a: {} } }, { lists: { a: { timeline_limit: 10 } } }]) {
      const merged = mergeRequest(first, request);
      expect(merged.changed).toBe(false);
      expect(merged.params).toBe(first);
    }
    const { params, lists } = mergeRequest(first, { lists: { b: {} } });
    expect(params.lists["a"]).toBe(list(first));
    expect(Object.keys(lists)).toEqual(["b"]);
  });

  test("[STK-3] empty arrays and objects replace", () => {
    const emptied = list(
      after(FULL, {
        lists: { a: { ranges: [], filters: {}, required_state: [], bump_event_types: [], include_old_rooms: {} } },
      }),
    );
    expect(emptied).toMatchObject({
      ranges: [],
      filters: {},
      requiredState: [],
      bumpEventTypes: [],
      includeOldRooms: { requiredState: [], timelineLimit: 0, includeHeroes: false },
      timelineLimit: 10,
      sort: ["by_name"],
    });
  });

  test("[STK-4] filters are replaced whole", () => {
    expect(list(after(FULL, { lists: { a: { filters: { is_invite: false } } } })).filters).toEqual({
      is_invite: false,
    });
  });

  const NOTHING = { isNew: false, rebuilt: false, rangesChanged: false, timelineChanged: false, stateChanged: false };
  const changes: [string, NonNullable<SyncRequest["lists"]>[string], Partial<typeof NOTHING>][] = [
    ["nothing", {}, {}],
    ["ranges", { ranges: [[0, 10]] }, { rangesChanged: true }],
    ["equal ranges", { ranges: [[0, 9]] }, {}],
    ["sort", { sort: ["by_recency"] }, { rebuilt: true }],
    ["filters", { filters: { is_dm: false, tags: ["m.favourite"] } }, { rebuilt: true }],
    ["no filters", { filters: {} }, { rebuilt: true }],
    ["filters with their keys in another order", { filters: { tags: ["m.favourite"], is_dm: true } }, {}],
    ["slow_get_all_rooms", { slow_get_all_rooms: true }, { rebuilt: true }],
    ["timeline_limit up", { timeline_limit: 20 }, { timelineChanged: true }],
    ["timeline_limit down", { timeline_limit: 1 }, { timelineChanged: true }],
    ["required_state", { required_state: [] }, { stateChanged: true }],
    ["include_heroes", { include_heroes: false }, {}],
    ["include_old_rooms", { include_old_rooms: {} }, {}],
    ["bump_event_types", { bump_event_types: [] }, {}],
    ["sort and ranges", { sort: ["by_recency"], ranges: [[1, 4]] }, { rebuilt: true, rangesChanged: true }],
  ];
  test.each(changes)("[STK-5] says what changed: %s", (_, request, expected) => {
    const first = after(FULL);
    const merged = mergeRequest(first, { lists: { a: request } });
    expect(merged.lists["a"]).toEqual({ ...NOTHING, ...expected, before: list(first) });
  });

  test("[STK-5] required_state is compared in order", () => {
    const first = after({
      lists: {
        a: {
          required_state: [
            ["x", ""],
            ["y", ""],
          ],
        },
      },
    });
    const merged = mergeRequest(first, {
      lists: {
        a: {
          required_state: [
            ["y", ""],
            ["x", ""],
          ],
        },
      },
    });
    expect(merged.lists["a"]?.stateChanged).toBe(true);
  });

  test("[STK-6] a deleted list is gone and can come back; an unknown one is not added", () => {
    const deleted = mergeRequest(after(FULL), { lists: { a: { deleted: true }, other: { deleted: true } } });
    expect(deleted.params.lists).toEqual({});
    expect(deleted.deletedLists).toEqual(["a"]);
    expect(deleted.lists).toEqual({});
    const back = mergeRequest(deleted.params, { lists: { a: { ranges: [[0, 1]] } } });
    expect(back.lists["a"]?.isNew).toBe(true);
    expect(list(back.params).timelineLimit).toBe(0);
  });

  test("[STK-7] list keys may have the names of object members", () => {
    for (const key of ["__proto__", "constructor", "toString"]) {
      const lists = Object.fromEntries([[key, { ranges: [[0, 1] as [number, number]] }]]);
      const first = mergeRequest(EMPTY_PARAMS, { lists });
      expect(first.lists[key]).toMatchObject({ isNew: true });
      expect(Object.keys(first.params.lists)).toEqual([key]);
      const again = mergeRequest(JSON.parse(JSON.stringify(first.params)) as StickyParams, { lists });
      expect(again.lists[key]).toMatchObject({ isNew: false });
      expect(again.changed).toBe(false);
    }
  });

  test("[STK-8] a connection remembers no more than its share of lists", () => {
    const request = (count: number, prefix: string): SyncRequest => ({
      lists: Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, {}])),
    });
    const full = after(request(MAX_LISTS, "a"));
    expect(mergeRequest(full, request(MAX_LISTS, "a")).changed).toBe(false);
    expect(() => mergeRequest(full, request(1, "b"))).toThrow("too many lists: 101 > 100");
  });

  test("[STK-9] a negative timeline_limit is none", () => {
    expect(list(after(FULL, { lists: { a: { timeline_limit: -3 } } })).timelineLimit).toBe(0);
  });
});

describe("mergeRequest: room subscriptions", () => {
  const CONFIG = { timeline_limit: 5, required_state: [["m.room.name", ""]] as [string, string][] };

  test("[STK-10] a mentioned room is replaced whole, others stay", () => {
    const params = after({ room_subscriptions: { "!a": CONFIG, "!b": CONFIG } }, { room_subscriptions: { "!a": {} } });
    expect(params.subscriptions).toEqual({
      "!a": { requiredState: [], timelineLimit: 0, includeHeroes: false, includeOldRooms: null },
      "!b": { requiredState: [["m.room.name", ""]], timelineLimit: 5, includeHeroes: false, includeOldRooms: null },
    });
  });

  test("[STK-11] counts as subscribed when new, or when limit or state differ", () => {
    const first = after({ room_subscriptions: { "!a": CONFIG } });
    const subscribed = (config: NonNullable<SyncRequest["room_subscriptions"]>[string]): string[] =>
      mergeRequest(first, { room_subscriptions: { "!a": config } }).subscribed;
    expect(mergeRequest(EMPTY_PARAMS, { room_subscriptions: { "!a": {} } }).subscribed).toEqual(["!a"]);
    expect(subscribed(CONFIG)).toEqual([]);
    expect(subscribed({ ...CONFIG, timeline_limit: 6 })).toEqual(["!a"]);
    expect(subscribed({ ...CONFIG, required_state: [] })).toEqual(["!a"]);
    expect(subscribed({ ...CONFIG, include_heroes: true })).toEqual([]);
    expect(subscribed({ ...CONFIG, include_old_rooms: {} })).toEqual([]);
    expect(mergeRequest(first, { room_subscriptions: { "!a": { ...CONFIG, include_heroes: true } } }).changed).toBe(
      true,
    );
  });

  test("[STK-12] unsubscribing comes after subscribing", () => {
    const first = after({ room_subscriptions: { "!a": CONFIG } });
    const both = mergeRequest(first, {
      room_subscriptions: { "!a": { timeline_limit: 9 }, "!b": CONFIG },
      unsubscribe_rooms: ["!a", "!b", "!c", "!a"],
    });
    expect(both.subscribed).toEqual([]);
    expect(both.unsubscribed).toEqual(["!a"]);
    expect(both.params.subscriptions).toEqual({});
    expect(mergeRequest(both.params, { unsubscribe_rooms: ["!a"] })).toMatchObject({
      unsubscribed: [],
      changed: false,
    });
  });
});

test("[STK-8] a connection remembers no more than its share of rooms, however many requests name them", () => {
  const request = (count: number, prefix: string): SyncRequest => ({
    room_subscriptions: Object.fromEntries(Array.from({ length: count }, (_, index) => [`!${prefix}${index}`, {}])),
  });
  const full = after(request(5000, "a"), request(5000, "b"));
  expect(mergeRequest(full, request(5000, "a")).changed).toBe(false);
  expect(() => mergeRequest(full, request(1, "c"))).toThrow("too many room subscriptions: 10001 > 10000");
  expect(mergeRequest(full, { ...request(1, "c"), unsubscribe_rooms: ["!a0"] }).subscribed).toEqual(["!c0"]);
});

test("[STK-35] nor more text than its share, however it is spread over requests", () => {
  const state = Array.from({ length: 500 }, (_, index): [string, string] => ["m".repeat(500), `${index}`]);
  const request = (roomId: string): SyncRequest => ({ room_subscriptions: { [roomId]: { required_state: state } } });
  let full = EMPTY_PARAMS;
  for (const roomId of ["!a", "!b", "!c", "!d", "!e", "!f", "!g", "!h"])
    full = mergeRequest(full, request(roomId)).params;
  expect(() => mergeRequest(full, request("!i"))).toThrow("parameters of the connection are too large");
  expect(mergeRequest(full, { ...request("!i"), unsubscribe_rooms: ["!a"] }).subscribed).toEqual(["!i"]);
});

describe("mergeRequest: extensions", () => {
  test("[STK-13] at first all lists and rooms are in scope, later null keeps", () => {
    const first = after({ extensions: { typing: { enabled: true } } });
    expect(first.extensions.typing).toEqual({ enabled: true, lists: ["*"], rooms: ["*"] });
    const narrowed = after({ extensions: { typing: { enabled: true, lists: [], rooms: ["!a"] } } });
    expect(mergeRequest(narrowed, { extensions: { typing: {} } }).changed).toBe(false);
    expect(mergeRequest(narrowed, { extensions: { typing: { enabled: false } } }).params.extensions.typing).toEqual({
      enabled: false,
      lists: [],
      rooms: ["!a"],
    });
    expect(narrowed.extensions.receipts).toBe(EMPTY_PARAMS.extensions.receipts);
  });

  test("[STK-13] an extension is off until it is switched on", () => {
    expect(Object.values(EMPTY_PARAMS.extensions).some(({ enabled }) => enabled)).toBe(false);
    const { extensions } = after({ extensions: { typing: { lists: ["a"] }, e2ee: { enabled: true } } });
    expect([extensions.typing.enabled, extensions.e2ee.enabled, extensions.receipts.enabled]).toEqual([
      false,
      true,
      false,
    ]);
  });

  test("[STK-14] to_device keeps its limit and since", () => {
    const first = after({ extensions: { to_device: { enabled: true, since: "7", limit: 50 } } });
    expect(first.extensions.to_device).toEqual({ enabled: true, lists: ["*"], rooms: ["*"], limit: 50, since: "7" });
    expect(mergeRequest(first, { extensions: { to_device: { enabled: true } } }).changed).toBe(false);
    expect(after({ extensions: { to_device: { enabled: true } } }).extensions.to_device).toMatchObject({
      limit: 100,
      since: "",
    });
    expect(after({ extensions: { to_device: { limit: 1e9 } } }).extensions.to_device.limit).toBe(1000);
    expect(after({ extensions: { to_device: { limit: -1 } } }).extensions.to_device.limit).toBe(100);
  });

  test("[STK-15] nothing of the request's own is remembered", () => {
    expect(mergeRequest(EMPTY_PARAMS, { txn_id: "t", conn_id: "c" }).changed).toBe(false);
  });
});

describe("combineConfigs", () => {
  const config = (part: Partial<RoomConfig>): RoomConfig => ({ ...combineConfigs([]), ...part });

  test("[STK-16] largest limit, all state once, heroes and old rooms if anybody wants them", () => {
    const combined = combineConfigs([
      config({
        timelineLimit: 3,
        requiredState: [
          ["a", ""],
          ["b", ""],
        ],
        includeOldRooms: { requiredState: [["x", ""]], timelineLimit: 1, includeHeroes: false },
      }),
      config({
        timelineLimit: 10,
        requiredState: [
          ["b", ""],
          ["c", ""],
        ],
        includeHeroes: true,
      }),
      config({ includeOldRooms: { requiredState: [["y", ""]], timelineLimit: 4, includeHeroes: true } }),
    ]);
    expect(combined).toEqual({
      timelineLimit: 10,
      requiredState: [
        ["a", ""],
        ["b", ""],
        ["c", ""],
      ],
      includeHeroes: true,
      includeOldRooms: {
        requiredState: [
          ["x", ""],
          ["y", ""],
        ],
        timelineLimit: 4,
        includeHeroes: true,
      },
    });
  });

  test("[STK-16] of lists only what concerns rooms", () => {
    const combined = combineConfigs([list(after(FULL))]);
    expect(Object.keys(combined).sort()).toEqual([
      "includeHeroes",
      "includeOldRooms",
      "requiredState",
      "timelineLimit",
    ]);
    expect(combined.requiredState).toBe(list(after(FULL)).requiredState);
  });

  test("[STK-16] of nothing is nothing", () => {
    expect(combineConfigs([])).toEqual({
      requiredState: [],
      timelineLimit: 0,
      includeHeroes: false,
      includeOldRooms: null,
    });
  });
});
