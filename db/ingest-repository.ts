import { SyncError, invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { IngestStore, IngestTransaction, StateRow } from "#src/ports/stores.ts";
import type { Database } from "./connection.ts";
import { type EventChunk, encodeChunks, encodeWhole } from "./event-chunk.ts";
import { CommitStatements } from "./commit/commit-statements.ts";
import type { EventPlace, RewrittenChunk } from "./commit/room-parts.ts";
import {
  type ChunkRow,
  STATE_COLUMNS,
  type StateChunkRow,
  type StateEvent,
  USER_ROOM_COLUMNS,
  type UserRoomRow,
  eventsOf,
  loadRoomMetas,
  stateEventsOf,
  userRoomOf,
  withChunks,
} from "./row-reading.ts";
import { boolArray, intArray, keyArray, originalText } from "./text.ts";
import { loadTimelines } from "./timeline-reading.ts";

/** A name for this writer; no other writer may have had it. */
type MakeWriterId = () => string;

interface Writer {
  id: string;
  head: StreamPos;
  commitSeq: number;
}

interface MetaRow {
  writer: string;
  commit_seq: number;
  head: number;
}

// Side by side with a limit: however many keys there are, and whatever is known of the table, they are looked up one by one.
const SELECT_STATE = `
  select ${STATE_COLUMNS} from unnest($1::int4[], $2::text[], $3::text[]) q (nid, type, state_key)
  cross join lateral (
    select * from room_state s
    where s.nid = q.nid and s.type = q.type and s.state_key = q.state_key limit 1
  ) s`;

const SELECT_ROOM_STATE = `
  select ${STATE_COLUMNS} from unnest($1::int4[]) q (nid)
  cross join lateral (select * from room_state s where s.nid = q.nid offset 0) s`;

const SELECT_HEROES = `
  select ${STATE_COLUMNS} from unnest($1::int4[]) q (nid)
  cross join lateral (
    select * from room_state s
    where s.nid = q.nid and s.membership in (1, 2) order by s.pos limit $2::int8
  ) s`;

const SELECT_USER_ROOMS = `
  select ${USER_ROOM_COLUMNS} from unnest($1::text[], $2::int4[]) q (user_id, nid)
  cross join lateral (
    select * from user_rooms u where u.user_id = q.user_id and u.nid = q.nid limit 1
  ) u`;

/** The index is slow at looking for thousands of alternatives at once: one look-up for each hash. */
const SELECT_BY_ID_HASH = `
  with place as materialized (
    select distinct e.nid, e.in_timeline, e.first_pos from unnest($1::int4[]) q (hash)
    cross join lateral (
      select e.nid, e.in_timeline, e.first_pos from events e where e.id_hashes @> array[q.hash] offset 0
    ) e
  )
  select p.*, e.records from place p
  cross join lateral (
    select e.records from events e
    where e.nid = p.nid and e.in_timeline = p.in_timeline and e.first_pos = p.first_pos limit 1
  ) e`;

const SELECT_CHUNKS_AT = `
  select distinct on (e.nid, e.in_timeline, e.first_pos) e.nid, e.in_timeline, e.first_pos, e.records
  from unnest($1::int4[], $2::bool[], $3::int8[]) q (nid, in_timeline, pos)
  cross join lateral (
    select * from events e
    where e.nid = q.nid and e.in_timeline = q.in_timeline and e.first_pos <= q.pos
    order by e.first_pos desc limit 1
  ) e`;

const stateRowOf = ({ pos, membership, event }: StateEvent): StateRow => ({
  nid: event.nid,
  type: event.type,
  stateKey: event.stateKey ?? "",
  pos,
  membership,
  ts: event.ts,
  eventId: event.id,
});

/** The hash that finds events by id. Seeded, so that nobody outside can choose ids that meet. Stored: never change it. */
function idHasher(epoch: string): (id: string) => number {
  const seed = Number.parseInt(epoch.slice(0, 8), 16) >>> 0;
  return (id) => Bun.hash.xxHash32(id, seed) | 0;
}

/** The single writer over PostgreSQL or PGlite. */
class IngestRepository implements IngestStore {
  readonly #db: Database;
  readonly #makeWriterId: MakeWriterId;
  #hashId: ((id: string) => number) | null = null;
  #statements: CommitStatements | null = null;
  #writer: Writer | null = null;
  /** The newest transaction that is known to be stored. */
  #committed: IngestTransaction | null = null;
  /** A transaction of which the connection did not tell whether it was stored. */
  #uncertain: IngestTransaction | null = null;

  constructor(db: Database, makeWriterId: MakeWriterId) {
    this.#db = db;
    this.#makeWriterId = makeWriterId;
  }

  async loadHead(): ReturnType<IngestStore["loadHead"]> {
    const id = this.#makeWriterId();
    const [row] = await this.#db.query<MetaRow & { epoch: string; max_nid: number }>(
      `update meta set writer = $1::text where moved_to is null
       returning writer, commit_seq, head, epoch,
         (select coalesce(max(nid), 0)::int4 from rooms) as max_nid`,
      [id],
    );
    invariant(row !== undefined, "the database has its one row of metadata, and nothing was moved away");
    this.#hashId = idHasher(row.epoch);
    this.#statements = new CommitStatements(this.#hashId);
    this.#writer = { id, head: row.head, commitSeq: row.commit_seq };
    this.#committed = null;
    this.#uncertain = null;
    return { head: row.head, maxRoomNid: row.max_nid, epoch: row.epoch };
  }

  loadRooms(roomIds: readonly RoomId[]): Promise<RoomMeta[]> {
    return loadRoomMetas(this.#db, roomIds);
  }

  async knownEvents(eventIds: readonly EventId[]): Promise<Set<EventId>> {
    const wanted = new Set(eventIds);
    const chunks = await this.#findChunks(wanted);
    return new Set(chunks.flatMap(({ events }) => events.map(({ id }) => id).filter((id) => wanted.has(id))));
  }

  async loadEvents(eventIds: readonly EventId[]): Promise<StoredEvent[]> {
    const wanted = new Set(eventIds);
    const chunks = await this.#findChunks(wanted);
    return chunks.flatMap(({ events }) => events.filter(({ id }) => wanted.has(id)));
  }

  async loadState(keys: Parameters<IngestStore["loadState"]>[0]): Promise<StateRow[]> {
    if (keys.length === 0) return [];
    const rows = await this.#db.query<StateChunkRow>(withChunks(SELECT_STATE), [
      intArray(keys.map(({ nid }) => nid)),
      keyArray(keys.map(({ type }) => type)),
      keyArray(keys.map(({ stateKey }) => stateKey)),
    ]);
    return stateEventsOf(rows).map(stateRowOf);
  }

  async loadRoomState(nid: RoomNid): Promise<StateRow[]> {
    const rows = await this.#db.query<StateChunkRow>(withChunks(SELECT_ROOM_STATE), [intArray([nid])]);
    return stateEventsOf(rows).map(stateRowOf);
  }

  async loadHeroEvents(nids: readonly RoomNid[], limit: number): Promise<StoredEvent[]> {
    if (nids.length === 0) return [];
    const rows = await this.#db.query<StateChunkRow>(withChunks(SELECT_HEROES), [intArray([...new Set(nids)]), limit]);
    return stateEventsOf(rows).map(({ event }) => event);
  }

  async loadUserRooms(keys: Parameters<IngestStore["loadUserRooms"]>[0]): Promise<UserRoom[]> {
    if (keys.length === 0) return [];
    const rows = await this.#db.query<UserRoomRow>(SELECT_USER_ROOMS, [
      keyArray(keys.map(({ userId }) => userId)),
      intArray(keys.map(({ nid }) => nid)),
    ]);
    return rows.map(userRoomOf);
  }

  async knownUsers(userIds: readonly string[]): Promise<Set<UserId>> {
    if (userIds.length === 0) return new Set();
    const rows = await this.#db.query<{ user_id: string }>(
      `select q.user_id from unnest($1::text[]) q (user_id)
       where exists (select from devices d where d.user_id = q.user_id)`,
      [keyArray([...new Set(userIds)])],
    );
    return new Set(rows.map((row) => originalText(row.user_id) as UserId));
  }

  loadTimelines(queries: Parameters<IngestStore["loadTimelines"]>[0]): ReturnType<IngestStore["loadTimelines"]> {
    return loadTimelines(this.#db, queries);
  }

  async loadStays(queries: Parameters<IngestStore["loadStays"]>[0]): Promise<UserRoom[]> {
    if (queries.length === 0) return [];
    const rows = await this.#db.query<UserRoomRow>(
      `select ${USER_ROOM_COLUMNS} from unnest($1::int4[], $2::int8[]) q (nid, since)
       join user_rooms u on u.nid = q.nid and u.membership = 1 and u.join_pos >= q.since`,
      [intArray(queries.map(({ nid }) => nid)), intArray(queries.map(({ from }) => from))],
    );
    return rows.map(userRoomOf);
  }

  async loadStickyIds(nids: readonly RoomNid[], afterMs: number): ReturnType<IngestStore["loadStickyIds"]> {
    if (nids.length === 0) return [];
    const rows = await this.#db.query<{
      nid: number;
      event_id: string;
      sender: string;
      expires_ms: number;
      size: number;
    }>(
      `select nid, event_id, sender, expires_ms, length(json) as size from sticky_events
       where nid = any($1::int4[]) and expires_ms > $2::int8`,
      [intArray(nids), afterMs],
    );
    return rows.map((row) => ({
      nid: row.nid as RoomNid,
      id: originalText(row.event_id) as EventId,
      sender: originalText(row.sender),
      expiresMs: row.expires_ms,
      sizeBytes: row.size,
    }));
  }

  async loadSinces(devices: Parameters<IngestStore["loadSinces"]>[0]): ReturnType<IngestStore["loadSinces"]> {
    if (devices.length === 0) return [];
    const rows = await this.#db.query<{ user_id: string; device_id: string; since: string; pos: number }>(
      `select d.user_id, d.device_id, d.since, coalesce(d.since_pos, -1) as pos from unnest($1::text[], $2::text[]) q (user_id, device_id)
       join devices d on d.user_id = q.user_id and d.device_id = q.device_id
       where d.since is not null`,
      [keyArray(devices.map(({ userId }) => userId)), keyArray(devices.map(({ deviceId }) => deviceId))],
    );
    return rows.map((row) => ({
      userId: originalText(row.user_id) as UserId,
      deviceId: originalText(row.device_id) as DeviceId,
      since: originalText(row.since),
      pos: row.pos,
    }));
  }

  async commit(tx: IngestTransaction): Promise<void> {
    if (this.#writer === null || this.#statements === null) await this.loadHead();
    const writer = this.#writer;
    const statements = this.#statements;
    invariant(writer !== null && statements !== null, "the head is loaded");
    if (this.#uncertain !== null && (await this.#resolveUncertain(writer, tx))) return;
    if (this.#committed === tx) return;
    invariant(tx.head >= writer.head, `the stream head moves forward only (${writer.head} to ${tx.head})`);

    const chunks = encodeChunks(tx.events);
    const places = await this.#placesOf(tx, chunks);
    const rewritten = await this.#rewrite(tx);
    const { text, params } = statements.build(tx, chunks, places, rewritten, {
      writer: writer.id,
      commitSeq: writer.commitSeq,
    });
    this.#uncertain = tx;
    let committed = 0;
    try {
      const [row] = await this.#db.query<{ committed: number }>(text, params);
      committed = row?.committed ?? 0;
    } catch (error) {
      if (error instanceof SyncError && error.code !== "storage_unavailable") {
        this.#uncertain = null;
        throw error;
      }
      // It may have been stored all the same. When the database answers again, that is known at once.
      const isStored = await this.#resolveUncertain(writer, tx).catch(() => false);
      if (isStored) return;
      throw error;
    }
    if (committed === 1) {
      this.#advance(writer, tx);
      return;
    }
    // The guard did not hold: an earlier attempt of ours went through after all, or another writer has taken over.
    if (await this.#resolveUncertain(writer, tx)) return;
    throw new SyncError("internal", "the stream head in the database is not where this writer left it");
  }

  #advance(writer: Writer, tx: IngestTransaction): void {
    writer.head = tx.head;
    writer.commitSeq++;
    this.#committed = tx;
    this.#uncertain = null;
  }

  /** Asks the database what became of the uncertain transaction. True when it was stored and `tx` is that one. */
  async #resolveUncertain(writer: Writer, tx: IngestTransaction): Promise<boolean> {
    const uncertain = this.#uncertain;
    if (uncertain === null) return this.#committed === tx;
    const [row] = await this.#db.query<MetaRow>("select writer, commit_seq, head from meta");
    invariant(row !== undefined, "the database has its one row of metadata");
    if (row.writer !== writer.id) {
      throw new SyncError("internal", "another process has taken over writing to this database: stop one of the two");
    }
    if (row.commit_seq === writer.commitSeq) {
      this.#uncertain = null;
      return false;
    }
    invariant(row.commit_seq === writer.commitSeq + 1 && row.head === uncertain.head, "the commit was ours");
    const isFirstMove = uncertain.head > writer.head;
    this.#advance(writer, uncertain);
    // A repeat may be a copy of the same transaction: positions are given out once, so the head tells.
    return uncertain === tx || (isFirstMove && tx.head === uncertain.head);
  }

  /** Finds the events that state rows stand for: mostly among the new ones. */
  async #placesOf(tx: IngestTransaction, chunks: readonly EventChunk[]): Promise<EventPlace[]> {
    const byId = new Map<string, EventPlace>();
    const note = ({ inTimeline, firstPos: chunkPos, events }: Omit<EventChunk, "records">): void => {
      for (const { id, nid, pos, stateKey } of events) {
        if (stateKey !== null) byId.set(`${nid} ${id}`, { pos, inTimeline, chunkPos });
      }
    };
    for (const chunk of chunks) note(chunk);
    const missing = tx.state.filter((row) => !byId.has(`${row.nid} ${row.eventId}`));
    if (missing.length > 0) {
      for (const chunk of await this.#findChunks(new Set(missing.map((row) => row.eventId)))) note(chunk);
    }
    return tx.state.map((row) => {
      const place = byId.get(`${row.nid} ${row.eventId}`);
      invariant(place !== undefined, "the event of a state row is stored or part of its transaction");
      return place;
    });
  }

  /** The rows of events that are redacted, or have another place now, as they will be. */
  async #rewrite({ redacted, moved }: IngestTransaction): Promise<RewrittenChunk[]> {
    const changed = [...redacted, ...moved];
    if (changed.length === 0) return [];
    const rows = await this.#db.query<ChunkRow>(SELECT_CHUNKS_AT, [
      intArray(changed.map(({ nid }) => nid)),
      boolArray(changed.map(({ inTimeline }) => inTimeline)),
      intArray(changed.map(({ pos }) => pos)),
    ]);
    const placeOf = ({ nid, pos }: StoredEvent): string => `${nid} ${pos}`;
    const byPlace = new Map(redacted.map((event) => [placeOf(event), event]));
    const left = new Set(moved.map(placeOf));
    return rows.map((row) => {
      const events = eventsOf(row)
        .filter((event) => !left.has(placeOf(event)))
        .map((event) => {
          const after = byPlace.get(placeOf(event));
          return after?.id === event.id ? after : event;
        });
      return {
        nid: row.nid,
        inTimeline: row.in_timeline,
        firstPos: row.first_pos,
        eventCount: events.length,
        hasGap: events.some(({ gapBefore }) => gapBefore),
        records: encodeWhole(events, row.first_pos),
      };
    });
  }

  /** Chunks that may hold these events: hashes can meet, so the ids decide. */
  async #findChunks(ids: ReadonlySet<string>): Promise<Omit<EventChunk, "records">[]> {
    if (ids.size === 0) return [];
    if (this.#hashId === null) await this.loadHead();
    const hashId = this.#hashId;
    invariant(hashId !== null, "the head is loaded");
    const rows = await this.#db.query<ChunkRow>(SELECT_BY_ID_HASH, [intArray([...ids].map(hashId))]);
    return rows.map((row) => {
      const events = eventsOf(row);
      return {
        nid: row.nid as RoomNid,
        inTimeline: row.in_timeline,
        firstPos: row.first_pos,
        lastPos: events.at(-1)?.pos ?? row.first_pos,
        hasGap: events.some(({ gapBefore }) => gapBefore),
        events,
      };
    });
  }
}

/** `makeWriterId` gives every writer a name of its own, so that two can never write to one stream. */
export function createIngestStore(db: Database, deps: { makeWriterId: MakeWriterId }): IngestStore {
  return new IngestRepository(db, deps.makeWriterId);
}
