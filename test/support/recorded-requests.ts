/** Rooms that the recorded requests name. */
export const RECORDED_ROOMS = ["!c:test", "!b:test", "!a:test"];

const DMS = {
  ranges: [[0, 10]],
  sort: ["by_name"],
  timeline_limit: 1,
  filters: { is_dm: true, not_tags: ["m.lowpriority"] },
  required_state: [
    ["m.room.avatar", ""],
    ["m.room.tombstone", ""],
  ],
  include_old_rooms: { timeline_limit: 0, required_state: [["m.room.create", ""]] },
  bump_event_types: ["m.room.message"],
};
const ALL_STATE = [
  ["m.room.create", ""],
  ["m.room.member", "$ME"],
];
const ranges = (end: number) => ({ all: { ranges: [[0, end]] }, dms: { ranges: [[0, 10]] } });
const toDevice = { to_device: { since: "fake-epoch_0" } };

/** What matrix-js-sdk 37.2.0 sends in its first minute: lists, subscriptions, windows, a new list; and after an error. */
export const SDK_REQUESTS: readonly Record<string, unknown>[] = [
  {
    lists: {
      all: {
        ranges: [[0, 2]],
        sort: ["by_recency"],
        timeline_limit: 1,
        filters: {},
        required_state: ALL_STATE,
        slow_get_all_rooms: false,
      },
      dms: DMS,
    },
    extensions: {
      e2ee: { enabled: true },
      to_device: { limit: 100, enabled: true },
      account_data: { enabled: true },
      typing: { enabled: true },
      receipts: { enabled: true },
    },
    txn_id: "m1795275102012.0",
  },
  { lists: ranges(2), extensions: toDevice },
  {
    lists: ranges(2),
    extensions: toDevice,
    room_subscriptions: { "!c:test": { timeline_limit: 20, required_state: [["*", "*"]] } },
    txn_id: "m1795275102085.1",
  },
  { lists: ranges(4), extensions: toDevice },
  { lists: ranges(4), extensions: toDevice, unsubscribe_rooms: ["!c:test"], txn_id: "m1795275102385.2" },
  {
    lists: {
      all: {
        ranges: [[0, 4]],
        sort: ["by_name"],
        timeline_limit: 1,
        filters: { room_name_like: "a" },
        required_state: ALL_STATE,
        slow_get_all_rooms: false,
      },
      dms: { ranges: [[0, 10]] },
    },
    extensions: toDevice,
    txn_id: "m1795275102686.3",
  },
];

/** What a client in Go sends that marshals whole structs: everything is there, most of it as nothing. */
export const GO_REQUEST: Record<string, unknown> = {
  txn_id: "",
  conn_id: "",
  lists: {
    a: {
      ranges: [
        [0, 1],
        [2, 3],
      ],
      sort: null,
      required_state: [["m.room.member", "$LAZY"]],
      timeline_limit: 10,
      filters: {
        spaces: null,
        is_dm: null,
        is_encrypted: null,
        is_invite: false,
        room_name_like: "",
        room_types: null,
        not_room_types: [null],
        tags: null,
        not_tags: null,
      },
      include_old_rooms: null,
      slow_get_all_rooms: null,
      deleted: false,
      bump_event_types: null,
      include_heroes: null,
    },
    b: null,
  },
  room_subscriptions: { "!b:test": { required_state: null, timeline_limit: 0, include_old_rooms: null } },
  unsubscribe_rooms: null,
  extensions: {
    to_device: { enabled: null, limit: 0, since: "", lists: null, rooms: null },
    e2ee: null,
    account_data: { enabled: true, lists: ["*"], rooms: ["*"] },
    typing: null,
    receipts: { enabled: true, lists: null, rooms: null },
  },
};
