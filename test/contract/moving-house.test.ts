import { afterAll, describe, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Database } from "#db/connection.ts";
import { createConnectionStore } from "#db/connection-repository.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { MIGRATIONS, migrateDatabase, requireSchema } from "#db/migrate.ts";
import { createRoomReader } from "#db/room-repository.ts";
import { loadOrigin } from "#db/secrets.ts";
import { raiseHead } from "#db/stream-start.ts";
import { type Backup, checkBackup, restoreBackup, writeBackup } from "#db/tools/backup.ts";
import { WriterPlace } from "#db/tools/exclusive.ts";
import { type PortOptions, portDatabase } from "#db/tools/port.ts";
import { checksumOf } from "#db/tools/rows.ts";
import { readStats } from "#db/tools/stats.ts";
import { TABLES } from "#db/tools/tables.ts";
import {
  connectTestDatabase,
  databaseDeps,
  temporaryDirectory,
  withPglite,
  withPostgres,
} from "#test/support/database.ts";
import { roomMeta, stateRowOf, storedEvent, transaction } from "#test/support/stored-samples.ts";
import { LIMIT_MS, failureOf } from "./storage-rig.ts";

const ALICE = "@ali\u001ace\u0000\ud800'\":x" as UserId;
const PHONE = "PHONE\\ü" as DeviceId;
const KEY = new Uint8Array(32).fill(3);
const DEVICE = { userId: ALICE, deviceId: PHONE };
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

interface BackupHeader {
  columns: Record<string, string[]>;
  meta: Record<string, unknown>;
}
interface BackupEnd {
  rows: Record<string, number>;
  sha256: string;
}

const opened: Database[] = [];
afterAll(async () => {
  await Promise.all(opened.map((db) => db.close(1000)));
}, LIMIT_MS);

async function fresh(server: typeof withPostgres): Promise<Database> {
  const db = connectTestDatabase(await (await server()).createDatabase(), { prepare: false });
  opened.push(db);
  await migrateDatabase(db, databaseDeps.logger);
  return db;
}

/** Something of everything, with whatever text and bytes there can be. */
async function filled(db: Database): Promise<Database> {
  const ingest = createIngestStore(db, { makeWriterId: () => "tests" });
  await ingest.loadHead();
  const named = storedEvent(1, 1500, { type: "m.room.name", stateKey: "", id: '$na"me\\' as never });
  await ingest.commit(
    transaction(2000, {
      rooms: [1, 2].map((nid) => ({ meta: roomMeta(nid), isNew: true })),
      events: [...Array.from({ length: 1200 }, (_, i) => storedEvent((i % 2) + 1, i + 1)), named],
      state: [stateRowOf(named)],
      toDevice: [1, 2, 3].map((n) => ({
        userId: ALICE,
        deviceId: PHONE,
        type: "m",
        sender: "@b:x",
        json: bytes(`{"n":${n},"b":"\u0001é"}`),
        pos: 1600 + n,
      })),
      deviceLists: [{ ...DEVICE, target: "@b:x", change: "left", pos: 1700 }],
      deviceKeys: [{ ...DEVICE, otkCounts: '{"a":1}', fallbackKeyTypes: "[]", pos: 1701 }],
      sinces: [{ ...DEVICE, since: "s\u001a1", pos: 1703 }],
      receipts: [
        { nid: 1 as never, userId: ALICE, eventId: "$e", threadId: "", isPrivate: false, ts: 2 ** 52, pos: 1702 },
      ],
    }),
  );
  const devices = createDeviceStore(db, { tokenKey: KEY, logger: databaseDeps.logger });
  await devices.saveToken({ hash: "h1", accessToken: "token 1", ...DEVICE, nowMs: 5 });
  await devices.saveToken({ hash: "h2", accessToken: "token 2", ...DEVICE, nowMs: 6 });
  await createConnectionStore(db).save({
    ...DEVICE,
    connId: "room-list" as ConnId,
    incarnation: "abc",
    params: '{"x":"\u0007"}',
    cursors: "[1,2]",
    toDevicePos: 1601,
    deviceListsPos: null,
    lastUsedMs: 7,
  });
  await db.query("update meta set secret_check = 'check'");
  return db;
}

