import type { RoomNid, StreamPos } from "#src/protocol/ids.ts";
import type { RetentionPlace, RetentionStore, Trimmed } from "#src/ports/stores.ts";
import type { Database } from "./connection.ts";
import { CHUNK_LIMIT_EVENTS } from "./event-chunk.ts";
import { type ChunkRow, eventsOf } from "./row-reading.ts";
import { intArray, keyArray } from "./text.ts";
import { TABLES } from "./tools/tables.ts";

/** Rooms that one step looks at, and rows of events. */
const ROOMS_AT_ONCE = 200;
const ROWS_AT_ONCE = 500;
const ROW_BUDGET = 2000;
/** So much more than is kept has to be there before anything goes: a busy room is not cut anew for every few events. */
const SLACK = 1.1;
/** Rows in which a beginning is looked for that a client can page back from. */
const BEGINNINGS = 20;

const SELECT_ROOMS = `
  select r.nid, (
      select count(*) from (select from events e where e.nid = r.nid and e.in_timeline limit $2::int8) c
    ) as chunks,
    exists (select from user_rooms u where u.nid = r.nid and u.membership in (1, 2)) as is_ours
  from rooms r where r.nid > $1::int4 order by r.nid limit ${ROOMS_AT_ONCE}`;

/** Of rooms that nobody of ours is in, and of strangers who are in the room no more. */
const IS_DEAD = `(
  not exists (select from user_rooms u where u.nid = r.nid and u.membership = 1)
  or not exists (
    select from room_state s where s.nid = r.nid and s.type = 'm.room.member' and s.state_key = r.user_id
      and s.membership = 1
  ) and not exists (select from devices d where d.user_id = r.user_id)
)`;
const SELECT_DEAD_RECEIPTS = `
  select r.nid, r.user_id, r.thread_id, r.is_private from receipts r
  where r.nid = any($1::int4[]) and ${IS_DEAD} limit ${ROWS_AT_ONCE}`;
/** Commits change this row first: between it and its unlocking nobody joins. */
const LOCK_COMMITS = "select from meta for update";
const DELETE_RECEIPTS = `
  with gone as (
    delete from receipts r
    using json_to_recordset($1::text::json) n (nid int4, user_id text, thread_id text, is_private bool)
    where r.nid = n.nid and r.user_id = n.user_id and r.thread_id = n.thread_id and r.is_private = n.is_private
      and ${IS_DEAD} returning 1
  )
  select count(*) as n from gone`;

/** Of one hour; what is left over is for the next. */
const STICKY_SLICES = 200;
const DELETE_STICKY = `
  with due as materialized (
    select nid, event_id from sticky_events where expires_ms < $1::int8 order by expires_ms limit ${ROWS_AT_ONCE}
  ), gone as (
    delete from sticky_events s using due where s.nid = due.nid and s.event_id = due.event_id
      and s.expires_ms < $1::int8 returning 1
  )
  select count(*)::int4 as n from gone`;

/** Where the newest so many events begin, if there are clearly more. */
const SELECT_BOUNDARY = `
  select max(first_pos) filter (where total >= $2::int8) as pos, coalesce(max(total), 0)::int8 as total from (
    select first_pos, sum(event_count) over (order by first_pos desc)::int8 as total from (
      select first_pos, event_count from events where nid = $1::int4 and in_timeline
      order by first_pos desc limit $3::int8
    ) e
  ) e`;

const SELECT_BEGINNINGS = `
  select nid, in_timeline, first_pos, records, has_gap from events
  where nid = $1::int4 and in_timeline and first_pos <= $2::int8 order by first_pos desc limit ${BEGINNINGS}`;

const SELECT_OLD = `
  select nid, in_timeline, first_pos, records, has_gap from events
  where nid = $1::int4 and in_timeline and first_pos > $2::int8 and first_pos < $3::int8
  order by first_pos limit ${ROWS_AT_ONCE}`;

/** Everybody waits for the embedded database's one session meanwhile: larger tables are left to the operator. */
const CLEARED_UP_TO_BYTES = 256 * 1024 * 1024;
/** As PostgreSQL decides it by itself. */
const SELECT_LITTERED = `
  select relname as table from pg_stat_user_tables
  where relid = any(array(select to_regclass(name)::oid from unnest($1::text[]) n (name)))
    and n_dead_tup > 1000 + n_live_tup / 5 and pg_total_relation_size(relid) < ${CLEARED_UP_TO_BYTES}
  order by n_dead_tup desc limit 1`;

interface RoomRow {
  nid: number;
  chunks: number;
  is_ours: boolean;
}

interface ReceiptKey {
  nid: number;
  user_id: string;
  thread_id: string;
  is_private: boolean;
}

type OldRow = ChunkRow & { has_gap: boolean };

/** Takes away what nobody is shown any more, some at a time, over PostgreSQL or PGlite. */
class RetentionRepository implements RetentionStore {
  readonly #db: Database;
  readonly #isEmbedded: boolean;

  constructor(db: Database, isEmbedded: boolean) {
    this.#db = db;
    this.#isEmbedded = isEmbedded;
  }

