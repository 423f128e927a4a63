import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rotationText } from "#src/hosts/tools/stats-host.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Database } from "#db/connection.ts";
import { createConnectionStore } from "#db/connection-repository.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { connectionsBeforeRotation, settleSecret } from "#db/secret-rotation.ts";
import { claimSecret, deriveKeys } from "#db/secrets.ts";
import { connectTestDatabase, databaseDeps, withPglite, withPostgres } from "#test/support/database.ts";
import { LIMIT_MS, failureOf } from "./storage-rig.ts";

const ALICE = "@alice:x" as UserId;
const TOKENS = 1200;
const [FIRST, SECOND, THIRD] = ["first", "second", "third"].map((secret) => deriveKeys(secret, "epoch"));

for (const server of [withPostgres, withPglite]) {
  describe(`another secret on ${server === withPostgres ? "PostgreSQL" : "PGlite"}`, () => {
    let db: Database;
    const tokenOf = async (keys: typeof FIRST, n: number): Promise<string | null | undefined> => {
      const store = createDeviceStore(db, {
        tokenKey: keys?.tokenKey ?? new Uint8Array(),
        logger: databaseDeps.logger,
      });
      return (await store.loadDevice(ALICE, `D${n}` as DeviceId))?.accessToken;
    };
    beforeAll(async () => {
      db = connectTestDatabase(await (await server()).createDatabase(), { prepare: false });
      await migrateDatabase(db, databaseDeps.logger);
      if (FIRST === undefined) throw new Error("there are keys");
      await claimSecret(db, FIRST);
      const store = createDeviceStore(db, { tokenKey: FIRST.tokenKey, logger: databaseDeps.logger });
      for (let n = 0; n < TOKENS; n += 1) {
        const owner = { userId: ALICE, deviceId: `D${n}` as DeviceId };
        await store.saveToken({ hash: `hash ${n}`, accessToken: `token ${n}`, ...owner, nowMs: 1 });
      }
      await db.query("update tokens set sealed = 'damaged' where hash = 'hash 7'");
    }, LIMIT_MS);
    afterAll(() => db.close(1000), LIMIT_MS);

    test("[OPR-40] with both secrets all tokens are sealed anew, once, and only the new one is accepted from then on", async () => {
      if (FIRST === undefined || SECOND === undefined || THIRD === undefined) throw new Error("there are keys");
      expect(await settleSecret(db, FIRST, THIRD, 10)).toBeNull();
      expect(await failureOf(settleSecret(db, SECOND, null, 10))).toMatchObject({
        message: expect.stringContaining("SYNCV3_SECRET_OLD"),
      });
      expect(await failureOf(settleSecret(db, SECOND, THIRD, 10))).toMatchObject({ code: "unusable_setup" });
      expect(await tokenOf(FIRST, 3)).toBe("token 3");
      expect(await settleSecret(db, SECOND, FIRST, 20)).toEqual({ resealed: TOKENS - 1, damaged: 1 });
      expect(await tokenOf(SECOND, 3)).toBe("token 3");
      expect(await tokenOf(SECOND, TOKENS - 1)).toBe(`token ${TOKENS - 1}`);
      expect(await tokenOf(FIRST, 3)).toBeNull();
      expect(await settleSecret(db, SECOND, FIRST, 30)).toBeNull();
      expect(await failureOf(settleSecret(db, FIRST, null, 30))).toMatchObject({ code: "unusable_setup" });
    });

    test("[OPR-41] the old secret can go when every connection of before has come back or is gone", async () => {
      const connection = {
        userId: ALICE,
        deviceId: "D1" as DeviceId,
        connId: "" as ConnId,
        incarnation: "i",
        params: "{}",
        cursors: null,
        toDevicePos: null,
        deviceListsPos: null,
      };
      const store = createConnectionStore(db);
      await store.save({ ...connection, lastUsedMs: 15 });
      expect(await connectionsBeforeRotation(db)).toEqual({ atMs: 20, connections: 1 });
      await store.save({ ...connection, lastUsedMs: 25 });
      expect(await connectionsBeforeRotation(db)).toEqual({ atMs: 20, connections: 0 });
      expect(rotationText({ atMs: 20, connectionsBefore: 1 })).toContain("keep SYNCV3_SECRET_OLD");
      expect(rotationText({ atMs: 20, connectionsBefore: 0 })).toContain("SYNCV3_SECRET_OLD can go");
    });
  });
}
