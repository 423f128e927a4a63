import type { IngestTransaction } from "#src/ports/stores.ts";
import { membershipCode } from "../event-chunk.ts";
import { boolArray, intArray, keyArray, packBytes, storableCount, storableInt, textArray } from "../text.ts";
import { IF_GUARDED, type Part, owners } from "./part.ts";

/** Code in `devices`: `since` has moved here, but rooms were not read yet. */
const ROOMS_STILL_DUE = 2;

/** Rooms as their users have them. */
export function userRoomPart(rows: IngestTransaction["userRooms"]): Part {
  return {
    name: "user_rooms",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const { blob, offsets, lengths } = packBytes(rows.map(({ stripped }) => stripped));
      const bytes = param(blob, "bytea");
      return `
      insert into user_rooms as u
        (user_id, nid, membership, member_pos, member_sender, join_pos, join_ts, left_pos, is_direct,
         notification_count, highlight_count, pos, stripped)
      select user_id, nid, membership, member_pos, member_sender, join_pos, join_ts, left_pos, is_direct,
        notification_count, highlight_count, pos, substring(${bytes} from start for length)
      from unnest(
        ${param(keyArray(rows.map(({ userId }) => userId)), "text[]")},
        ${param(intArray(rows.map(({ nid }) => nid)), "int4[]")},
        ${param(intArray(rows.map(({ membership }) => membershipCode(membership))), "int2[]")},
        ${param(intArray(rows.map(({ memberPos }) => memberPos)), "int8[]")},
        ${param(textArray(rows.map(({ memberSender }) => memberSender)), "text[]")},
        ${param(intArray(rows.map(({ joinPos }) => joinPos)), "int8[]")},
        ${param(intArray(rows.map(({ joinTs }) => storableInt(joinTs))), "int8[]")},
        ${param(intArray(rows.map(({ leftPos }) => leftPos)), "int8[]")},
        ${param(boolArray(rows.map(({ isDirect }) => isDirect)), "bool[]")},
        ${param(intArray(rows.map((row) => storableCount(row.notificationCount))), "int4[]")},
        ${param(intArray(rows.map((row) => storableCount(row.highlightCount))), "int4[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(offsets), "int4[]")},
        ${param(intArray(lengths), "int4[]")}
      ) c (user_id, nid, membership, member_pos, member_sender, join_pos, join_ts, left_pos, is_direct,
           notification_count, highlight_count, pos, start, length) ${IF_GUARDED}
      on conflict (user_id, nid) do update set
        membership = excluded.membership, member_pos = excluded.member_pos, member_sender = excluded.member_sender,
        join_pos = excluded.join_pos, join_ts = excluded.join_ts, left_pos = excluded.left_pos,
        is_direct = excluded.is_direct, notification_count = excluded.notification_count,
        highlight_count = excluded.highlight_count, pos = excluded.pos, stripped = excluded.stripped`;
    },
  };
}

/** Latest receipts. */
export function receiptPart(rows: IngestTransaction["receipts"]): Part {
  return {
    name: "receipts",
    isEmpty: rows.length === 0,
    sql: (param) => `
      insert into receipts as r (nid, user_id, thread_id, is_private, event_id, ts, pos)
      select * from unnest(
        ${param(intArray(rows.map(({ nid }) => nid)), "int4[]")},
        ${param(keyArray(rows.map(({ userId }) => userId)), "text[]")},
        ${param(keyArray(rows.map(({ threadId }) => threadId)), "text[]")},
        ${param(boolArray(rows.map(({ isPrivate }) => isPrivate)), "bool[]")},
        ${param(textArray(rows.map(({ eventId }) => eventId)), "text[]")},
        ${param(intArray(rows.map(({ ts }) => storableInt(ts))), "int8[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")}
      ) ${IF_GUARDED}
      on conflict (nid, user_id, thread_id, is_private) do update set
        event_id = excluded.event_id, ts = excluded.ts, pos = excluded.pos`,
  };
}

