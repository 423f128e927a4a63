import type { Database } from "../connection.ts";
import { type Moved, movedFrom } from "../moved.ts";
import { keyArray, originalText } from "../text.ts";
import { TABLES, type TableName } from "./tables.ts";

/** A table and what it takes on the disk. */
export interface TableStats {
  name: TableName;
  rows: number;
  /** Rows that are deleted or replaced, and not yet cleared away; null = the database has not counted. */
  deadRows: number | null;
  /** Without indexes. */
  bytes: number;
  indexBytes: number;
  indexes: { name: string; bytes: number }[];
}

/** What is stored, and what for. */
export interface DatabaseStats {
  totalBytes: number;
  tables: TableStats[];
  kinds: { kind: string; count: number; bytes: number }[];
  /** Those that take most, largest first. */
  rooms: { roomId: string; events: number; bytes: number; members: number }[];
  /** Devices for which most waits, and how many have anything waiting. */
  backlog: { userId: string; deviceId: string; messages: number; bytes: number; deviceLists: number }[];
  devicesWithBacklog: number;
  devices: number;
  users: number;
  /** Devices whose rooms are still to be read after an import or a restore. */
  roomsDue: number;
  /** Connections by the time of the last change of the secret; null = it was never changed. */
  rotation: { atMs: number; connectionsBefore: number } | null;
  /** Where everything was moved to; null = it is here. */
  moved: Moved | null;
}

/** Rooms and devices that are named. */
const NAMED = 10;

const SIZES = `
  select c.relname as name, pg_table_size(c.oid) as bytes, pg_indexes_size(c.oid) as index_bytes,
    s.n_dead_tup as dead_rows
  from unnest($1::text[]) n (name) join pg_class c on c.oid = to_regclass(n.name)
  left join pg_stat_user_tables s on s.relid = c.oid`;

const INDEXES = `
  select t.relname as name, i.relname as index_name, pg_relation_size(i.oid) as bytes
  from unnest($1::text[]) n (name) join pg_class t on t.oid = to_regclass(n.name)
  join pg_index x on x.indrelid = t.oid join pg_class i on i.oid = x.indexrelid order by bytes desc, index_name`;

const KINDS = `
  select 'timeline events' as kind, coalesce(sum(event_count), 0)::int8 as count,
    coalesce(sum(octet_length(records)), 0)::int8 as bytes from events where in_timeline
  union all select 'events of state blocks', coalesce(sum(event_count), 0)::int8,
    coalesce(sum(octet_length(records)), 0)::int8 from events where not in_timeline
  union all select 'current state', count(*), coalesce(sum(pg_column_size(s)), 0)::int8 from room_state s
  union all select 'to-device messages', count(*), coalesce(sum(octet_length(json)), 0)::int8 from to_device
  union all select 'device-list changes', count(*), coalesce(sum(pg_column_size(l)), 0)::int8 from device_lists l
  union all select 'receipts', count(*), coalesce(sum(pg_column_size(r)), 0)::int8 from receipts r
  union all select 'account data', count(*), coalesce(sum(octet_length(json)), 0)::int8 from account_data
  union all select 'connections', count(*), coalesce(sum(pg_column_size(c)), 0)::int8 from connections c`;

const LARGEST_ROOMS = `
  select r.room_id, e.events, e.bytes,
    (select count(*)::int4 from room_state s where s.nid = e.nid and s.membership in (1, 2)) as members
  from (
    select nid, sum(event_count)::int8 as events, sum(octet_length(records))::int8 as bytes from events
    group by nid order by bytes desc limit $1::int8
  ) e join rooms r on r.nid = e.nid order by e.bytes desc`;

const BACKLOG = `
  with waiting as (
    select user_id, device_id, count(*)::int8 as messages, sum(octet_length(json))::int8 as bytes, 0::int8 as lists
    from to_device group by user_id, device_id
    union all
    select user_id, device_id, 0, 0, count(*) from device_lists group by user_id, device_id
  ), device as (
    select user_id, device_id, sum(messages)::int8 as messages, sum(bytes)::int8 as bytes, sum(lists)::int8 as lists
    from waiting group by user_id, device_id
  )
  select d.*, count(*) over ()::int8 as total from device d order by messages desc, lists desc, user_id, device_id
  limit $1::int8`;

