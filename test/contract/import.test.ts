import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Database } from "#db/connection.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { keyText } from "#db/text.ts";
import { hashToken, openToken } from "#db/secrets.ts";
import { WriterPlace } from "#db/tools/exclusive.ts";
import { GoProxyDatabase, goTokenOpener } from "#db/tools/go-proxy.ts";
import { DeviceImport, type ImportTally } from "#db/tools/import-repository.ts";
import { connectTestDatabase, databaseDeps, withPglite, withPostgres } from "#test/support/database.ts";
import { GoProxyFixture } from "#test/support/go-proxy-database.ts";
import { LIMIT_MS, failureOf } from "./storage-rig.ts";

const SECRET = "a secret of the go proxy";
const KEY = new Uint8Array(32).fill(7);
const ALICE = { userId: "@alice:x", deviceId: "PHONE" };
/** Where the stream stands at the time of an import: far above all positions of the Go proxy. */
const HEAD = 1_000_000;

interface StoredMessage {
  pos: number;
  json: string;
}

/** A Go proxy's database and one of ours. */
class Move {
  readonly go: Database;
  readonly db: Database;
  readonly old: GoProxyFixture;

  private constructor(go: Database, db: Database, old: GoProxyFixture) {
    this.go = go;
    this.db = db;
    this.old = old;
  }

  static async begin(connection: string): Promise<Move> {
    const go = connectTestDatabase(await (await withPostgres()).createDatabase());
    const db = connectTestDatabase(connection, { prepare: false });
    await migrateDatabase(db, databaseDeps.logger);
    await db.query(`update meta set head = ${HEAD}`);
    return new Move(go, db, await GoProxyFixture.create(go, SECRET));
  }

  async run(isDry = false): Promise<ImportTally> {
    const writer = isDry ? null : await WriterPlace.take(this.db, `import ${Math.random()}`);
    const options = { openToken: goTokenOpener(SECRET), tokenKey: KEY, onProgress: () => undefined };
    return new DeviceImport({ source: new GoProxyDatabase(this.go), target: this.db, writer, ...options }).run();
  }

  messages({ userId, deviceId } = ALICE): Promise<StoredMessage[]> {
    return this.db.query<StoredMessage>(
      `select pos, convert_from(json, 'UTF8') as json from to_device
       where user_id = $1::text and device_id = $2::text order by pos`,
      [userId, deviceId],
    );
  }

  async newestToken({ userId, deviceId } = ALICE): Promise<string | undefined> {
    const [row] = await this.db.query<{ hash: string }>(
      "select hash from tokens where user_id = $1::text and device_id = $2::text order by serial desc limit 1",
      [userId, deviceId],
    );
    return row?.hash;
  }

  async device({ userId, deviceId } = ALICE): Promise<object | undefined> {
    const rows = await this.db.query<object>(
      "select since, rooms_due, imported_pos from devices where user_id = $1::text and device_id = $2::text",
      [userId, deviceId],
    );
    return rows[0];
  }

  async end(): Promise<void> {
    await Promise.all([this.go.close(1000), this.db.close(1000)]);
  }
}

