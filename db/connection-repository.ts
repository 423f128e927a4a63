import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { ConnectionStore, StoredConnection } from "#src/ports/stores.ts";
import type { Database, Param } from "./connection.ts";
import { intArray, keyArray, keyText, originalText, storableInt, textArray } from "./text.ts";

interface ConnectionRow {
  incarnation: string;
  params: string;
  cursors: string;
  to_device_pos: number | null;
  device_lists_pos: number | null;
  last_used_ms: number;
}

/** Bounds one statement; what waits beyond it is next. */
const MAX_GROUP = 500;

const SELECT = `
  select incarnation, params, cursors, to_device_pos, device_lists_pos, last_used_ms from connections
  where user_id = $1::text and device_id = $2::text and conn_id = $3::text`;

/**
 * Not waiting for the disk is enough where the database is a process of its own: what our own crash leaves behind is
 * complete, and after a crash of the machine a client that is unknown starts over. An embedded database dies with us, and
 * what it had not written dies with it. The setting ends with the statement.
 */
const upsert = (synchronousCommit: "on" | "off"): string => `
  insert into connections as c
    (user_id, device_id, conn_id, incarnation, params, cursors, to_device_pos, device_lists_pos, last_used_ms)
  select n.* from (select set_config('synchronous_commit', '${synchronousCommit}', true)) setting (value),
    unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::int8[], $9::int8[]) n
  where setting.value = '${synchronousCommit}'
  on conflict (user_id, device_id, conn_id) do update set
    incarnation = excluded.incarnation, params = excluded.params,
    cursors = case when excluded.cursors = '' and c.incarnation = excluded.incarnation then c.cursors
      else excluded.cursors end,
    to_device_pos = excluded.to_device_pos, device_lists_pos = excluded.device_lists_pos,
    last_used_ms = excluded.last_used_ms`;

interface Waiting {
  connection: StoredConnection;
  settle: PromiseWithResolvers<void>[];
}

/** Sliding sync connections over PostgreSQL or PGlite. */
class ConnectionRepository implements ConnectionStore {
  readonly #db: Database;
  readonly #upsert: string;
  /** By key: a later save of a connection replaces one that still waits. */
  #waiting = new Map<string, Waiting>();
  #isSaving = false;

  constructor(db: Database, isEmbedded: boolean) {
    this.#db = db;
    this.#upsert = upsert(isEmbedded ? "on" : "off");
  }

  async load(userId: UserId, deviceId: DeviceId, connId: ConnId): Promise<StoredConnection | null> {
    const [row] = await this.#db.query<ConnectionRow>(SELECT, [keyText(userId), keyText(deviceId), keyText(connId)]);
    if (row === undefined) return null;
    return {
      userId,
      deviceId,
      connId,
      incarnation: originalText(row.incarnation),
      params: originalText(row.params),
      cursors: row.cursors === "" ? null : originalText(row.cursors),
      toDevicePos: row.to_device_pos,
      deviceListsPos: row.device_lists_pos,
      lastUsedMs: row.last_used_ms,
    };
  }

  save(connection: StoredConnection): Promise<void> {
    const key = JSON.stringify([connection.userId, connection.deviceId, connection.connId]);
    const settle = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) this.#waiting.set(key, { connection: { ...connection }, settle: [settle] });
    else {
      waiting.connection = { ...connection, cursors: cursorsOf(connection, waiting.connection) };
      waiting.settle.push(settle);
    }
    if (!this.#isSaving) {
      this.#isSaving = true;
      // Whoever calls in the same turn of the event loop goes along.
      queueMicrotask(() => void this.#saveAll());
    }
    return settle.promise;
  }

  async delete(userId: UserId, deviceId: DeviceId, connId: ConnId): Promise<void> {
    await this.#db.query(
      "delete from connections where user_id = $1::text and device_id = $2::text and conn_id = $3::text",
      [keyText(userId), keyText(deviceId), keyText(connId)],
    );
  }

  async expire(beforeMs: number, perDevice: number): Promise<number> {
    const rows = await this.#db.query<{ n: number }>(
      `with ranked as (
         select user_id, device_id, conn_id,
           row_number() over (partition by user_id, device_id order by last_used_ms desc, conn_id) as place
         from connections
       ), gone as (
         delete from connections c using ranked r
         where (c.user_id, c.device_id, c.conn_id) = (r.user_id, r.device_id, r.conn_id)
           and (c.last_used_ms < $1::int8 or r.place > $2::int4)
         returning 1
       )
       select count(*)::int4 as n from gone`,
      [beforeMs, perDevice],
    );
    return rows[0]?.n ?? 0;
  }

  async #saveAll(): Promise<void> {
    while (this.#waiting.size > 0) {
      const group: Waiting[] = [];
      for (const [key, waiting] of this.#waiting) {
        if (group.length >= MAX_GROUP) break;
        group.push(waiting);
        this.#waiting.delete(key);
      }
      const all = group.flatMap(({ settle }) => settle);
      try {
        await this.#db.query(this.#upsert, upsertParams(group.map(({ connection }) => connection)));
        for (const { resolve } of all) resolve();
      } catch (error) {
        for (const { reject } of all) reject(error);
      }
    }
    this.#isSaving = false;
  }
}

/** Those of the connection, or else those that wait to be written for it. */
const cursorsOf = ({ cursors, incarnation }: StoredConnection, before: StoredConnection): string | null =>
  cursors === null && before.incarnation === incarnation ? before.cursors : cursors;

function upsertParams(connections: readonly StoredConnection[]): Param[] {
  return [
    keyArray(connections.map(({ userId }) => userId)),
    keyArray(connections.map(({ deviceId }) => deviceId)),
    keyArray(connections.map(({ connId }) => connId)),
    textArray(connections.map(({ incarnation }) => incarnation)),
    textArray(connections.map(({ params }) => params)),
    textArray(connections.map(({ cursors }) => cursors ?? "")),
    intArray(connections.map(({ toDevicePos }) => toDevicePos)),
    intArray(connections.map(({ deviceListsPos }) => deviceListsPos)),
    intArray(connections.map(({ lastUsedMs }) => storableInt(lastUsedMs))),
  ];
}

/** Saves are grouped: one store for a host, not one for each caller. */
export function createConnectionStore(db: Database, isEmbedded = false): ConnectionStore {
  return new ConnectionRepository(db, isEmbedded);
}
