import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { EventId, RoomId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { IngestStore, IngestTransaction, RoomReader } from "#src/ports/stores.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { connectDatabase, type Database } from "#db/connection.ts";
import { startEmbeddedDatabase } from "#db/embedded.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { createRoomReader } from "#db/room-repository.ts";
import { withPostgres } from "#test/support/database.ts";
import { roomMeta, stateRowOf } from "#test/support/stored-samples.ts";
import { emptyTransaction } from "#src/state/ingest-transaction.ts";

/** Storage alone, at the sizes of the workloads `login`, `scroll`, `live` and `churn`. */
const { values } = parseArgs({
  options: {
    /** `postgres`, `pglite`, or a connection string of an empty database. */
    database: { type: "string", default: "postgres" },
    rooms: { type: "string", default: "2000" },
    pieces: { type: "string", default: "30" },
  },
});
const ROOMS = Number(values.rooms);
const PIECES = Number(values.pieces);
const MEMBERS = 21;
const MESSAGES = 20;
const FEW_STATE = [
  "m.room.create",
  "m.room.power_levels",
  "m.room.join_rules",
  "m.room.history_visibility",
  "m.room.name",
];
const USER = "@user:bench.example.org" as UserId;

const quiet = { trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error, child: () => quiet };
const deps = { clock: systemClock, timers: systemTimers, logger: quiet };

interface Opened {
  db: Database;
  /** Bytes of everything on disk, or null where the server tells. */
  directoryBytes: (() => number) | null;
  close(): Promise<void>;
}

function bytesUnder(path: string): number {
  let total = 0;
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) total += statSync(join(entry.parentPath, entry.name)).size;
  }
  return total;
}

async function open(): Promise<Opened> {
  const pool = (connection: string): Database =>
    connectDatabase(
      { connection, maxConnections: 4, idleTimeoutMs: 0, deadlineMs: 60_000, prepare: true, applicationName: "bench" },
      deps,
    );
  if (values.database !== "pglite") {
    const connection = values.database === "postgres" ? await (await withPostgres()).createDatabase() : values.database;
    const db = pool(connection);
    return { db, directoryBytes: null, close: () => db.close(1000) };
  }
  const dataDir = mkdtempSync(join(tmpdir(), "glissade-bench-pglite-"));
  const startedMs = performance.now();
  const embedded = await startEmbeddedDatabase({ dataDir, ...deps });
  print("first start of the embedded database", `${(performance.now() - startedMs).toFixed(0)} ms`);
  const db = pool(embedded.connection);
  return {
    db,
    directoryBytes: () => bytesUnder(dataDir),
    close: async () => {
      await db.close(1000);
      await embedded.close();
      if (existsSync(dataDir)) rmSync(dataDir, { recursive: true });
    },
  };
}

const print = (what: string, value: string): void => console.log(`${what.padEnd(58)} ${value}`);
const newId = (): EventId =>
  `$${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url")}` as EventId;

let head = 0;
function makeEvent(
  nid: number,
  type: string,
  sender: string,
  stateKey: string | null,
  inTimeline: boolean,
): StoredEvent {
  const pos = ++head;
  const id = newId();
  const ts = 1_700_000_000_000 + pos * 977;
  const isMember = type === "m.room.member";
  const filler = Buffer.from(crypto.getRandomValues(new Uint8Array(45))).toString("base64");
  const content = isMember
    ? {
        membership: "join",
        displayname: `Member ${sender.slice(1, 8)}`,
        avatar_url: `mxc://bench.example.org/${filler.slice(0, 24)}`,
      }
    : { msgtype: "m.text", body: `words that people write to each other ${filler}` };
  const json = {
    content,
    origin_server_ts: ts,
    sender,
    ...(stateKey === null ? {} : { state_key: stateKey }),
    type,
    unsigned: { age: 1234 + pos },
    event_id: id,
  };
  return {
    id,
    type,
    stateKey,
    sender,
    ts,
    membership: isMember ? "join" : null,
    prevMembership: null,
    redacts: null,
    replacesState: null,
    txnId: null,
    json: new Uint8Array(Buffer.from(JSON.stringify(json))),
    nid: nid as RoomNid,
    pos,
    inTimeline,
    gapBefore: false,
    prevBatch: null,
  };
}

const memberOf = (nid: number, i: number): string =>
  i === 0 ? USER : `@member-${(nid * 7 + i) % 5000}:bench.example.org`;