/** Account data, of users and of their rooms. */
export function accountDataPart(rows: IngestTransaction["accountData"]): Part {
  return {
    name: "account_data",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const { blob, offsets, lengths } = packBytes(rows.map(({ json }) => json));
      const bytes = param(blob, "bytea");
      return `
      insert into account_data as a (user_id, nid, type, pos, json)
      select user_id, nid, type, pos, substring(${bytes} from start for length)
      from unnest(
        ${param(keyArray(rows.map(({ userId }) => userId)), "text[]")},
        ${param(intArray(rows.map(({ roomNid }) => roomNid)), "int4[]")},
        ${param(keyArray(rows.map(({ type }) => type)), "text[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(offsets), "int4[]")},
        ${param(intArray(lengths), "int4[]")}
      ) c (user_id, nid, type, pos, start, length) ${IF_GUARDED}
      on conflict (user_id, nid, type) do update set pos = excluded.pos, json = excluded.json`;
    },
  };
}

/** To-device messages, until they are acknowledged. */
export function toDevicePart(rows: IngestTransaction["toDevice"]): Part {
  return {
    name: "to_device",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      const { blob, offsets, lengths } = packBytes(rows.map(({ json }) => json));
      const bytes = param(blob, "bytea");
      return `
      insert into to_device (user_id, device_id, pos, json)
      select user_id, device_id, pos, substring(${bytes} from start for length)
      from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(offsets), "int4[]")},
        ${param(intArray(lengths), "int4[]")}
      ) c (user_id, device_id, pos, start, length) ${IF_GUARDED}`;
    },
  };
}

/** Users whose devices have changed, for each device. */
export function deviceListPart(rows: IngestTransaction["deviceLists"]): Part {
  return {
    name: "device_lists",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into device_lists as d (user_id, device_id, target, has_left, pos)
      select * from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(keyArray(rows.map(({ target }) => target)), "text[]")},
        ${param(boolArray(rows.map(({ change }) => change === "left")), "bool[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")}
      ) ${IF_GUARDED}
      on conflict (user_id, device_id, target) do update set has_left = excluded.has_left, pos = excluded.pos`;
    },
  };
}

/** Counts of one-time keys and types of unused fallback keys. */
export function deviceKeyPart(rows: IngestTransaction["deviceKeys"]): Part {
  return {
    name: "device_keys",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into device_keys as d (user_id, device_id, otk_counts, fallback_key_types, pos, fallback_pos)
      select n.*, n.pos from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(textArray(rows.map(({ otkCounts }) => otkCounts)), "text[]")},
        ${param(textArray(rows.map(({ fallbackKeyTypes }) => fallbackKeyTypes)), "text[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")}
      ) n (user_id, device_id, otk_counts, fallback_key_types, pos) ${IF_GUARDED}
      on conflict (user_id, device_id) do update set
        otk_counts = coalesce(excluded.otk_counts, d.otk_counts),
        pos = case when excluded.otk_counts is null then d.pos else excluded.pos end,
        fallback_key_types = coalesce(excluded.fallback_key_types, d.fallback_key_types),
        fallback_pos = case when excluded.fallback_key_types is null then d.fallback_pos else excluded.pos end`;
    },
  };
}

/** Transaction ids of own events. */
export function txnPart(rows: IngestTransaction["txns"]): Part {
  return {
    name: "txns",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into txns as t (user_id, device_id, event_id, txn_id, seen_ms)
      select * from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(keyArray(rows.map(({ eventId }) => eventId)), "text[]")},
        ${param(textArray(rows.map(({ txnId }) => txnId)), "text[]")},
        ${param(intArray(rows.map(({ nowMs }) => storableInt(nowMs))), "int8[]")}
      ) ${IF_GUARDED}
      on conflict (user_id, device_id, event_id) do update set txn_id = excluded.txn_id, seen_ms = excluded.seen_ms`;
    },
  };
}

/** How far the homeserver was read for each device. */
export function sincePart(rows: IngestTransaction["sinces"]): Part {
  return {
    name: "sinces",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into devices as d (user_id, device_id, since, since_pos, rooms_due)
      select * from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(textArray(rows.map(({ since }) => since)), "text[]")},
        ${param(intArray(rows.map(({ pos }) => pos)), "int8[]")},
        ${param(intArray(rows.map(({ roomsAreDue }) => (roomsAreDue === true ? ROOMS_STILL_DUE : 0))), "int2[]")}
      ) ${IF_GUARDED}
      on conflict (user_id, device_id) do update set since = excluded.since, since_pos = excluded.since_pos,
        rooms_due = excluded.rooms_due`;
    },
  };
}
