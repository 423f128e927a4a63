import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Logger } from "#src/ports/basics.ts";
import type { DeviceRecord, DeviceStore } from "#src/ports/stores.ts";
import type { Database } from "./connection.ts";
import { openToken, sealToken } from "./secrets.ts";
import { keyText, originalText, storableText } from "./text.ts";

interface DeviceDeps {
  tokenKey: Uint8Array;
  logger: Logger;
}

/** So that no statement takes long; what is left over is for the next hour. */
const DEVICES_PER_SLICE = 50;
const SLICES_AT_ONCE = 100;

const HAS_TOKEN = `
  exists (select from tokens t where t.user_id = d.user_id and t.device_id = d.device_id)`;
const NOTE_TOKENLESS = `
  update devices d set tokenless_ms = case when tokenless_ms is null then $1::int8 end
  where (tokenless_ms is not null) = ${HAS_TOKEN}`;
/** A device that gets a token meanwhile waits for this, or is left alone. */
const DELETE_TOKENLESS = `
  with due as materialized (
    select user_id, device_id from devices d
    where tokenless_ms > 0 and tokenless_ms < $1::int8 and not ${HAS_TOKEN}
    order by tokenless_ms limit ${DEVICES_PER_SLICE} for update skip locked
  ), messages as (
    delete from to_device m using due where (m.user_id, m.device_id) = (due.user_id, due.device_id)
  ), lists as (
    delete from device_lists l using due where (l.user_id, l.device_id) = (due.user_id, due.device_id)
  ), keys as (
    delete from device_keys k using due where (k.user_id, k.device_id) = (due.user_id, due.device_id)
  ), marked as (
    update devices d set tokenless_ms = 0 from due
    where (d.user_id, d.device_id) = (due.user_id, due.device_id) returning 1
  )
  select count(*)::int4 as n from marked`;

/** Devices, tokens and filters over PostgreSQL or PGlite. */
class DeviceRepository implements DeviceStore {
  readonly #db: Database;
  readonly #deps: DeviceDeps;

  constructor(db: Database, deps: DeviceDeps) {
    this.#db = db;
    this.#deps = deps;
  }

