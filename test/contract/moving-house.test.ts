import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { ConnId } from "#src/protocol/ids.ts";
import type { Database } from "#db/connection.ts";
import { createConnectionStore } from "#db/connection-repository.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { loadOrigin } from "#db/secrets.ts";
import { raiseHead } from "#db/stream-start.ts";
import { writeBackup } from "#db/tools/backup.ts";
import { WriterPlace } from "#db/tools/exclusive.ts";
import { type PortOptions, portDatabase } from "#db/tools/port.ts";
import { readStats } from "#db/tools/stats.ts";
import { TABLES } from "#db/tools/tables.ts";
import { databaseDeps, temporaryDirectory, withPglite, withPostgres } from "#test/support/database.ts";
import { ALICE, DEVICE, filled, FreshDatabases, KEY, PHONE, sums } from "#test/support/filled-database.ts";
import { transaction } from "#test/support/stored-samples.ts";
import { LIMIT_MS, failureOf } from "./storage-rig.ts";

const databases = new FreshDatabases();
afterAll(() => databases.close(), LIMIT_MS);
const fresh = (server: typeof withPostgres): Promise<Database> => databases.on(server);

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