async function linesOf(path: string): Promise<string[]> {
  const plain = new Blob([await readFile(path)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(plain).text()).trimEnd().split("\n");
}

async function sums(db: Database): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const table of TABLES) found[table] = await checksumOf((...args) => db.query(...args), table);
  return found;
}

const move = (
  source: Database,
  target: Database,
  onProgress: PortOptions["onProgress"] = () => undefined,
): ReturnType<typeof portDatabase> => portDatabase({ ...MOVE, source, target, onProgress });

/** A few rows at a time. */
const MOVE = { to: "there", nowMs: 5, onVerify: () => undefined, page: { rows: 4, bytes: 1024 * 1024 } };

/** What glissade db reopen does. */
const REOPEN = "update meta set moved_to = null, moved_ms = null";

const WAYS = [
  ["from PGlite to PostgreSQL", withPglite, withPostgres],
  ["from PostgreSQL to PGlite", withPostgres, withPglite],
] as const;

for (const [way, from, to] of WAYS) {
  describe(`db port ${way}`, () => {
    test(
      "[OPR-20] every row arrives as it is, and numbers are given out behind those that are there",
      async () => {
        const source = await filled(await fresh(from));
        const target = await fresh(to);
        const origin = await sums(source);
        const ported = await move(source, target);
        expect(ported.find(({ table }) => table === "to_device")?.rows).toBe(3);
        expect(await sums(target)).toEqual(origin);
        const devices = createDeviceStore(target, { tokenKey: KEY, logger: databaseDeps.logger });
        await devices.saveToken({ hash: "h3", accessToken: "token 3", ...DEVICE, nowMs: 8 });
        expect((await devices.loadDevice(ALICE, PHONE))?.accessToken).toBe("token 3");
        const head = await createIngestStore(target, { makeWriterId: () => "next" }).loadHead();
        expect(head).toMatchObject({ head: 2000, maxRoomNid: 2 });
        expect(await target.query("select to_regclass('glissade_port') as gone")).toEqual([{ gone: null }]);
      },
      LIMIT_MS,
    );

    test(
      "[OPR-21] interrupted anywhere it goes on where it was; a server refuses the target until then",
      async () => {
        const source = await filled(await fresh(from));
        const target = await fresh(to);
        const origin = await sums(source);
        let pages = 0;
        for (let attempt = 1; ; attempt += 1) {
          let own = 0;
          const ended = await failureOf(
            move(source, target, () => {
              pages += 1;
              own += 1;
              if (own === 3) throw new Error("killed");
            }),
          );
          if (ended instanceof Error) {
            expect(await target.query("select from meta")).toEqual([]);
            continue;
          }
          expect(attempt).toBeGreaterThan(3);
          break;
        }
        expect(await sums(target)).toEqual(origin);
        // No page was copied twice.
        let whole = 0;
        await source.query(REOPEN);
        await move(source, await fresh(to), () => void (whole += 1));
        expect(pages).toBe(whole);
      },
      LIMIT_MS,
    );

    test(
      "[OPR-22] a target with data of its own, or of another move, is refused and left alone; a source that was used since is copied anew",
      async () => {
        const source = await filled(await fresh(from));
        const target = await fresh(to);
        await target.query("insert into rooms (nid, room_id, meta) values (9, '!own:x', '{}')");
        expect(await failureOf(move(source, target))).toMatchObject({ message: expect.stringContaining("(rooms)") });
        expect(await target.query("select nid from rooms")).toEqual([{ nid: 9 }]);
        await target.query("delete from rooms");
        const stop = (): never => {
          throw new Error("killed");
        };
        await failureOf(move(source, target, stop));
        await target.query("update glissade_port set state = '[\"another\"]' where name = ''");
        expect(await failureOf(move(source, target))).toMatchObject({
          message: expect.stringContaining("another database"),
        });
        const [origin] = await source.query<{ epoch: string }>("select epoch from meta");
        await target.query(`update glissade_port set state = '["${origin?.epoch}", "earlier"]' where name = ''`);
        await source.query("update devices set since = 'moved'");
        await move(source, target);
        expect(await target.query("select since from devices")).toEqual([{ since: "moved" }]);
      },
      LIMIT_MS,
    );

    test(
      "[OPR-24] a row that is changed, lost or added on the way is found, again each time, and servers go on refusing the target",
      async () => {
        const source = await filled(await fresh(from));
        const damages = [
          ["to_device", "update to_device set json = json || '\\x20'::bytea where pos = 1602"],
          ["events", "delete from events where ctid = (select max(ctid) from events)"],
          ["tokens", "update tokens set serial = default where hash = 'h2'"],
          ["receipts", "insert into receipts values (1, 1, 1, false, '@planted:x', '', '$e')"],
        ] as const;
        const target = await fresh(to);
        for (const [table, damage] of damages) {
          await target.query("drop table if exists glissade_port");
          await target.query(`truncate ${TABLES.join(", ")}`);
          const plant: PortOptions["onProgress"] = async ({ table: at }) => {
            if (at === "audit") await target.query(damage);
          };
          for (const onProgress of [plant, undefined]) {
            expect(await failureOf(move(source, target, onProgress))).toMatchObject({
              message: expect.stringContaining(`${table} did not arrive as it was`),
            });
            expect(await target.query("select from meta")).toEqual([]);
          }
        }
      },
      LIMIT_MS,
    );

    test(
      "[OPR-25] a target that is the source, or to which everything was moved before, is told as such and left as it is",
      async () => {
        const source = await fresh(from);
        const before = await sums(source);
        const same = { message: expect.stringContaining("moved there before: use another one, which is empty") };
        expect(await failureOf(move(source, source))).toMatchObject(same);
        expect(await sums(source)).toEqual(before);
        const target = await fresh(to);
        await filled(source);
        const origin = await sums(source);
        await move(source, target);
        await source.query(REOPEN);
        expect(await failureOf(move(source, target))).toMatchObject(same);
        expect(await sums(target)).toEqual(origin);
      },
      LIMIT_MS,
    );

    test(
      "[OPR-27] servers refuse a database from which everything was moved, and are told where it is; it comes back by moving it back, as it is then",
      async () => {
        const source = await filled(await fresh(from));
        const target = await fresh(to);
        await move(source, target);
        const refused = {
          code: "unusable_setup",
          message: expect.stringMatching(/moved to there on 1970-.* db reopen/),
        };
        expect(await failureOf(loadOrigin(source))).toMatchObject(refused);
        expect(await failureOf(raiseHead(source, Date.now()))).toMatchObject(refused);
        expect(await failureOf(createIngestStore(source, { makeWriterId: () => "x" }).loadHead())).toBeInstanceOf(
          Error,
        );
        expect(await failureOf(move(source, await fresh(withPostgres)))).toMatchObject(refused);
        expect(await failureOf(move(source, target))).toMatchObject(refused);
        await using directory = await temporaryDirectory();
        expect(await failureOf(writeBackup(source, join(directory.path, "backup"), "now"))).toMatchObject(refused);
        expect((await readStats(source)).moved).toEqual({ to: "there", atMs: 5 });
        expect((await readStats(target)).moved).toBeNull();

        await loadOrigin(target);
        await target.query("update devices set since = 'after the move'");
        const later = await sums(target);
        await move(target, source);
        expect(await sums(source)).toEqual(later);
        await loadOrigin(source);
        expect(await failureOf(loadOrigin(target))).toMatchObject(refused);
      },
      LIMIT_MS,
    );

    test(
      "[OPR-28] killed between the last two steps of a move no server starts on either database, and the same move ends it",
      async () => {
        const source = await filled(await fresh(from));
        const target = await fresh(to);
        const origin = await sums(source);
        // The last one cannot be done.
        await target.query(
          "create function never() returns trigger language plpgsql as $$ begin raise 'killed'; end $$",
        );
        await target.query("create trigger never before insert on meta execute function never()");
        await failureOf(move(source, target));
        await target.query("drop trigger never on meta; drop function never()");
        expect(await failureOf(loadOrigin(source))).toMatchObject({ code: "unusable_setup" });
        expect(await failureOf(loadOrigin(target))).toMatchObject({
          message: expect.stringContaining("is being moved"),
        });
        expect(await failureOf(move(source, await fresh(withPostgres)))).toMatchObject({ code: "unusable_setup" });
        await move(source, target);
        expect(await sums(target)).toEqual(origin);
      },
      LIMIT_MS,
    );

    test(
      "[OPR-63] of two moves of a database, begun one after the other or at once, one comes to its end, and the other is told of it",
      async () => {
        const source = await filled(await fresh(from));
        const [given, taken] = [await fresh(to), await fresh(withPostgres)];
        const [early, late] = [
          { ...MOVE, source, target: given, to: "early", nowMs: 4 },
          { ...MOVE, source, target: taken, to: "late", nowMs: 6 },
        ];
        const second = async (): Promise<void> => void (await portDatabase({ ...late, onProgress: () => undefined }));
        const atItsEnd: PortOptions["onProgress"] = ({ table }) => (table === "audit" ? second() : undefined);
        expect(await failureOf(portDatabase({ ...early, onProgress: atItsEnd }))).toMatchObject({
          code: "invalid_param",
          message: expect.stringContaining("meanwhile"),
        });
        await loadOrigin(taken);
        // All rows of the first are there, and the source is as it was when they were read.
        expect(await failureOf(portDatabase({ ...early, onProgress: () => undefined }))).toMatchObject({
          message: expect.stringContaining("moved to late on 1970-"),
        });
        expect(await failureOf(loadOrigin(given))).toMatchObject({
          message: expect.stringContaining("is being moved"),
        });
        expect((await readStats(source)).moved).toEqual({ to: "late", atMs: 6 });
      },
      LIMIT_MS,
    );

    test(
      "[OPR-64] whoever began to write just before everything was moved writes nothing more: it would be lost",
      async () => {
        const source = await filled(await fresh(from));
        const server = createIngestStore(source, { makeWriterId: () => "late" });
        await server.loadHead();
        await move(source, await fresh(to));
        const more = transaction(2001, { sinces: [{ ...DEVICE, since: "s2", pos: 2001 }] });
        expect(await failureOf(server.commit(more))).toMatchObject({ code: "internal" });
        expect(await source.query("select head from meta")).toEqual([{ head: 2000 }]);
        const devices = createDeviceStore(source, { tokenKey: KEY, logger: databaseDeps.logger });
        expect(await devices.loadDevice(ALICE, PHONE)).toMatchObject({ since: "s\u001a1" });
        expect(await failureOf(WriterPlace.take(source, "import"))).toMatchObject({
          message: expect.stringContaining("moved to there"),
        });
        await source.query(REOPEN);
        const place = await WriterPlace.take(source, "import");
        await move(source, await fresh(withPostgres));
        expect(await failureOf(source.transaction((query) => place.advance(query, 1)))).toMatchObject({
          message: expect.stringContaining("meanwhile"),
        });
      },
      LIMIT_MS,
    );

    test(
      "[OPR-29] pages are bounded by bytes as well as by rows: large rows come alone",
      async () => {
        const source = await filled(await fresh(from));
        const large = ["x".repeat(70_000), "y".repeat(3000), "z".repeat(3000), "u".repeat(3000)];
        for (const [index, params] of large.entries())
          await createConnectionStore(source).save({
            ...DEVICE,
            connId: `large ${index}` as ConnId,
            incarnation: "abc",
            params,
            cursors: null,
            toDevicePos: null,
            deviceListsPos: null,
            lastUsedMs: 7,
          });
        await source.query(
          "insert into quarantine (seen_ms, user_id, device_id, section, reason, sample) select 1, '@a:x', 'D', 's', 'r', repeat('0', 4100) from generate_series(1, 3)",
        );
        const origin = await sums(source);
        const target = await fresh(to);
        const pages: Record<string, number[]> = {};
        await portDatabase({
          ...MOVE,
          source,
          target,
          page: { rows: 100, bytes: 8000 },
          onProgress: ({ table, rows }) => void (pages[table] ??= []).push(rows),
        });
        expect(pages["quarantine"]).toEqual([1, 2, 3]);
        expect(pages["connections"]).toEqual([1, 3, 5]);
        expect(pages["tokens"]).toEqual([2]);
        expect(await sums(target)).toEqual(origin);
      },
      LIMIT_MS,
    );
  });
}