  async findToken(tokenHash: string): ReturnType<DeviceStore["findToken"]> {
    const [row] = await this.#db.query<{
      user_id: string;
      device_id: string;
      last_seen_ms: number;
      is_newest: boolean;
    }>(
      `select user_id, device_id, last_seen_ms, not exists (
         select 1 from tokens n
         where n.user_id = t.user_id and n.device_id = t.device_id and n.serial > t.serial
       ) as is_newest
       from tokens t where hash = $1::text`,
      [keyText(tokenHash)],
    );
    return row === undefined ? null : { ...ownerOf(row), isNewest: row.is_newest };
  }

  async saveToken(token: Parameters<DeviceStore["saveToken"]>[0]): Promise<void> {
    const { hash, accessToken, userId, deviceId, nowMs } = token;
    // A token proven again is the newest of its device again: hence the new serial number.
    await this.#db.query(
      `with device as (
         insert into devices as d (user_id, device_id) values ($1::text, $2::text)
         on conflict (user_id, device_id) do update set tokenless_ms = null where d.tokenless_ms is not null
       )
       insert into tokens as t (hash, user_id, device_id, sealed, last_seen_ms)
       values ($3::text, $1::text, $2::text, $4::bytea, $5::int8)
       on conflict (hash) do update set
         serial = default, user_id = excluded.user_id, device_id = excluded.device_id, sealed = excluded.sealed,
         last_seen_ms = greatest(t.last_seen_ms, excluded.last_seen_ms)`,
      [keyText(userId), keyText(deviceId), keyText(hash), sealToken(this.#deps.tokenKey, accessToken, hash), nowMs],
    );
  }

  async touchToken(tokenHash: string, nowMs: number): Promise<void> {
    await this.#db.query(
      "update tokens set last_seen_ms = $2::int8 where hash = $1::text and last_seen_ms < $2::int8",
      [keyText(tokenHash), nowMs],
    );
  }

  async removeToken(tokenHash: string): Promise<void> {
    await this.#db.query("delete from tokens where hash = $1::text", [keyText(tokenHash)]);
  }

  async loadDevice(userId: UserId, deviceId: DeviceId): Promise<DeviceRecord | null> {
    const [row] = await this.#db.query<{
      since: string | null;
      rooms_due: number;
      hash: string | null;
      sealed: Uint8Array | null;
      last_seen_ms: number | null;
      paused_ms: number | null;
    }>(
      `select d.since, d.rooms_due, d.paused_ms, t.hash, t.sealed, t.last_seen_ms
       from devices d left join lateral (
         select hash, sealed, last_seen_ms from tokens t
         where t.user_id = d.user_id and t.device_id = d.device_id order by t.serial desc limit 1
       ) t on true
       where d.user_id = $1::text and d.device_id = $2::text`,
      [keyText(userId), keyText(deviceId)],
    );
    if (row === undefined) return null;
    const { since, rooms_due: roomsDue, paused_ms: pausedMs, hash, sealed, last_seen_ms: lastSeenMs } = row;
    const accessToken = hash === null || sealed === null ? null : openToken(this.#deps.tokenKey, sealed, hash);
    if (hash !== null && accessToken === null) {
      this.#deps.logger.warn({ user_id: userId, device_id: deviceId, token_hash: hash }, "stored token is damaged");
    }
    return {
      userId,
      deviceId,
      since: since === null ? null : originalText(since),
      roomsAreDue: since !== null && roomsDue !== 0,
      accessToken,
      tokenHash: accessToken === null ? null : hash,
      lastSeenMs: lastSeenMs ?? 0,
      pausedMs,
    };
  }

  async setPaused(userId: UserId, deviceId: DeviceId, pausedMs: number | null): Promise<boolean> {
    const rows = await this.#db.query<{ found: number }>(
      `update devices set paused_ms = $3::int8 where user_id = $1::text and device_id = $2::text returning 1 as found`,
      [keyText(userId), keyText(deviceId), pausedMs],
    );
    return rows.length > 0;
  }

  async listDevices(sinceMs: number): ReturnType<DeviceStore["listDevices"]> {
    const rows = await this.#db.query<{ user_id: string; device_id: string; last_seen_ms: number }>(
      `select user_id, device_id, max(last_seen_ms) as last_seen_ms from tokens
       where last_seen_ms >= $1::int8 group by user_id, device_id order by max(last_seen_ms) desc`,
      [sinceMs],
    );
    return rows.map(ownerOf);
  }

  async findFilter(userId: UserId, filterHash: string): Promise<string | null> {
    const [row] = await this.#db.query<{ filter_id: string }>(
      "select filter_id from filters where user_id = $1::text and filter_hash = $2::text",
      [keyText(userId), keyText(filterHash)],
    );
    return row === undefined ? null : originalText(row.filter_id);
  }

  async saveFilter(userId: UserId, filterHash: string, filterId: string): Promise<void> {
    await this.#db.query(
      `insert into filters (user_id, filter_hash, filter_id) values ($1::text, $2::text, $3::text)
       on conflict (user_id, filter_hash) do update set filter_id = excluded.filter_id`,
      [keyText(userId), keyText(filterHash), storableText(filterId)],
    );
  }

  async expireTokens(beforeMs: number): ReturnType<DeviceStore["expireTokens"]> {
    const rows = await this.#db.query<{ hash: string; user_id: string; device_id: string; last_seen_ms: number }>(
      `delete from tokens where last_seen_ms < $1::int8 returning hash, user_id, device_id, last_seen_ms`,
      [beforeMs],
    );
    return rows.map((row) => {
      const { userId, deviceId } = ownerOf(row);
      return { tokenHash: row.hash, userId, deviceId };
    });
  }

  async expireDevices(beforeMs: number, nowMs: number): Promise<number> {
    await this.#db.query(NOTE_TOKENLESS, [nowMs]);
    let gone = 0;
    for (let slice = 0; slice < SLICES_AT_ONCE; slice++) {
      const [row] = await this.#db.query<{ n: number }>(DELETE_TOKENLESS, [beforeMs]);
      gone += row?.n ?? 0;
      if (row === undefined || row.n < DEVICES_PER_SLICE) break;
    }
    return gone;
  }

  async expireTxns(beforeMs: number): Promise<number> {
    const rows = await this.#db.query<{ n: number }>(
      `with gone as (delete from txns where seen_ms < $1::int8 returning 1)
       select count(*)::int4 as n from gone`,
      [beforeMs],
    );
    return rows[0]?.n ?? 0;
  }
}

const ownerOf = (row: {
  user_id: string;
  device_id: string;
  last_seen_ms: number;
}): { userId: UserId; deviceId: DeviceId; lastSeenMs: number } => ({
  userId: originalText(row.user_id) as UserId,
  deviceId: originalText(row.device_id) as DeviceId,
  lastSeenMs: row.last_seen_ms,
});

/** `tokenKey` is that of `deriveKeys`, for this database. */
export function createDeviceStore(db: Database, deps: DeviceDeps): DeviceStore {
  return new DeviceRepository(db, deps);
}
