import type {
  AdminStore,
  AuditEntry,
  QuarantineEntry,
  RepairEntry,
  StoredDevice,
  TableSize,
} from "#src/ports/admin-store.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Database } from "./connection.ts";
import { membershipOf } from "./event-chunk.ts";
import { keyText, originalText, storableText } from "./text.ts";

/** Entries of the audit log that are kept. */
const KEPT_AUDIT = 10_000;
/** A user with more devices or connections than this is shown in part. */
const SHOWN_DEVICES = 200;
const SHOWN_CONNECTIONS = 1000;
/** Of waiting messages more are not counted: it is enough to know that they are many. */
const COUNTED = 100_000;
/** Behind every id. */
const NEWEST = Number.MAX_SAFE_INTEGER;

interface DeviceRow {
  device_id: string;
  tokens: number;
  last_seen_ms: number | null;
  tokenless_ms: number | null;
  paused_ms: number | null;
  has_synced: boolean;
  to_device: number;
  device_lists: number;
  otk_counts: string | null;
  fallback_key_types: string | null;
}

type AuditRow = Omit<AuditEntry, "atMs"> & { id: number; at_ms: number };
type RepairRow = Omit<RepairEntry, "askedMs" | "endedMs"> & { asked_ms: number; ended_ms: number | null };

/** Operators' view of the database, over PostgreSQL or PGlite. */
class AdminRepository implements AdminStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async saveAudit({ atMs, action, target, remote, result }: AuditEntry): Promise<void> {
    await this.#db.query(
      `with old as (
         delete from audit where id <= coalesce((select id from audit order by id desc offset $6::int8 limit 1), 0)
       )
       insert into audit (at_ms, action, target, remote, result)
       values ($1::int8, $2::text, $3::text, $4::text, $5::text)`,
      [atMs, action, storableText(target), remote, storableText(result), KEPT_AUDIT - 1],
    );
  }

  async listAudit(before: number | null, limit: number): ReturnType<AdminStore["listAudit"]> {
    const rows = await this.#db.query<AuditRow>(
      `select id, at_ms, action, target, remote, result from audit
       where id < $1::int8 order by id desc limit $2::int8`,
      [before ?? NEWEST, limit],
    );
    return rows.map(auditOf);
  }

  async listQuarantine(before: number | null, limit: number, userId: UserId | null): Promise<QuarantineEntry[]> {
    const rows = await this.#db.query<{
      id: number;
      seen_ms: number;
      user_id: string;
      device_id: string;
      room_id: string | null;
      section: string;
      reason: string;
    }>(
      `select id, seen_ms, user_id, device_id, room_id, section, reason from quarantine
       where id < $1::int8 and ($2::text is null or user_id = $2::text) order by id desc limit $3::int8`,
      [before ?? NEWEST, userId === null ? null : storableText(userId), limit],
    );
    return rows.map((row) => ({
      id: row.id,
      seenMs: row.seen_ms,
      userId: originalText(row.user_id),
      deviceId: originalText(row.device_id),
      roomId: row.room_id === null ? null : originalText(row.room_id),
      section: originalText(row.section),
      reason: originalText(row.reason),
    }));
  }

  async listRepairs(limit: number): Promise<RepairEntry[]> {
    const rows = await this.#db.query<RepairRow>(
      "select id, kind, target, asked_ms, ended_ms, total, done, failed from repairs order by id desc limit $1::int8",
      [limit],
    );
    return rows.map(repairOf);
  }

  async sizes(): ReturnType<AdminStore["sizes"]> {
    const [about] = await this.#db.query<{ version: string; total: number }>(
      "select current_setting('server_version') as version, pg_database_size(current_database())::int8 as total",
    );
    const rows = await this.#db.query<{ name: string; rows: number; data: number; indexes: number; total: number }>(
      `select c.relname as name, greatest(c.reltuples, 0)::int8 as rows, pg_relation_size(c.oid)::int8 as data,
         pg_indexes_size(c.oid)::int8 as indexes, pg_total_relation_size(c.oid)::int8 as total
       from pg_class c where c.relnamespace = (select relnamespace from pg_class where oid = 'glissade_migrations'::regclass)
         and c.relkind = 'r' order by total desc, name`,
    );
    const tables = rows.map(({ name, rows: count, data, indexes, total }): TableSize => ({
      name,
      rows: count,
      dataBytes: data,
      indexBytes: indexes,
      totalBytes: total,
    }));
    return { version: about?.version ?? "", totalBytes: about?.total ?? 0, tables };
  }

  async loadUser(userId: UserId): ReturnType<AdminStore["loadUser"]> {
    const user = keyText(userId);
    const [memberships, devices, connections] = await Promise.all([
      this.#db.query<{ membership: number; n: number }>(
        "select membership, count(*)::int4 as n from user_rooms where user_id = $1::text group by membership order by 1",
        [user],
      ),
      this.#db.query<DeviceRow>(DEVICES, [user]),
      this.#db.query<{ device_id: string; conn_id: string; last_used_ms: number }>(
        `select device_id, conn_id, last_used_ms from connections
         where user_id = $1::text order by last_used_ms desc limit ${SHOWN_CONNECTIONS}`,
        [user],
      ),
    ]);
    const connectionsOf = Map.groupBy(connections, (row) => row.device_id);
    return {
      rooms: Object.fromEntries(memberships.map(({ membership, n }) => [membershipOf(membership) ?? "other", n])),
      devices: devices.map((row) => deviceOf(row, connectionsOf.get(row.device_id) ?? [])),
    };
  }
}