for (const server of [withPostgres, withPglite]) {
  describe(`import into ${server === withPostgres ? "PostgreSQL" : "PGlite"}`, () => {
    let move: Move;
    beforeAll(async () => {
      move = await Move.begin(await (await server()).createDatabase());
    }, LIMIT_MS);
    afterAll(() => move.end(), LIMIT_MS);

    test("[OPR-2] a dry run says what would be taken, and takes nothing", async () => {
      await move.old.addDevice({ ...ALICE, accessToken: "older", since: "s1" }, 1000);
      await move.old.addToken({ ...ALICE, accessToken: "newer" }, 2000);
      await move.old.addMessage(ALICE, { n: 1 });
      await move.old.addDeviceList(ALICE, "@b:x", "left", "sent");
      await move.old.addDeviceList(ALICE, "@b:x", "changed", "new");
      expect(await move.run(true)).toMatchObject({ devices: 1, tokens: 2, toDevice: 1, deviceLists: 1 });
      expect(await move.db.query("select from devices")).toEqual([]);
    });

    test("[OPR-3] takes tokens, sealed anew with the one used last as the newest, since, messages under their numbers, the last word on each user", async () => {
      expect(await move.run()).toMatchObject({ devices: 1, tokens: 2, toDevice: 1, deviceLists: 1, unchanged: 0 });
      expect(await move.device()).toEqual({ since: "s1", rooms_due: 1, imported_pos: 1 });
      expect(await move.messages()).toEqual([{ pos: 1, json: '{"n":1}' }]);
      const tokens = await move.db.query<{ hash: string; sealed: Uint8Array }>("select * from tokens order by serial");
      expect(tokens.map(({ hash, sealed }) => openToken(KEY, sealed, hash))).toEqual(["older", "newer"]);
      expect(tokens.map(({ hash }) => hash)).toEqual([hashToken("older"), hashToken("newer")]);
      const lists = await move.db.query("select target, has_left, pos from device_lists");
      expect(lists).toEqual([{ target: "@b:x", has_left: false, pos: HEAD + 1 }]);
    });

    test("[OPR-4] repeated, it changes nothing; what the old one got meanwhile follows as long as nobody polls here", async () => {
      expect(await move.run()).toMatchObject({ devices: 0, unchanged: 1, tokens: 0, toDevice: 0, deviceLists: 0 });
      await move.old.addMessage(ALICE, { n: 2 });
      await move.old.moveSince({ ...ALICE, since: "s2" });
      await move.old.addToken({ ...ALICE, accessToken: "refreshed" }, 3000);
      expect(await move.run()).toMatchObject({ devices: 1, toDevice: 1, tokens: 1 });
      expect(await move.newestToken()).toBe(hashToken("refreshed"));
      expect(await move.device()).toEqual({ since: "s2", rooms_due: 1, imported_pos: 2 });
      expect((await move.messages()).map(({ pos }) => pos)).toEqual([1, 2]);
    });

    test("[OPR-5] once it is polled here its since is ours, acknowledged messages stay gone, and later ones of the old one come behind all", async () => {
      await move.db.query(
        "update devices set since = 'ours', rooms_due = 0; delete from to_device; update meta set head = head + 10",
      );
      expect(await move.run()).toMatchObject({ devices: 0, unchanged: 1, toDevice: 0 });
      await move.old.addMessage(ALICE, { n: 3 });
      await move.old.moveSince({ ...ALICE, since: "s3" });
      expect(await move.run()).toMatchObject({ devices: 1, toDevice: 1 });
      expect(await move.device()).toEqual({ since: "ours", rooms_due: 0, imported_pos: 3 });
      const [message, ...more] = await move.messages();
      expect(more).toEqual([]);
      expect(message?.json).toBe('{"n":3}');
      expect(message?.pos).toBeGreaterThan(HEAD + 10);
      const [meta] = await move.db.query("select imported_pos from meta");
      expect(meta).toEqual({ imported_pos: 2 });
    });

    test("[OPR-6] counts what it cannot take: foreign tokens, messages that are no JSON, devices without an id", async () => {
      const bob = { userId: "@bob:x", deviceId: "TABLET" };
      await move.old.addDevice({ ...bob, accessToken: "b", since: "sb" });
      await move.old.addToken({ ...bob, accessToken: "c" }, 1, "00 11");
      await move.old.addDevice({ userId: "@guest:x", deviceId: "", accessToken: "g", since: "sg" });
      await move.go.query(
        "insert into syncv3_to_device_messages (user_id, device_id, event_type, sender, message) values ('@bob:x', 'TABLET', 't', 's', '{oops')",
      );
      const tally = await move.run();
      expect(tally).toMatchObject({
        devices: 1,
        tokens: 1,
        unreadableTokens: 1,
        unreadableMessages: 1,
        namelessDevices: 1,
      });
      expect(await move.messages(bob)).toEqual([]);
    });

    test("[OPR-14] ids of whatever length and signs come with all that is theirs, however many messages; what an older Go proxy left is told as such", async () => {
      const long = { userId: `@${"é".repeat(500)}:x`, deviceId: `\u2028'"\\${"d".repeat(900)}` };
      await move.old.addDevice({ ...long, accessToken: "long", since: "s" });
      await move.go.query(
        `insert into syncv3_to_device_messages (user_id, device_id, event_type, sender, message)
         select $1::text, $2::text, 't', 's', json_build_object('n', n)::text from generate_series(1, 1201) n`,
        [long.userId, long.deviceId],
      );
      await move.old.addDeviceList(long, "@b:x", "changed", "new");
      expect(await move.run()).toMatchObject({ devices: 1, tokens: 1, toDevice: 1201, deviceLists: 1 });
      const [order] = await move.db.query<{ numbers: string }>(
        "select string_agg(convert_from(json, 'UTF8')::json ->> 'n', ' ' order by pos) as numbers from to_device where user_id = $1::text",
        [keyText(long.userId)],
      );
      expect(order?.numbers).toBe(Array.from({ length: 1201 }, (_, index) => index + 1).join(" "));
      const store = createDeviceStore(move.db, { tokenKey: KEY, logger: databaseDeps.logger });
      const stored = await store.loadDevice(long.userId as UserId, long.deviceId as DeviceId);
      expect(stored).toMatchObject({ accessToken: "long", since: "s", roomsAreDue: true });
      expect(await move.run()).toMatchObject({ devices: 0, tokens: 0, toDevice: 0, deviceLists: 0 });
      const reader = new GoProxyDatabase(move.go);
      expect([await reader.missing(), await reader.isOlder()]).toEqual([[], false]);
      await move.go.query("alter table syncv3_device_list_updates rename to kept");
      expect(await reader.isOlder()).toBe(true);
      await move.go.query("alter table kept rename to syncv3_device_list_updates");
    });

    test("[OPR-7] a server that starts meanwhile ends it", async () => {
      const writer = await WriterPlace.take(move.db, "import");
      await move.db.query("update meta set writer = 'a server'");
      const options = { openToken: goTokenOpener(SECRET), tokenKey: KEY, onProgress: () => undefined };
      const running = new DeviceImport({ source: new GoProxyDatabase(move.go), target: move.db, writer, ...options });
      expect(await failureOf(running.run())).toMatchObject({
        message: expect.stringContaining("a server was started"),
      });
    });
  });
}

describe("GoProxyDatabase", () => {
  test(
    "[OPR-15] sees a Go proxy that runs under another role, whose connections are shown in part",
    async () => {
      const url = new URL(await (await withPostgres()).createDatabase());
      const go = connectTestDatabase(url.href, { maxConnections: 1 });
      const role = `reader_${crypto.randomUUID().replaceAll("-", "")}`;
      await go.query(`create role ${role} login password '${decodeURIComponent(url.password).replaceAll("'", "''")}'`);
      url.username = role;
      const reader = connectTestDatabase(url.href, { maxConnections: 1, applicationName: "glissade import" });
      expect(await new GoProxyDatabase(reader).otherClients()).toBe(1);
      await go.close(1000);
      // The server notices in a moment.
      while ((await new GoProxyDatabase(reader).otherClients()) > 0);
      await reader.close(1000);
    },
    LIMIT_MS,
  );
});