function metaOf(nid: number, latest: StoredEvent): RoomMeta {
  return roomMeta(nid, {
    roomId: `!room-${nid}:bench.example.org` as RoomId,
    name: `Room ${nid}`,
    joinedCount: MEMBERS,
    heroes: Array.from({ length: 6 }, (_, i) => ({
      userId: memberOf(nid, i),
      displayName: `Member ${i}`,
      avatarUrl: null,
      membership: "join",
    })),
    latestPos: latest.pos,
    latestTs: latest.ts,
    latestByType: { "m.room.message": [latest.pos, latest.ts] },
  });
}

function addRoom(tx: IngestTransaction, nid: number): void {
  const state = [
    ...FEW_STATE.map((type) => makeEvent(nid, type, USER, "", false)),
    ...Array.from({ length: MEMBERS }, (_, i) => {
      const userId = memberOf(nid, i);
      return makeEvent(nid, "m.room.member", userId, userId, false);
    }),
  ];
  const timeline = Array.from({ length: MESSAGES }, (_, i) =>
    makeEvent(nid, "m.room.message", memberOf(nid, i % MEMBERS), null, true),
  );
  const [first] = timeline;
  if (first !== undefined) Object.assign(first, { gapBefore: true, prevBatch: `t${nid}-12345_67890_p` });
  const latest = timeline.at(-1) as StoredEvent;
  const standing: UserRoom = {
    userId: USER,
    nid: nid as RoomNid,
    membership: "join",
    memberPos: latest.pos,
    memberSender: USER,
    joinPos: 1,
    joinTs: latest.ts,
    leftPos: null,
    stripped: null,
    isDirect: false,
    notificationCount: 3,
    highlightCount: 0,
    pos: latest.pos,
  };
  tx.rooms.push({ meta: metaOf(nid, latest), isNew: true });
  tx.events.push(...state, ...timeline);
  tx.state.push(...state.map((event) => stateRowOf(event)));
  tx.userRooms.push(standing);
}

function median(samples: number[]): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)] ?? Number.NaN;
}

async function timed(count: number, work: (i: number) => Promise<unknown>): Promise<string> {
  const samples: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedMs = performance.now();
    await work(i);
    samples.push(performance.now() - startedMs);
  }
  const p99 = samples.toSorted((a, b) => a - b)[Math.floor(count * 0.99)] ?? Number.NaN;
  return `${median(samples).toFixed(2)} ms median, ${p99.toFixed(2)} ms p99`;
}

async function sizeOf({ db, directoryBytes }: Opened): Promise<string> {
  const [row] = await db.query<{ bytes: number }>("select pg_database_size(current_database()) as bytes");
  const onDisk = directoryBytes === null ? "" : `, directory ${(directoryBytes() / 1e6).toFixed(1)} MB`;
  return `${((row?.bytes ?? 0) / 1e6).toFixed(1)} MB${onDisk}`;
}

async function firstSync(ingest: IngestStore): Promise<void> {
  const pieces: IngestTransaction[] = [];
  for (let piece = 0, nid = 1; piece < PIECES; piece++) {
    const tx = emptyTransaction(head);
    for (const until = Math.floor((ROOMS * (piece + 1)) / PIECES); nid <= until; nid++) addRoom(tx, nid);
    tx.head = head;
    pieces.push(tx);
  }
  const eventCount = pieces.reduce((sum, { events }) => sum + events.length, 0);
  const cpuBefore = process.cpuUsage();
  const startedMs = performance.now();
  let knownMs = 0;
  for (const tx of pieces) {
    const askedMs = performance.now();
    await ingest.knownEvents(tx.events.map(({ id }) => id));
    knownMs += performance.now() - askedMs;
    await ingest.commit(tx);
  }
  const wallMs = performance.now() - startedMs;
  const cpu = process.cpuUsage(cpuBefore);
  print(
    `first sync: ${eventCount} events in ${PIECES} commits`,
    `${wallMs.toFixed(0)} ms (${knownMs.toFixed(0)} of it asking what is known), own CPU ${((cpu.user + cpu.system) / 1000).toFixed(0)} ms`,
  );
  const known = performance.now();
  for (const tx of pieces) await ingest.knownEvents(tx.events.map(({ id }) => id));
  print("asking for all of them again, all known", `${(performance.now() - known).toFixed(0)} ms`);
}

