import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Database } from "#db/connection.ts";
import { createAdminStore } from "#db/admin-repository.ts";
import { createConnectionStore } from "#db/connection-repository.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { connectTestDatabase, databaseDeps, withPglite, withPostgres } from "#test/support/database.ts";

/** User ids may hold what databases cannot. */
const ALICE = "@alice\0:hs" as UserId;
const DEVICE = "DEVICE" as DeviceId;
const LIMIT_MS = 120_000;

describe.each([
  ["PostgreSQL", withPostgres],
  ["PGlite", withPglite],
] as const)("operators' view of %s", (_name, server) => {
  let db: Database;
  beforeAll(async () => {
    db = connectTestDatabase(await (await server()).createDatabase(), {});
    await migrateDatabase(db, databaseDeps.logger);
  }, LIMIT_MS);
  afterAll(() => db.close(5000), LIMIT_MS);

  test("[STO-120] the audit log tells the newest first, page by page", async () => {
    const store = createAdminStore(db);
    for (let n = 1; n <= 5; n += 1) {
      await store.saveAudit({
        atMs: n,
        action: "pause-poller",
        target: `${ALICE} ${n}`,
        remote: "::1",
        result: "done",
      });
    }
    const first = await store.listAudit(null, 2);
    expect(first).toMatchObject([{ atMs: 5, target: `${ALICE} 5` }, { atMs: 4 }]);
    const rest = await store.listAudit(first[1]?.id ?? 0, 10);
    expect(rest.map(({ atMs }) => atMs)).toEqual([3, 2, 1]);
  });

  test("[STO-121] of a user everything is counted by device, of one that is not known nothing", async () => {
    const devices = createDeviceStore(db, { tokenKey: randomBytes(32), logger: databaseDeps.logger });
    for (const hash of ["one", "two"]) {
      await devices.saveToken({ hash, accessToken: hash, userId: ALICE, deviceId: DEVICE, nowMs: 7 });
    }
    await devices.setPaused(ALICE, DEVICE, 9);
    await createConnectionStore(db).save({
      userId: ALICE,
      deviceId: DEVICE,
      connId: "room-list" as ConnId,
      incarnation: "i",
      params: "{}",
      cursors: "{}",
      toDevicePos: null,
      deviceListsPos: null,
      lastUsedMs: 11,
    });
    await db.query(
      `insert into to_device (user_id, device_id, pos, json)
       select user_id, device_id, n, '{}'::bytea from devices, generate_series(1, 3) n`,
    );
    await db.query(
      `insert into device_keys (user_id, device_id, pos, otk_counts, fallback_key_types)
       select user_id, device_id, 1, '{"signed_curve25519":5}', '[]' from devices`,
    );
    await db.query(
      `insert into user_rooms (user_id, nid, membership, member_pos, join_pos, join_ts, pos, notification_count,
         highlight_count, is_direct, member_sender)
       select user_id, n, case when n < 3 then 1 else 2 end, 1, 1, 1, 1, 0, 0, false, '' from devices, generate_series(1, 3) n`,
    );
    const store = createAdminStore(db);
    expect(await store.loadUser(ALICE)).toEqual({
      rooms: { join: 2, invite: 1 },
      devices: [
        {
          deviceId: DEVICE,
          tokens: 2,
          lastSeenMs: 7,
          tokenlessMs: null,
          pausedMs: 9,
          hasSynced: false,
          toDeviceMessages: 3,
          deviceListChanges: 0,
          otkCounts: '{"signed_curve25519":5}',
          fallbackKeyTypes: "[]",
          connections: [{ connId: "room-list" as ConnId, lastUsedMs: 11 }],
        },
      ],
    });
    expect(await store.loadUser("@nobody:hs" as UserId)).toEqual({ rooms: {}, devices: [] });
  });

  test("[STO-122] tables are told with their sizes; quarantine without what it holds, of one user or of all", async () => {
    const store = createAdminStore(db);
    const { version, totalBytes, tables } = await store.sizes();
    expect(version).toMatch(/^\d+/);
    expect(tables.map(({ name }) => name)).toContain("events");
    expect(tables.every((table) => table.totalBytes <= totalBytes)).toBe(true);
    await db.query(
      `insert into quarantine (seen_ms, user_id, device_id, room_id, section, reason, sample)
       values (1, '@a:hs', 'D', '!r:hs', 'timeline', 'no type', 'sesame'), (2, '@b:hs', 'D', null, 'to_device', 'no json', 'sesame')`,
    );
    const all = await store.listQuarantine(null, 10, null);
    expect(all.map(({ userId, section }) => [userId, section])).toEqual([
      ["@b:hs", "to_device"],
      ["@a:hs", "timeline"],
    ]);
    expect(JSON.stringify(all)).not.toContain("sesame");
    expect(await store.listQuarantine(null, 10, "@a:hs" as UserId)).toMatchObject([
      { reason: "no type", roomId: "!r:hs" },
    ]);
    expect(await store.listQuarantine(all[0]?.id ?? 0, 10, null)).toHaveLength(1);
  });
});