const COUNTS = `
  select (select count(*) from devices)::int8 as devices, (select count(distinct user_id) from devices)::int8 as users,
    (select count(*) from devices where rooms_due <> 0)::int8 as rooms_due, m.secret_rotated_ms,
    (select count(*) from connections c where c.last_used_ms < m.secret_rotated_ms)::int8 as connections_before
  from meta m`;

/** Sizes and counts of one of our databases; looks at every row of the larger tables once, but not into them. */
export async function readStats(db: Database): Promise<DatabaseStats> {
  const names = keyArray(TABLES);
  const sizes = await db.query<{ name: TableName; bytes: number; index_bytes: number; dead_rows: number | null }>(
    SIZES,
    [names],
  );
  const indexes = await db.query<{ name: TableName; index_name: string; bytes: number }>(INDEXES, [names]);
  const rowsOf = await countRows(db);
  const tables = sizes.map<TableStats>((row) => ({
    name: row.name,
    rows: rowsOf.get(row.name) ?? 0,
    deadRows: row.dead_rows,
    bytes: row.bytes,
    indexBytes: row.index_bytes,
    indexes: indexes
      .filter(({ name }) => name === row.name)
      .map((index) => ({ name: index.index_name, bytes: index.bytes })),
  }));
  tables.sort((a, b) => b.bytes + b.indexBytes - a.bytes - a.indexBytes);
  return {
    totalBytes: tables.reduce((sum, table) => sum + table.bytes + table.indexBytes, 0),
    tables,
    kinds: (await db.query<DatabaseStats["kinds"][number]>(KINDS)).toSorted((a, b) => b.bytes - a.bytes),
    rooms: await largestRooms(db),
    ...(await readBacklog(db)),
    ...(await readCounts(db)),
    moved: await movedFrom((...statement) => db.query(...statement)),
  };
}

async function countRows(db: Database): Promise<Map<string, number>> {
  const counts = TABLES.map((name) => `select '${name}' as name, count(*) as rows from ${name}`);
  const rows = await db.query<{ name: string; rows: number }>(counts.join(" union all "));
  return new Map(rows.map((row) => [row.name, row.rows]));
}

async function largestRooms(db: Database): Promise<DatabaseStats["rooms"]> {
  const rows = await db.query<{ room_id: string; events: number; bytes: number; members: number }>(LARGEST_ROOMS, [
    NAMED,
  ]);
  return rows.map(({ room_id: roomId, events, bytes, members }) => ({
    roomId: originalText(roomId),
    events,
    bytes,
    members,
  }));
}

async function readBacklog(db: Database): Promise<Pick<DatabaseStats, "backlog" | "devicesWithBacklog">> {
  const rows = await db.query<{
    user_id: string;
    device_id: string;
    messages: number;
    bytes: number;
    lists: number;
    total: number;
  }>(BACKLOG, [NAMED]);
  return {
    backlog: rows.map((row) => ({
      userId: originalText(row.user_id),
      deviceId: originalText(row.device_id),
      messages: row.messages,
      bytes: row.bytes,
      deviceLists: row.lists,
    })),
    devicesWithBacklog: rows[0]?.total ?? 0,
  };
}

async function readCounts(db: Database): Promise<Pick<DatabaseStats, "devices" | "users" | "roomsDue" | "rotation">> {
  const [row] = await db.query<{
    devices: number;
    users: number;
    rooms_due: number;
    secret_rotated_ms: number | null;
    connections_before: number;
  }>(COUNTS);
  const atMs = row?.secret_rotated_ms ?? null;
  return {
    devices: row?.devices ?? 0,
    users: row?.users ?? 0,
    roomsDue: row?.rooms_due ?? 0,
    rotation: atMs === null ? null : { atMs, connectionsBefore: row?.connections_before ?? 0 },
  };
}
