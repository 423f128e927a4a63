import { invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { ConnId, DeviceId, EventId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta } from "#src/protocol/room-meta.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { StoredReceipt } from "#src/protocol/update.ts";
import type { Clock } from "#src/ports/basics.ts";
import type { DeviceSnapshot, RoomReader, TimelineChunk, UserSnapshot } from "#src/ports/stores.ts";
import type { Database } from "./connection.ts";
import {
  STATE_COLUMNS,
  type StateChunkRow,
  type StateEvent,
  USER_ROOM_COLUMNS,
  type UserRoomRow,
  roomMetaOf,
  stateEventsOf,
  loadRoomMetas,
  userRoomOf,
  withChunks,
} from "./row-reading.ts";
import { intArray, keyArray, keyText, originalText } from "./text.ts";
import { loadTimelines } from "./timeline-reading.ts";

/** How long transaction ids are told to a user who comes back. */
const TXN_LIFE_MS = 3_600_000;
const ANY = "*";

/** What a device's connections share, as JSON text: all of it is small, but for the lists after a long absence. */
const SELECT_DEVICE = `
  select
    (select json_build_array(otk_counts, pos, fallback_key_types, fallback_pos)::text from device_keys
      where user_id = $1::text and device_id = $2::text) as keys,
    (select json_agg(json_build_array(target, has_left, pos) order by pos)::text from device_lists
      where user_id = $1::text and device_id = $2::text) as lists,
    coalesce((select pos from to_device where user_id = $1::text and device_id = $2::text
      order by pos desc limit 1), 0)::int8 as newest,
    (select json_agg(json_build_array(conn_id, to_device_pos, device_lists_pos))::text from connections
      where user_id = $1::text and device_id = $2::text) as readers`;

/** Nobody is called so: the row that says up to where changes were deleted which somebody may not have. */
const NOBODY = "";

const DELETE_DEVICE_LISTS = `
  with gone as (
    delete from device_lists
    where user_id = $1::text and device_id = $2::text and pos <= $3::int8 and target <> '${NOBODY}'
  ), raised as (
    update device_lists set pos = $3::int8
    where user_id = $1::text and device_id = $2::text and target = '${NOBODY}' and pos < $3::int8 and not $4::bool
  )
  insert into device_lists as d (user_id, device_id, target, has_left, pos)
  select $1::text, $2::text, '${NOBODY}', false, $3::int8 where $4::bool
  on conflict (user_id, device_id, target) do update set pos = greatest(d.pos, excluded.pos)`;

const parsed = <T>(text: string | null): T | null => (text === null ? null : (JSON.parse(text) as T));

// Rows by type and key, by type, by key, and all: in one statement, for they lie in the same chunks.
// A limit or offset inside keeps the look-ups one by one, whatever the planner knows of the table.
const SELECT_STATE = withChunks(`
  select ${STATE_COLUMNS} from unnest($1::int4[], $2::text[], $3::text[]) q (nid, type, state_key)
  cross join lateral (
    select * from room_state s
    where s.nid = q.nid and s.type = q.type and s.state_key = q.state_key limit 1
  ) s
  union all
  select ${STATE_COLUMNS} from unnest($4::int4[], $5::text[]) q (nid, type)
  cross join lateral (
    select * from room_state s where s.nid = q.nid and s.type = q.type offset 0
  ) s
  union all
  select ${STATE_COLUMNS} from unnest($6::int4[], $7::text[]) q (nid, state_key)
  cross join lateral (
    select * from room_state s where s.nid = q.nid and s.state_key = q.state_key offset 0
  ) s
  union all
  select ${STATE_COLUMNS} from unnest($8::int4[]) q (nid)
  cross join lateral (select * from room_state s where s.nid = q.nid offset 0) s`);

/** By room: few rows have changed, and only their events are read. */
const SELECT_STATE_SINCE = withChunks(`
  select ${STATE_COLUMNS} from unnest($1::int4[], $2::int8[]) q (nid, since)
  cross join lateral (
    select * from room_state s where s.nid = q.nid and s.pos > q.since offset 0
  ) s`);

interface ReceiptRow {
  nid: number;
  user_id: string;
  event_id: string;
  thread_id: string;
  is_private: boolean;
  ts: number;
  pos: number;
}

interface StickyRow {
  nid: number;
  event_id: string;
  sender: string;
  expires_ms: number;
  pos: number;
  json: Uint8Array;
}

interface AccountDataRow {
  nid: number;
  type: string;
  pos: number;
  json: Uint8Array;
}

/** The event where it became current. */
const atChange = ({ pos, event }: StateEvent): StoredEvent => ({ ...event, pos });

/** What clients are served from, over PostgreSQL or PGlite. */
class RoomRepository implements RoomReader {
  readonly #db: Database;
  readonly #clock: Pick<Clock, "now">;

  constructor(db: Database, clock: Pick<Clock, "now">) {
    this.#db = db;
    this.#clock = clock;
  }

  async loadHead(): Promise<StreamPos> {
    const [row] = await this.#db.query<{ head: number }>("select head from meta where id = $1::int2", [1]);
    invariant(row !== undefined, "the database has its one row of metadata");
    return row.head;
  }

  loadUser(userId: UserId, hasRoom: (nid: RoomNid) => boolean): Promise<UserSnapshot> {
    const user = keyText(userId);
    const since = this.#clock.now() - TXN_LIFE_MS;
    // Sent in one go; the server answers them in order, all as of the first.
    return this.#db.snapshot(async (query) => {
      const [heads, rooms, steering, txns] = await Promise.all([
        query<{ head: number }>("select head from meta where id = $1::int2", [1]),
        query<UserRoomRow>(`select ${USER_ROOM_COLUMNS} from user_rooms u where u.user_id = $1::text`, [user]),
        query<AccountDataRow>(
          `select nid, type, pos, json from account_data where user_id = $1::text
           and case when nid = 0 then type in ('m.direct', 'm.ignored_user_list') else type = 'm.tag' end`,
          [user],
        ),
        query<{ device_id: string; event_id: string; txn_id: string }>(
          "select device_id, event_id, txn_id from txns where user_id = $1::text and seen_ms > $2::int8",
          [user, since],
        ),
      ]);
      const metas = new Map<number, RoomMeta>();
      const missing = rooms.flatMap(({ nid }) => (hasRoom(nid as RoomNid) ? [] : [nid]));
      if (missing.length > 0) {
        const found = await query<{ meta: string }>("select meta from rooms where nid = any($1::int4[])", [
          intArray(missing),
        ]);
        for (const meta of found.map(roomMetaOf)) metas.set(meta.nid, meta);
      }
      const global = (type: string): AccountDataRow | undefined =>
        steering.find((row) => row.nid === 0 && row.type === type);
      return {
        head: heads[0]?.head ?? 0,
        rooms: rooms.map((row) => ({ standing: userRoomOf(row), meta: metas.get(row.nid) ?? null })),
        direct: global("m.direct")?.json ?? null,
        directPos: global("m.direct")?.pos ?? 0,
        ignored: global("m.ignored_user_list")?.json ?? null,
        tags: steering.flatMap(({ nid, json }) => (nid === 0 ? [] : [{ nid: nid as RoomNid, json }])),
        txns: txns.map((row) => ({
          deviceId: originalText(row.device_id) as DeviceId,
          eventId: originalText(row.event_id),
          txnId: originalText(row.txn_id),
        })),
      };
    });
  }

  loadRooms(roomIds: readonly RoomId[]): Promise<RoomMeta[]> {
    return loadRoomMetas(this.#db, roomIds);
  }

  loadTimelines(queries: Parameters<RoomReader["loadTimelines"]>[0]): Promise<TimelineChunk[]> {
    return loadTimelines(this.#db, queries);
  }

  async loadState(queries: Parameters<RoomReader["loadState"]>[0]): Promise<StoredEvent[]> {
    if (queries.length === 0) return [];
    const exact: { nid: number; type: string; key: string }[] = [];
    const ofType: { nid: number; type: string }[] = [];
    const ofKey: { nid: number; key: string }[] = [];
    const all: number[] = [];
    for (const { nid, entries } of queries) {
      for (const [type, key] of entries) {
        if (type !== ANY && key !== ANY) exact.push({ nid, type, key });
        else if (type !== ANY) ofType.push({ nid, type });
        else if (key !== ANY) ofKey.push({ nid, key });
        else all.push(nid);
      }
    }
    const nidsOf = (rows: readonly { nid: number }[]): string => intArray(rows.map(({ nid }) => nid));
    const typesOf = (rows: readonly { type: string }[]): string => keyArray(rows.map(({ type }) => type));
    const keysOf = (rows: readonly { key: string }[]): string => keyArray(rows.map(({ key }) => key));
    const rows = await this.#db.query<StateChunkRow>(SELECT_STATE, [
      nidsOf(exact),
      typesOf(exact),
      keysOf(exact),
      nidsOf(ofType),
      typesOf(ofType),
      nidsOf(ofKey),
      keysOf(ofKey),
      intArray([...new Set(all)]),
    ]);
    // What several entries match comes once.
    const events = new Map<string, StateEvent>();
    for (const row of stateEventsOf(rows)) {
      const { nid, type, stateKey } = row.event;
      events.set(`${nid}\0${type}\0${stateKey}`, row);
    }
    return [...events.values()].sort((a, b) => a.pos - b.pos).map(({ event }) => event);
  }

  async loadStateSince(queries: Parameters<RoomReader["loadStateSince"]>[0]): Promise<StoredEvent[]> {
    if (queries.length === 0) return [];
    const rows = await this.#db.query<StateChunkRow>(SELECT_STATE_SINCE, [
      intArray(queries.map(({ nid }) => nid)),
      intArray(queries.map(({ since }) => since)),
    ]);
    return stateEventsOf(rows).map(atChange);
  }

  async loadReceipts(nids: readonly RoomNid[]): Promise<StoredReceipt[]> {
    if (nids.length === 0) return [];
    const rows = await this.#db.query<ReceiptRow>(
      `select nid, user_id, event_id, thread_id, is_private, ts, pos
       from receipts where nid = any($1::int4[]) order by pos`,
      [intArray(nids)],
    );
    return rows.map((row) => ({
      nid: row.nid as RoomNid,
      userId: originalText(row.user_id),
      eventId: originalText(row.event_id),
      threadId: originalText(row.thread_id),
      isPrivate: row.is_private,
      ts: row.ts,
      pos: row.pos,
    }));
  }

  async loadSticky(nids: readonly RoomNid[], afterMs: number): Promise<StickyEvent[]> {
    if (nids.length === 0) return [];
    const rows = await this.#db.query<StickyRow>(
      `select nid, event_id, sender, expires_ms, pos, json from sticky_events
       where nid = any($1::int4[]) and expires_ms > $2::int8 order by pos`,
      [intArray(nids), afterMs],
    );
    return rows.map((row) => ({
      nid: row.nid as RoomNid,
      id: originalText(row.event_id) as EventId,
      sender: originalText(row.sender),
      pos: row.pos,
      expiresMs: row.expires_ms,
      json: row.json,
    }));
  }

  async loadAccountData(
    userId: UserId,
    nids: readonly (RoomNid | 0)[],
    after: StreamPos,
  ): ReturnType<RoomReader["loadAccountData"]> {
    if (nids.length === 0) return [];
    const rows = await this.#db.query<AccountDataRow>(
      `select nid, type, pos, json from account_data
       where user_id = $1::text and nid = any($2::int4[]) and pos > $3::int8 order by pos`,
      [keyText(userId), intArray(nids), after],
    );
    return rows.map(({ nid, type, pos, json }) => ({
      roomNid: nid as RoomNid | 0,
      type: originalText(type),
      pos,
      json,
    }));
  }

  /** One statement: thousands of devices come back at once after a start. */
  async loadDevice(userId: UserId, deviceId: DeviceId): Promise<DeviceSnapshot> {
    const [row] = await this.#db.query<{
      keys: string | null;
      lists: string | null;
      newest: number;
      readers: string | null;
    }>(SELECT_DEVICE, [keyText(userId), keyText(deviceId)]);
    invariant(row !== undefined, "a statement without a table has one row");
    const [otkCounts, otkCountsPos, fallbackKeyTypes, fallbackKeyTypesPos] = parsed<
      [string | null, number, string | null, number]
    >(row.keys) ?? [null, 0, null, 0];
    const lists = parsed<[target: string, hasLeft: boolean, pos: number][]>(row.lists) ?? [];
    const readers =
      parsed<[connId: string, toDevicePos: number | null, deviceListsPos: number | null][]>(row.readers) ?? [];
    return {
      otkCounts,
      fallbackKeyTypes,
      otkCountsPos,
      fallbackKeyTypesPos,
      deviceLists: lists.flatMap(([target, hasLeft, pos]) =>
        target === NOBODY ? [] : [{ target: originalText(target), change: hasLeft ? "left" : "changed", pos }],
      ),
      deviceListsFrom: lists.find(([target]) => target === NOBODY)?.[2] ?? 0,
      toDevicePos: row.newest,
      connections: readers.map(([connId, toDevicePos, deviceListsPos]) => ({
        connId: originalText(connId) as ConnId,
        toDevicePos,
        deviceListsPos,
      })),
    };
  }

  async loadToDevice(
    userId: UserId,
    deviceId: DeviceId,
    after: StreamPos,
    limit: number,
  ): Promise<{ pos: StreamPos; json: Uint8Array }[]> {
    return this.#db.query<{ pos: number; json: Uint8Array }>(
      `select pos, json from to_device
       where user_id = $1::text and device_id = $2::text and pos > $3::int8 order by pos limit $4::int8`,
      [keyText(userId), keyText(deviceId), after, limit],
    );
  }

  async deleteToDevice(userId: UserId, deviceId: DeviceId, upTo: StreamPos): Promise<void> {
    await this.#db.query(
      "delete from to_device where user_id = $1::text and device_id = $2::text and pos <= $3::int8",
      [keyText(userId), keyText(deviceId), upTo],
    );
  }

  async deleteDeviceLists(userId: UserId, deviceId: DeviceId, upTo: StreamPos, isForgotten: boolean): Promise<void> {
    await this.#db.query(DELETE_DEVICE_LISTS, [keyText(userId), keyText(deviceId), upTo, isForgotten]);
  }
}

/** The clock tells which transaction ids are too old to matter. */
export function createRoomReader(db: Database, deps: { clock: Pick<Clock, "now"> }): RoomReader {
  return new RoomRepository(db, deps.clock);
}
