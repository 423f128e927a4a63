import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Database } from "#db/connection.ts";
import { createConnectionStore } from "#db/connection-repository.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { checksumOf } from "#db/tools/rows.ts";
import { TABLES } from "#db/tools/tables.ts";
import { connectTestDatabase, databaseDeps, type TestServer } from "./database.ts";
import { roomMeta, stateRowOf, storedEvent, transaction } from "./stored-samples.ts";

/** Whose data is in a filled database. */
export const ALICE = "@ali\u001ace\u0000\ud800'\":x" as UserId;
export const PHONE = "PHONE\\ü" as DeviceId;
/** Its tokens are sealed with this. */
export const KEY = new Uint8Array(32).fill(3);
export const DEVICE = { userId: ALICE, deviceId: PHONE };
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

/** New databases with our schema, which are closed together. */
export class FreshDatabases {
  readonly #opened: Database[] = [];

  async on(server: () => Promise<TestServer>): Promise<Database> {
    const db = connectTestDatabase(await (await server()).createDatabase(), { prepare: false });
    this.#opened.push(db);
    await migrateDatabase(db, databaseDeps.logger);
    return db;
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map((db) => db.close(1000)));
  }
}

/** Something of everything, with whatever text and bytes there can be. */
export async function filled(db: Database): Promise<Database> {
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

/** Of every table. */
export async function sums(db: Database): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const table of TABLES) found[table] = await checksumOf((...args) => db.query(...args), table);
  return found;
}
