import { afterAll, describe, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DeviceId } from "#src/protocol/ids.ts";
import type { Database } from "#db/connection.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { createRoomReader } from "#db/room-repository.ts";
import { loadOrigin } from "#db/secrets.ts";
import { type Backup, checkBackup, restoreBackup, writeBackup } from "#db/tools/backup.ts";
import { databaseDeps, temporaryDirectory, withPglite, withPostgres } from "#test/support/database.ts";
import { ALICE, filled, FreshDatabases, KEY, PHONE } from "#test/support/filled-database.ts";
import { LIMIT_MS, failureOf } from "./storage-rig.ts";

interface BackupHeader {
  columns: Record<string, string[]>;
  meta: Record<string, unknown>;
}
interface BackupEnd {
  rows: Record<string, number>;
  sha256: string;
}

const databases = new FreshDatabases();
afterAll(() => databases.close(), LIMIT_MS);
const fresh = (server: typeof withPostgres): Promise<Database> => databases.on(server);

async function linesOf(path: string): Promise<string[]> {
  const plain = new Blob([await readFile(path)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(plain).text()).trimEnd().split("\n");
}

for (const server of [withPostgres, withPglite]) {
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
