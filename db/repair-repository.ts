import { invariant } from "#src/errors.ts";
import type { DeviceId, RoomId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { RepairReader, RepairRequest, RepairStore, RepairTarget } from "#src/ports/repair.ts";
import type { Timers } from "#src/ports/basics.ts";
import type { Database } from "./connection.ts";
import { keyText, originalText, storableText } from "./text.ts";

/** Requests kept, so that whoever asked can still see how one ended. */
const KEPT_REQUESTS = 100;
/** Where it is said that somebody asked; empty but for the probe. */
const CHANNEL = "glissade_repairs";
const PROBE = "probe";
/** A notification that arrives at all arrives within this. */
const PROBE_MS = 5000;
/** Code of "join" in `user_rooms`. */
const JOINED = "u.membership = 1";

interface RepairStoreDeps {
  timers: Timers;
  /** There may be a connection more, to be notified over. */
  listens?: boolean;
}

interface ReaderRow {
  user_id: string;
  device_id: string;
}

interface RequestRow {
  id: number;
  kind: string;
  target: string;
  total: number;
  done: number;
  failed: number;
  cursor: number;
}

const readerOf = (row: ReaderRow): RepairReader => ({
  userId: originalText(row.user_id) as UserId,
  deviceId: originalText(row.device_id) as DeviceId,
});

/** What repairs read and write, over PostgreSQL or PGlite. */
class RepairRepository implements RepairStore {
  readonly #db: Database;
  readonly #timers: Timers;
  readonly #listens: boolean;

  constructor(db: Database, { timers, listens = false }: RepairStoreDeps) {
    this.#db = db;
    this.#timers = timers;
    this.#listens = listens;
  }

  async readersOf(roomId: RoomId, limit: number): Promise<RepairReader[]> {
    const rows = await this.#db.query<ReaderRow>(
      `select t.user_id, t.device_id from rooms r
       join user_rooms u on u.nid = r.nid and ${JOINED}
       join lateral (
         select t.user_id, t.device_id, t.last_seen_ms from tokens t
         where t.user_id = u.user_id order by t.last_seen_ms desc limit 1
       ) t on true
       where r.room_id = $1::text order by t.last_seen_ms desc limit $2::int8`,
      [keyText(roomId), limit],
    );
    return rows.map(readerOf);
  }

  async readerFor(userId: UserId): Promise<RepairReader | null> {
    const [row] = await this.#db.query<ReaderRow>(
      `select user_id, device_id from tokens where user_id = $1::text order by last_seen_ms desc limit 1`,
      [keyText(userId)],
    );
    return row === undefined ? null : readerOf(row);
  }

  async nextUser(userId: string, sinceMs: number): Promise<RepairReader | null> {
    const [row] = await this.#db.query<ReaderRow>(
      `select user_id, device_id from tokens where user_id > $1::text and last_seen_ms >= $2::int8
       order by user_id, last_seen_ms desc limit 1`,
      [keyText(userId), sinceMs],
    );
    return row === undefined ? null : readerOf(row);
  }

  async countUsers(sinceMs: number): Promise<number> {
    const [row] = await this.#db.query<{ n: number }>(
      "select count(distinct user_id)::int4 as n from tokens where last_seen_ms >= $1::int8",
      [sinceMs],
    );
    return row?.n ?? 0;
  }

  async joinedRooms(userId: UserId): Promise<RoomId[]> {
    const rows = await this.#db.query<{ room_id: string }>(
      `select r.room_id from user_rooms u join rooms r on r.nid = u.nid
       where u.user_id = $1::text and ${JOINED} order by r.nid`,
      [keyText(userId)],
    );
    return rows.map((row) => originalText(row.room_id) as RoomId);
  }

  async roomsAfter(after: number, limit: number): Promise<{ nid: RoomNid; roomId: RoomId }[]> {
    const rows = await this.#db.query<{ nid: number; room_id: string }>(
      `select r.nid, r.room_id from rooms r
       where r.nid > $1::int4 and exists (select from user_rooms u where u.nid = r.nid and ${JOINED})
       order by r.nid limit $2::int8`,
      [after, limit],
    );
    return rows.map((row) => ({ nid: row.nid as RoomNid, roomId: originalText(row.room_id) as RoomId }));
  }

  async countRooms(): Promise<number> {
    const [row] = await this.#db.query<{ n: number }>(
      `select count(distinct u.nid)::int4 as n from user_rooms u where ${JOINED} and u.nid > $1::int4`,
      [0],
    );
    return row?.n ?? 0;
  }

  async ask({ kind, target }: RepairTarget, nowMs: number): Promise<number> {
    const [row] = await this.#db.query<{ id: number }>(
      `with old as (
         delete from repairs where id <= coalesce(
           (select id from repairs where ended_ms is not null order by id desc offset $4::int8 limit 1), 0)
         and ended_ms is not null
       )
       , asked as (
         insert into repairs (asked_ms, kind, target, total, done, failed, cursor)
         values ($1::int8, $2::text, $3::text, 0, 0, 0, 0) returning id
       )
       select id, pg_notify($5::text, '') from asked`,
      [nowMs, kind, storableText(target), KEPT_REQUESTS, CHANNEL],
    );
    invariant(row !== undefined, "an insert returns its row");
    return row.id;
  }

  async progress(id: number): ReturnType<RepairStore["progress"]> {
    const [row] = await this.#db.query<RequestRow & { ended_ms: number | null }>(
      "select * from repairs where id = $1::int8",
      [id],
    );
    if (row === undefined) return null;
    return { total: row.total, done: row.done, failed: row.failed, isEnded: row.ended_ms !== null };
  }

  /** A notification of our own shows whether any arrive: some poolers swallow them. */
  async watch(onAsked: () => void): Promise<boolean> {
    if (!this.#listens) return false;
    const heard = Promise.withResolvers<boolean>();
    await this.#db.listen(CHANNEL, (payload) => {
      if (payload === PROBE) heard.resolve(true);
      else onAsked();
    });
    await this.#db.query("select pg_notify($1::text, $2::text)", [CHANNEL, PROBE]);
    const cancel = this.#timers.after(PROBE_MS, () => heard.resolve(false));
    const isHeard = await heard.promise;
    cancel();
    return isHeard;
  }

  async nextRequest(): Promise<RepairRequest | null> {
    const [row] = await this.#db.query<RequestRow>(
      `select id, kind, target, total, done, failed, cursor from repairs
       where ended_ms is null and id > $1::int8 order by id limit 1`,
      [0],
    );
    if (row === undefined) return null;
    const { id, total, done, failed, cursor } = row;
    const kind = row.kind === "room" || row.kind === "user" ? row.kind : "all";
    return { id, kind, target: originalText(row.target), total, done, failed, cursor };
  }

  async saveRequest(request: RepairRequest, endedMs: number | null): Promise<void> {
    const { id, total, done, failed, cursor } = request;
    await this.#db.query(
      `update repairs set total = $2::int4, done = $3::int4, failed = $4::int4, cursor = $5::int4,
         ended_ms = $6::int8 where id = $1::int8`,
      [id, total, done, failed, cursor, endedMs],
    );
  }
}

/** Repairs over a database. */
export function createRepairStore(db: Database, deps: RepairStoreDeps): RepairStore {
  return new RepairRepository(db, deps);
}