async function reads(rooms: RoomReader): Promise<void> {
  const hundred = (from: number, limit: number) =>
    Array.from({ length: 100 }, (_, i) => ({ nid: (1 + ((from + i) % ROOMS)) as RoomNid, upTo: head, limit }));
  print("timelines of 100 rooms x 20 events", await timed(40, (i) => rooms.loadTimelines(hundred(i * 100, 20))));
  print(
    "timelines of 20 rooms x 1 event",
    await timed(40, (i) => rooms.loadTimelines(hundred(i * 20, 1).slice(0, 20))),
  );
  print(
    "state of 100 rooms: 5 types, 10 members",
    await timed(40, (i) =>
      rooms.loadState(
        hundred(i * 100, 1).map(({ nid }) => ({
          nid,
          entries: [
            ...FEW_STATE.map((type) => [type, ""] as const),
            ...Array.from({ length: 10 }, (_, k) => ["m.room.member", memberOf(nid, k)] as const),
          ],
        })),
      ),
    ),
  );
  print(`user with ${ROOMS} rooms`, await timed(10, () => rooms.loadUser(USER, () => false)));
}

async function liveTraffic(ingest: IngestStore, rooms: RoomReader): Promise<void> {
  const commitOne = async (i: number): Promise<void> => {
    const nid = 1 + (i % 200);
    const event = makeEvent(nid, "m.room.message", USER, null, true);
    await ingest.commit({
      ...emptyTransaction(head),
      events: [event],
      rooms: [{ meta: metaOf(nid, event), isNew: false }],
      sinces: [{ userId: USER, deviceId: "DEVICE" as never, since: `s${i}`, pos: head }],
    });
  };
  print("commit of one event, its room and a since", await timed(2000, commitOne));
  print(
    "commit of a since alone",
    await timed(500, (i) =>
      ingest.commit({
        ...emptyTransaction(head),
        sinces: [{ userId: USER, deviceId: "DEVICE" as never, since: `t${i}`, pos: head }],
      }),
    ),
  );
  const queries = Array.from({ length: 100 }, (_, i) => ({ nid: (1 + i) as RoomNid, upTo: head, limit: 20 }));
  print("timelines of 100 rooms x 20 events, half of them live", await timed(40, () => rooms.loadTimelines(queries)));
}

async function joins(ingest: IngestStore): Promise<void> {
  const nid = ROOMS + 1;
  for (let done = 0; done < 5000; done += 500) {
    const events = Array.from({ length: 500 }, (_, i) =>
      makeEvent(nid, "m.room.member", `@big-${done + i}:x.org`, `@big-${done + i}:x.org`, false),
    );
    const latest = events.at(-1) as StoredEvent;
    await ingest.commit({
      ...emptyTransaction(head),
      rooms: [{ meta: metaOf(nid, latest), isNew: done === 0 }],
      events,
      state: events.map((event) => stateRowOf(event)),
    });
  }
  print(
    "10 joins into a room of 5,000 members, read and committed",
    await timed(40, async (burst) => {
      const events = Array.from({ length: 10 }, (_, i) => {
        const userId = `@new-${burst * 10 + i}:x.org`;
        return makeEvent(nid, "m.room.member", userId, userId, true);
      });
      await ingest.knownEvents(events.map(({ id }) => id));
      await Promise.all([
        ingest.loadState(
          events.map(({ stateKey }) => ({ nid: nid as RoomNid, type: "m.room.member", stateKey: stateKey ?? "" })),
        ),
        ingest.loadHeroEvents([nid as RoomNid], 6),
      ]);
      const latest = events.at(-1) as StoredEvent;
      await ingest.commit({
        ...emptyTransaction(head),
        rooms: [{ meta: metaOf(nid, latest), isNew: false }],
        events,
        state: events.map((event) => stateRowOf(event)),
      });
    }),
  );
}

const opened = await open();
const { db } = opened;
await migrateDatabase(db, quiet);
const ingest = createIngestStore(db, { makeWriterId: randomUUID });
const rooms = createRoomReader(db, { clock: systemClock });
await ingest.loadHead();
print("database, empty", await sizeOf(opened));
await firstSync(ingest);
print("database after it", await sizeOf(opened));
const tables = await db.query<{ name: string; bytes: number; heap: number }>(
  `select relname as name, pg_total_relation_size(oid) as bytes, pg_relation_size(oid) as heap
   from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 2 desc limit 4`,
);
for (const { name, bytes, heap } of tables) {
  print(`  ${name}`, `${(bytes / 1e6).toFixed(1)} MB, rows ${(heap / 1e6).toFixed(1)} MB`);
}
await reads(rooms);
await liveTraffic(ingest, rooms);
print("database after it", await sizeOf(opened));
await joins(ingest);
print("database after it", await sizeOf(opened));
print("resident memory of this process", `${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB`);
await opened.close();
process.exit(0);