/** A database as an executable before that migration left it, with what it could know. */
const OLDER = `
  alter table devices drop column rooms_due, drop column imported_pos, drop column imported_since,
    drop column paused_ms, drop column since_pos;
  alter table meta drop column imported_pos, drop column secret_rotated_ms, drop column moved_to, drop column moved_ms;
  drop table audit, sticky_events;
  delete from glissade_migrations where id > 4`;

for (const server of [withPostgres, withPglite]) {
  describe(`an older schema with data on ${server === withPostgres ? "PostgreSQL" : "PGlite"}`, () => {
    test(
      "[MIG-7] is brought to this one whatever interrupts it, and everything in it goes on",
      async () => {
        const db = await filled(await fresh(server));
        await db.query("update devices set since_pos = null");
        const before = await sums(db);
        await db.query(OLDER);
        await db.query("create view audit as select 1");
        expect(await failureOf(migrateDatabase(db, databaseDeps.logger))).toMatchObject({ code: "internal" });
        expect(await db.query("select max(id) as id from glissade_migrations")).toEqual([{ id: 5 }]);
        expect(await failureOf(requireSchema(db))).toMatchObject({ message: expect.stringContaining("older schema") });
        await db.query("drop view audit");
        expect(await migrateDatabase(db, databaseDeps.logger)).toBe(MIGRATIONS.length - 6);
        expect(await sums(db)).toEqual(before);
        const devices = createDeviceStore(db, { tokenKey: KEY, logger: databaseDeps.logger });
        expect(await devices.loadDevice(ALICE, PHONE)).toMatchObject({
          since: "s\u001a1",
          roomsAreDue: false,
          pausedMs: null,
          accessToken: "token 2",
        });
        const ingest = createIngestStore(db, { makeWriterId: () => "upgraded" });
        expect((await ingest.loadHead()).head).toBe(2000);
        await ingest.commit(transaction(2001, { sinces: [{ ...DEVICE, since: "s2", pos: 2001 }] }));
        expect((await devices.loadDevice(ALICE, PHONE))?.since).toBe("s2");
      },
      LIMIT_MS,
    );
  });

  describe(`backup and restore on ${server === withPostgres ? "PostgreSQL" : "PGlite"}`, () => {
    test(
      "[OPR-30] tokens, since, messages and lists come back as they were, rooms are due, positions go on",
      async () => {
        await using directory = await temporaryDirectory();
        const path = join(directory.path, "backup");
        const source = await filled(await fresh(server));
        expect(await writeBackup(source, path, "now")).toMatchObject({
          devices: 1,
          tokens: 2,
          to_device: 3,
          device_lists: 1,
        });
        const [meta] = await source.query<{ epoch: string }>("select epoch from meta");
        const target = await fresh(server);
        // Empty, whatever became of it before.
        await target.query("update meta set moved_to = 'elsewhere', moved_ms = 1");
        const checked = await checkBackup(path);
        expect(checked).toMatchObject({ epoch: meta?.epoch, secretCheck: "check", madeAt: "now" });
        await restoreBackup(target, checked);
        expect(await loadOrigin(target)).toMatchObject({ epoch: checked.epoch });
        const device = await createDeviceStore(target, { tokenKey: KEY, logger: databaseDeps.logger }).loadDevice(
          ALICE,
          PHONE,
        );
        expect(device).toMatchObject({ since: "s\u001a1", roomsAreDue: true, accessToken: "token 2" });
        const reader = createRoomReader(target, databaseDeps);
        expect(await reader.loadToDevice(ALICE, PHONE, 1601, 10)).toHaveLength(2);
        expect((await reader.loadDevice(ALICE, PHONE)).deviceLists).toEqual([
          { target: "@b:x", change: "left", pos: 1700 },
        ]);
        expect(await target.query("select epoch, head, secret_check from meta")).toEqual([
          { epoch: meta?.epoch ?? "", head: 2000, secret_check: "check" },
        ]);
        expect(await failureOf(restoreBackup(target, checked))).toMatchObject({
          message: expect.stringContaining("has data"),
        });
      },
      LIMIT_MS,
    );

    test(
      "[OPR-33] ids may hold what else ends a line; what was imported and not polled stays so, all other positions are ours",
      async () => {
        await using directory = await temporaryDirectory();
        const path = join(directory.path, "backup");
        const source = await filled(await fresh(server));
        const odd = "D\u2028\u2029\u0085\r\n\u000b\u000c\ufeff\u{1f600}".repeat(20) as DeviceId;
        const devices = createDeviceStore(source, { tokenKey: KEY, logger: databaseDeps.logger });
        await devices.saveToken({ hash: "odd", accessToken: "odd token", userId: ALICE, deviceId: odd, nowMs: 7 });
        await source.query("insert into devices (user_id, device_id, since, rooms_due) values ('@i:x', 'I', 's', 1)");
        await writeBackup(source, path, "now");
        const target = await fresh(server);
        await restoreBackup(target, await checkBackup(path));
        const restored = createDeviceStore(target, { tokenKey: KEY, logger: databaseDeps.logger });
        expect((await restored.loadDevice(ALICE, odd))?.accessToken).toBe("odd token");
        expect(await target.query("select since, rooms_due from devices order by device_id = 'I', since")).toEqual([
          { since: "s\u001a11", rooms_due: 2 },
          { since: null, rooms_due: 0 },
          { since: "s", rooms_due: 1 },
        ]);
      },
      LIMIT_MS,
    );

    test(
      "[OPR-34] what a file says becomes no statement, an older one may lack a table, and a database that is being moved to is refused",
      async () => {
        await using directory = await temporaryDirectory();
        const path = join(directory.path, "backup");
        await writeBackup(await filled(await fresh(server)), path, "now");
        const lines = await linesOf(path);
        const variant = async (change: (header: BackupHeader, end: BackupEnd) => void): Promise<Backup> => {
          const header = JSON.parse(lines[0] ?? "") as BackupHeader;
          const { end } = JSON.parse(lines.at(-1) ?? "") as { end: BackupEnd };
          change(header, end);
          const body = [JSON.stringify(header), ...lines.slice(1, -1)].map((line) => `${line}\n`).join("");
          end.sha256 = new Bun.CryptoHasher("sha256").update(body).digest("hex");
          await writeFile(path, Bun.gzipSync(Buffer.from(`${body}${JSON.stringify({ end })}\n`)));
          return checkBackup(path);
        };
        const target = await fresh(server);
        const injected = await variant(({ columns }) => void (columns["tokens"] = ["hash) select pg_sleep(9) --"]));
        expect(await failureOf(restoreBackup(target, injected))).toMatchObject({
          message: expect.stringContaining("tokens has other columns"),
        });
        expect(await target.query("select from devices")).toEqual([]);
        const older = await variant(({ columns, meta }, { rows }) => {
          delete columns["audit"];
          delete rows["audit"];
          delete meta["secret_rotated_ms"];
        });
        await target.query("create table kept as table meta; delete from meta");
        expect(await failureOf(restoreBackup(target, older))).toMatchObject({
          message: expect.stringContaining("being moved to"),
        });
        expect(await target.query("select from devices")).toEqual([]);
        await target.query("insert into meta table kept");
        await restoreBackup(target, older);
        expect(await target.query("select hash from tokens order by hash")).toEqual([{ hash: "h1" }, { hash: "h2" }]);
        for (const text of ["null\n", `${lines[0]}\n{"end":null}\n`]) {
          await writeFile(path, Bun.gzipSync(Buffer.from(text)));
          expect(await failureOf(checkBackup(path))).toMatchObject({ code: "invalid_param" });
        }
      },
      LIMIT_MS,
    );

    test(
      "[OPR-31] a file that is cut, changed or none of ours is refused before anything is written",
      async () => {
        await using directory = await temporaryDirectory();
        const path = join(directory.path, "backup");
        await writeBackup(await filled(await fresh(server)), path, "now");
        const whole = await readFile(path);
        const lines = [...(await linesOf(path)), ""];
        const variants = [
          whole.subarray(0, whole.length - 40),
          Bun.gzipSync(Buffer.from(lines.slice(0, -2).join("\n"))),
          Bun.gzipSync(Buffer.from(lines.join("\n").replace("s\\u001a", "s\\u001b"))),
          Bun.gzipSync(Buffer.from("{}\n")),
          Buffer.from("no backup"),
        ];
        for (const variant of variants) {
          await writeFile(path, variant);
          expect(await failureOf(checkBackup(path))).toMatchObject({
            message: expect.stringContaining("cannot be used"),
          });
        }
        expect(await failureOf(checkBackup(join(directory.path, "none")))).toMatchObject({ code: "invalid_param" });
      },
      LIMIT_MS,
    );
  });
}