  async clearUp(): Promise<{ table: string } | null> {
    if (!this.#isEmbedded) return null;
    const [littered] = await this.#db.query<{ table: string }>(SELECT_LITTERED, [keyArray(TABLES)]);
    if (littered === undefined) return null;
    await this.#db.query(`vacuum ${littered.table}`);
    return littered;
  }

  async expireSticky(beforeMs: number): Promise<number> {
    let gone = 0;
    for (let slice = 0; slice < STICKY_SLICES; slice += 1) {
      const [row] = await this.#db.query<{ n: number }>(DELETE_STICKY, [beforeMs]);
      gone += row?.n ?? 0;
      if (row === undefined || row.n < ROWS_AT_ONCE) break;
    }
    return gone;
  }

  async trim(from: RetentionPlace | null, keep: { ours: number; others: number } | null): Promise<Trimmed> {
    const trimmed: Trimmed = { events: 0, receipts: 0, next: null };
    const rooms = await this.#db.query<RoomRow>(SELECT_ROOMS, [
      from === null ? 0 : from.nid - (from.pos > 0 ? 1 : 0),
      // Whether there may be more than is kept is all that counts.
      keep === null ? 0 : Math.floor(Math.max(keep.ours, keep.others) / CHUNK_LIMIT_EVENTS) + 1,
    ]);
    if (from === null || from.pos === 0) trimmed.receipts = await this.#trimReceipts(rooms);
    let budget = ROW_BUDGET;
    for (const { nid, chunks, is_ours: isOurs } of rooms) {
      const kept = isOurs ? keep?.ours : keep?.others;
      if (kept === undefined || chunks * CHUNK_LIMIT_EVENTS <= kept) continue;
      const after = from !== null && from.nid === nid ? from.pos : 0;
      const room = await this.#trimRoom(nid as RoomNid, kept, after, budget);
      trimmed.events += room.events;
      budget -= room.rows;
      if (room.next === null && budget > 0) continue;
      trimmed.next = room.next === null ? { nid, pos: 0 } : { nid, pos: room.next };
      return trimmed;
    }
    const last = rooms.at(-1);
    if (last !== undefined && rooms.length === ROOMS_AT_ONCE) trimmed.next = { nid: last.nid, pos: 0 };
    return trimmed;
  }

  /** Found first, and removed while nothing is committed; what is left over is for the next hour. */
  async #trimReceipts(rooms: readonly RoomRow[]): Promise<number> {
    const nids = intArray(rooms.map(({ nid }) => nid));
    let removed = 0;
    for (let rows = 0; rows < ROW_BUDGET; rows += ROWS_AT_ONCE) {
      const dead = await this.#db.query<ReceiptKey>(SELECT_DEAD_RECEIPTS, [nids]);
      if (dead.length === 0) break;
      removed += await this.#db.transaction(async (query) => {
        await query(LOCK_COMMITS);
        const [row] = await query<{ n: number }>(DELETE_RECEIPTS, [JSON.stringify(dead)]);
        return row?.n ?? 0;
      });
      if (dead.length < ROWS_AT_ONCE) break;
    }
    return removed;
  }

  /** Removes rows of a room before the newest `kept` events; `next` is where to go on when the budget is used up. */
  async #trimRoom(
    nid: RoomNid,
    kept: number,
    from: StreamPos,
    budget: number,
  ): Promise<{ events: number; rows: number; next: StreamPos | null }> {
    const boundary = await this.#boundaryOf(nid, kept);
    const done = { events: 0, rows: BEGINNINGS, next: null };
    if (boundary === null) return done;
    // First: whoever reads meanwhile is told of the gap, though nothing is missing yet.
    await this.#markGaps(nid, [boundary]);
    let [events, rows, after] = [0, BEGINNINGS, from];
    for (;;) {
      const page = await this.#db.query<OldRow>(SELECT_OLD, [nid, after, boundary]);
      events += await this.#trimRows(nid, page);
      rows += page.length;
      after = page.at(-1)?.first_pos ?? after;
      if (page.length < ROWS_AT_ONCE) return { events, rows, next: null };
      if (rows >= budget) return { events, rows, next: after };
    }
  }

  /** The first row that stays: one with a token that leads to what was before it. Null when there is nothing to remove. */
  async #boundaryOf(nid: RoomNid, kept: number): Promise<StreamPos | null> {
    const most = Math.ceil(kept * SLACK);
    const [found] = await this.#db.query<{ pos: StreamPos | null; total: number }>(SELECT_BOUNDARY, [
      nid,
      kept,
      most + 1,
    ]);
    if (found === undefined || found.pos === null || found.total <= most) return null;
    const rows = await this.#db.query<OldRow>(SELECT_BEGINNINGS, [nid, found.pos]);
    return rows.find((row) => isBeginning(row))?.first_pos ?? null;
  }

  /** State stays, current or not: it may become current again, and tells an old event from a new one. */
  async #trimRows(nid: RoomNid, page: readonly OldRow[]): Promise<number> {
    const gone: StreamPos[] = [];
    const unmarked: StreamPos[] = [];
    let count = 0;
    for (const row of page) {
      const events = eventsOf(row);
      if (events.some(({ stateKey }) => stateKey !== null)) {
        if (!row.has_gap) unmarked.push(row.first_pos);
        continue;
      }
      gone.push(row.first_pos);
      count += events.length;
    }
    if (unmarked.length > 0) await this.#markGaps(nid, unmarked);
    if (gone.length > 0) {
      await this.#db.query("delete from events where nid = $1::int4 and in_timeline and first_pos = any($2::int8[])", [
        nid,
        intArray(gone),
      ]);
    }
    return count;
  }

  async #markGaps(nid: RoomNid, positions: readonly StreamPos[]): Promise<void> {
    await this.#db.query(
      `update events set has_gap = true
       where nid = $1::int4 and in_timeline and first_pos = any($2::int8[]) and not has_gap`,
      [nid, intArray(positions)],
    );
  }
}

function isBeginning(row: OldRow): boolean {
  const [first] = eventsOf(row);
  return first !== undefined && (first.prevBatch !== null || first.gapBefore);
}

/** Retention over a database. `isEmbedded`: one that does not vacuum by itself. */
export function createRetentionStore(db: Database, isEmbedded = false): RetentionStore {
  return new RetentionRepository(db, isEmbedded);
}
