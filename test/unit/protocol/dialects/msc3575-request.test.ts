import { describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import { readSyncRequest } from "#src/protocol/dialects/msc3575-request.ts";
import { parseRequestJson } from "#src/protocol/request-json.ts";

function failure(json: unknown): string {
  try {
    readSyncRequest(json);
  } catch (error) {
    if (error instanceof SyncError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "no error";
}

const listOf = (list: unknown): unknown => readSyncRequest({ lists: { k: list } }).lists?.["k"];
const many = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

describe("readSyncRequest", () => {
  test("[REQ-1] a whole request", () => {
    const request = {
      txn_id: "t",
      conn_id: "c",
      lists: {
        k: {
          ranges: [[0, 20]],
          sort: ["by_recency", "by_name"],
          required_state: [["m.room.member", "$LAZY"]],
          timeline_limit: 10,
          filters: { is_dm: false, room_types: [null, "m.space"], room_name_like: "x", tags: ["a"], spaces: [] },
          slow_get_all_rooms: false,
          bump_event_types: ["m.room.message"],
          include_old_rooms: { timeline_limit: 1, required_state: [["a", ""]], include_heroes: true },
          include_heroes: true,
          deleted: false,
        },
      },
      room_subscriptions: { "!a": { timeline_limit: 1, required_state: [] } },
      unsubscribe_rooms: ["!b"],
      extensions: {
        to_device: { enabled: true, limit: 5, since: "7" },
        e2ee: { enabled: true },
        account_data: { enabled: false, lists: ["k"], rooms: ["!a"] },
        receipts: { enabled: true, lists: [], rooms: ["*"] },
        typing: {},
      },
    };
    const read: unknown = readSyncRequest(request);
    expect(read).toEqual(request);
  });

  test("[REQ-2] null, nothing and unknown members are an empty request", () => {
    for (const json of [null, undefined, {}, { surprise: 1, lists: null, extensions: null }])
      expect(readSyncRequest(json)).toEqual({});
  });

  test("[REQ-3] null, 0 and empty strings mean not given", () => {
    const request = {
      txn_id: "",
      conn_id: null,
      lists: {
        k: {
          ranges: null,
          sort: null,
          filters: null,
          required_state: null,
          timeline_limit: 0,
          include_old_rooms: null,
          include_heroes: null,
          slow_get_all_rooms: null,
          bump_event_types: null,
          deleted: null,
        },
        l: null,
      },
      room_subscriptions: { "!a": null, "!b": { timeline_limit: 0, required_state: null, include_old_rooms: null } },
      unsubscribe_rooms: null,
      extensions: {
        to_device: { enabled: null, limit: 0, since: "", lists: null, rooms: null },
        e2ee: null,
      },
    };
    expect(readSyncRequest(request)).toEqual({
      lists: { k: {}, l: {} },
      room_subscriptions: { "!a": {}, "!b": {} },
      extensions: { to_device: {} },
    });
  });

  test("[REQ-4] empty arrays and objects are kept", () => {
    const list = { ranges: [], sort: [], filters: {}, required_state: [], bump_event_types: [], include_old_rooms: {} };
    expect(listOf(list)).toEqual(list);
    expect(listOf({ filters: { tags: [], is_dm: null, room_name_like: "" } })).toEqual({ filters: { tags: [] } });
  });

  test("[REQ-5] tuples may be short, long or null", () => {
    expect(listOf({ ranges: [[0]] })).toEqual({ ranges: [[0, 0]] });
    expect(listOf({ ranges: [[1, 3, 9]] })).toEqual({ ranges: [[1, 3]] });
    expect(listOf({ ranges: [[]] })).toEqual({ ranges: [[0, 0]] });
    expect(listOf({ ranges: [null] })).toEqual({ ranges: [[0, 0]] });
    expect(listOf({ required_state: [["a"], [], ["a", "b", "c"], [null, "k"], null] })).toEqual({
      required_state: [
        ["a", ""],
        ["", ""],
        ["a", "b"],
        ["", "k"],
        ["", ""],
      ],
    });
  });

  test("[REQ-6] integers beyond what we count to are the largest we can", () => {
    expect(listOf(JSON.parse('{"ranges":[[0,9223372036854775807]],"timeline_limit":1e18}'))).toEqual({
      ranges: [[0, Number.MAX_SAFE_INTEGER]],
      timeline_limit: Number.MAX_SAFE_INTEGER,
    });
    expect(listOf({ timeline_limit: -1 })).toEqual({ timeline_limit: -1 });
  });

  const wrongTypes: [unknown, string][] = [
    [7, "the request is not an object"],
    [[], "the request is not an object"],
    ["x", "the request is not an object"],
    [{ txn_id: 7 }, "txn_id is not a string"],
    [{ conn_id: {} }, "conn_id is not a string"],
    [{ lists: [] }, "lists is not an object"],
    [{ lists: { k: 1 } }, "lists[k] is not an object"],
    [{ lists: { k: { ranges: {} } } }, "lists[k].ranges is not an array"],
    [{ lists: { k: { ranges: [0, 20] } } }, "lists[k].ranges[0] is not an array"],
    [{ lists: { k: { ranges: [[0, 5.5]] } } }, "lists[k].ranges[0][1] is not an integer"],
    [{ lists: { k: { ranges: [["0", 5]] } } }, "lists[k].ranges[0][0] is not an integer"],
    [{ lists: { k: { ranges: [[0, 1e300]] } } }, "lists[k].ranges[0][1] is not an integer"],
    [{ lists: { k: { timeline_limit: "10" } } }, "lists[k].timeline_limit is not an integer"],
    [{ lists: { k: { timeline_limit: 1.5 } } }, "lists[k].timeline_limit is not an integer"],
    [{ lists: { k: { sort: "by_name" } } }, "lists[k].sort is not an array"],
    [{ lists: { k: { sort: [1] } } }, "lists[k].sort[0] is not a string"],
    [{ lists: { k: { required_state: [["a", 1]] } } }, "lists[k].required_state[0][1] is not a string"],
    [{ lists: { k: { required_state: ["a"] } } }, "lists[k].required_state[0] is not an array"],
    [{ lists: { k: { filters: [] } } }, "lists[k].filters is not an object"],
    [{ lists: { k: { filters: { is_dm: "yes" } } } }, "lists[k].filters.is_dm is not a boolean"],
    [{ lists: { k: { filters: { tags: "x" } } } }, "lists[k].filters.tags is not an array"],
    [{ lists: { k: { filters: { room_types: [1] } } } }, "lists[k].filters.room_types[0] is not a string"],
    [{ lists: { k: { filters: { room_name_like: 1 } } } }, "lists[k].filters.room_name_like is not a string"],
    [{ lists: { k: { include_old_rooms: true } } }, "lists[k].include_old_rooms is not an object"],
    [{ lists: { k: { include_heroes: 1 } } }, "lists[k].include_heroes is not a boolean"],
    [{ room_subscriptions: [] }, "room_subscriptions is not an object"],
    [{ room_subscriptions: { "!a": 1 } }, "room_subscriptions[!a] is not an object"],
    [
      { room_subscriptions: { "!a": { timeline_limit: true } } },
      "room_subscriptions[!a].timeline_limit is not an integer",
    ],
    [{ unsubscribe_rooms: "!a" }, "unsubscribe_rooms is not an array"],
    [{ extensions: { typing: true } }, "extensions.typing is not an object"],
    [{ extensions: { typing: { enabled: 1 } } }, "extensions.typing.enabled is not a boolean"],
    [{ extensions: { to_device: { since: 7 } } }, "extensions.to_device.since is not a string"],
    [{ extensions: { to_device: { limit: "7" } } }, "extensions.to_device.limit is not an integer"],
  ];
  test.each(wrongTypes)("[REQ-7] %j", (json, message) => {
    expect(failure(json)).toBe(`bad_json: ${message}`);
  });

  const wrongValues: [string, unknown, string][] = [
    ["conn_id", { conn_id: "x".repeat(17) }, "conn_id is too long: 17 > 16"],
    ["conn_id in bytes", { conn_id: "é".repeat(9) }, "conn_id is too long: 18 > 16"],
    ["txn_id", { txn_id: "x".repeat(65) }, "txn_id is too long: 65 > 64"],
    ["list key", { lists: { ["x".repeat(65)]: {} } }, "list key is too long: 65 > 64"],
    ["lists", { lists: Object.fromEntries(many(101, (index) => [index, {}])) }, "too many lists: 101 > 100"],
    ["negative range", { lists: { k: { ranges: [[-1, 3]] } } }, "list[k] invalid ranges [[-1,3]]"],
    ["short range", { lists: { k: { ranges: [[7]] } } }, "list[k] invalid ranges [[7,0]]"],
    [
      "overlap",
      {
        lists: {
          k: {
            ranges: [
              [0, 5],
              [5, 6],
            ],
          },
        },
      },
      "list[k] invalid ranges [[0,5],[5,6]]",
    ],
    [
      "ranges",
      { lists: { k: { ranges: many(101, (index) => [index, index]) } } },
      "too many lists[k].ranges: 101 > 100",
    ],
    ["unknown sort", { lists: { k: { sort: ["by_recency", "by_luck"] } } }, "list[k] unknown sort by_luck"],
    [
      "required_state",
      { lists: { k: { required_state: many(1001, () => ["a", ""]) } } },
      "too many lists[k].required_state: 1001 > 1000",
    ],
    [
      "bump_event_types",
      { lists: { k: { bump_event_types: many(101, () => "a") } } },
      "too many lists[k].bump_event_types: 101 > 100",
    ],
    [
      "tags",
      { lists: { k: { filters: { tags: many(101, () => "a") } } } },
      "too many lists[k].filters.tags: 101 > 100",
    ],
    [
      "subscriptions",
      { room_subscriptions: Object.fromEntries(many(1001, (index) => [`!${index}`, {}])) },
      "too many room subscriptions: 1001 > 1000",
    ],
    ["unsubscribe_rooms", { unsubscribe_rooms: many(1001, () => "!a") }, "too many unsubscribe_rooms: 1001 > 1000"],
    [
      "text",
      { lists: { k: { filters: { room_name_like: "x".repeat(1025) } } } },
      "lists[k].filters.room_name_like is too long: 1025 > 1024",
    ],
  ];
  test.each(wrongValues)("[REQ-8] %s", (_, json, message) => {
    expect(failure(json)).toBe(`invalid_param: ${message}`);
  });

  test("[REQ-8] limits are inclusive and counted in bytes", () => {
    const request = { conn_id: "é".repeat(8), txn_id: "x".repeat(64), lists: { ["x".repeat(64)]: {} } };
    expect(readSyncRequest(request)).toEqual(request);
  });

  test("[REQ-9] rooms that cannot exist are left out", () => {
    expect(readSyncRequest({ room_subscriptions: { "": {}, x: {}, "!a": {}, [`!${"a".repeat(300)}`]: {} } })).toEqual({
      room_subscriptions: { "!a": {} },
    });
  });

  test("[REQ-10] names of object members are ordinary keys", () => {
    const request = readSyncRequest(JSON.parse('{"lists":{"__proto__":{"timeline_limit":3},"constructor":{}}}'));
    expect(Object.entries(request.lists ?? {})).toEqual([
      ["__proto__", { timeline_limit: 3 }],
      ["constructor", {}],
    ]);
  });

  test("[REQ-15] names are read whatever their case, those that clients choose are not", () => {
    const json = {
      LISTS: { K: { Ranges: [[0, 1]], TIMELINE_LIMIT: 2, Filters: { Is_DM: true } }, k: {} },
      Room_Subscriptions: { "!A": { Timeline_Limit: 1 }, "!a": {} },
      extensions: { To_Device: { Enabled: true, SINCE: "s" } },
      txn_ID: "t",
    };
    expect(readSyncRequest(json)).toEqual({
      txn_id: "t",
      lists: { K: { ranges: [[0, 1]], timeline_limit: 2, filters: { is_dm: true } }, k: {} },
      room_subscriptions: { "!A": { timeline_limit: 1 }, "!a": {} },
      extensions: { to_device: { enabled: true, since: "s" } },
    });
    expect(readSyncRequest({ txn_id: "exact", TXN_ID: "other" })).toEqual({ txn_id: "exact" });
  });

  test("[REQ-14] an integer written with a fraction is none", () => {
    const error = (text: string): string => failure(parseRequestJson(text));
    expect(error('{"lists":{"k":{"ranges":[[0,5.0]]}}}')).toBe("bad_json: lists[k].ranges[0][1] is not an integer");
    expect(error('{"lists":{"k":{"timeline_limit":1e1}}}')).toBe("bad_json: lists[k].timeline_limit is not an integer");
    expect(error('{"unknown":5.5,"lists":{"k":{"timeline_limit":1}}}')).toBe("no error");
  });
});