const DEVICES = `
  select d.device_id, d.tokenless_ms, d.paused_ms, d.since is not null as has_synced,
    (select count(*)::int4 from tokens t where (t.user_id, t.device_id) = (d.user_id, d.device_id)) as tokens,
    (select max(last_seen_ms) from tokens t where (t.user_id, t.device_id) = (d.user_id, d.device_id)) as last_seen_ms,
    (select count(*)::int4 from (
      select from to_device m where (m.user_id, m.device_id) = (d.user_id, d.device_id) limit ${COUNTED}
    ) counted) as to_device,
    (select count(*)::int4 from (
      select from device_lists l where (l.user_id, l.device_id) = (d.user_id, d.device_id) limit ${COUNTED}
    ) counted) as device_lists,
    k.otk_counts, k.fallback_key_types
  from devices d left join device_keys k on (k.user_id, k.device_id) = (d.user_id, d.device_id)
  where d.user_id = $1::text order by last_seen_ms desc nulls last, d.device_id limit ${SHOWN_DEVICES}`;

const auditOf = ({ at_ms: atMs, target, result, ...row }: AuditRow): AuditEntry & { id: number } => ({
  ...row,
  atMs,
  target: originalText(target),
  result: originalText(result),
});

const repairOf = ({ asked_ms: askedMs, ended_ms: endedMs, target, ...row }: RepairRow): RepairEntry => ({
  ...row,
  askedMs,
  endedMs,
  target: originalText(target),
});

const deviceOf = (row: DeviceRow, connections: { conn_id: string; last_used_ms: number }[]): StoredDevice => ({
  deviceId: originalText(row.device_id) as DeviceId,
  tokens: row.tokens,
  lastSeenMs: row.last_seen_ms,
  tokenlessMs: row.tokenless_ms,
  pausedMs: row.paused_ms,
  hasSynced: row.has_synced,
  toDeviceMessages: row.to_device,
  deviceListChanges: row.device_lists,
  otkCounts: row.otk_counts,
  fallbackKeyTypes: row.fallback_key_types,
  connections: connections.map((connection) => ({
    connId: originalText(connection.conn_id) as ConnId,
    lastUsedMs: connection.last_used_ms,
  })),
});

/** Operators' view of a database. */
export const createAdminStore = (db: Database): AdminStore => new AdminRepository(db);
