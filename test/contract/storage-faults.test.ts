import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { DeviceId, RoomNid, UserId } from "#src/protocol/ids.ts";
import { prepareDatabase } from "#src/hosts/prepare-database.ts";
import { databaseDeps } from "#test/support/database.ts";
import { recordingLogger } from "#test/support/recording.ts";
import { storedEvent, transaction } from "#test/support/stored-samples.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";
import { createConnectionStore } from "#db/connection-repository.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { createRoomReader } from "#db/room-repository.ts";
import { LIMIT_MS, StorageRig, failureOf } from "./storage-rig.ts";

setDefaultTimeout(LIMIT_MS);

describe("storage when the database fails", () => {
  let rig: StorageRig;
  beforeAll(async () => {
    rig = await StorageRig.begin();
  }, LIMIT_MS);
  afterAll(() => rig.end());

  const isCommit = (bytes: Uint8Array): boolean => Buffer.from(bytes).includes("cut-here");
  const withMark = (head: number, mark: string) =>
    transaction(head, {
      events: [storedEvent(900, head)],
      sinces: [{ userId: "@cut:x" as UserId, deviceId: "D" as DeviceId, since: mark, pos: 1 }],
    });

  describe("commits and lost connections", () => {
    test("[CMT-1] a commit whose answer is lost is found out to be stored", async () => {
      const { proxy, database } = await rig.behindProxy();
      const ingest = createIngestStore(database, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      proxy.onRequest = (bytes) => (isCommit(bytes) ? "lose-answer" : "pass");
      await ingest.commit(withMark(head + 1, "cut-here"));
      proxy.onRequest = () => "pass";
      await ingest.commit(withMark(head + 2, "after"));
      const reader = createRoomReader(rig.db, databaseDeps);
      const [chunk] = await reader.loadTimelines([{ nid: 900 as RoomNid, upTo: head + 2, limit: 10 }]);
      expect(chunk?.events.map(({ pos }) => pos).slice(-2)).toEqual([head + 1, head + 2]);
      proxy.close();
    });

    test("[CMT-2] a commit that never arrived is told, and may be repeated", async () => {
      const { proxy, database } = await rig.behindProxy();
      const ingest = createIngestStore(database, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      const tx = withMark(head + 1, "cut-here");
      proxy.onRequest = (bytes) => (isCommit(bytes) ? "cut" : "pass");
      expect(await failureOf(ingest.commit(tx))).toMatchObject({ code: "storage_unavailable" });
      proxy.onRequest = () => "pass";
      await ingest.commit(tx);
      await ingest.commit(tx);
      expect(await createRoomReader(rig.db, databaseDeps).loadHead()).toBe(head + 1);
      proxy.close();
    });

    test("[CMT-3] a stored commit is not repeated when the database was away while that was found out", async () => {
      const { proxy, database } = await rig.behindProxy();
      const ingest = createIngestStore(database, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      const tx = withMark(head + 1, "cut-here");
      let isAway = false;
      proxy.onRequest = (bytes) => {
        if (isAway) return "cut";
        if (!isCommit(bytes)) return "pass";
        isAway = true;
        return "lose-answer";
      };
      expect(await failureOf(ingest.commit(tx))).toMatchObject({ code: "storage_unavailable" });
      expect(await createRoomReader(rig.db, databaseDeps).loadHead()).toBe(head + 1);
      isAway = false;
      proxy.onRequest = () => "pass";
      await ingest.commit(structuredClone(tx));
      await ingest.commit(withMark(head + 2, "next"));
      const [row] = await rig.db.query<{ n: number }>(
        "select sum(event_count)::int4 as n from events where first_pos = $1::int8",
        [head + 1],
      );
      expect(row?.n).toBe(1);
      proxy.close();
    });

    test("[CMT-4] of two writers the one that came first can no longer write", async () => {
      const first = createIngestStore(rig.db, { makeWriterId: randomUUID });
      const { head } = await first.loadHead();
      const second = createIngestStore(rig.db, { makeWriterId: randomUUID });
      await second.loadHead();
      expect(await failureOf(first.commit(withMark(head + 1, "first")))).toMatchObject({ code: "internal" });
      expect(String(await failureOf(first.commit(withMark(head + 1, "first"))))).toContain("taken over writing");
      await second.commit(withMark(head + 1, "second"));
      expect(await createRoomReader(rig.db, databaseDeps).loadHead()).toBe(head + 1);
    });

    test("[CMT-5] nothing of a refused commit is stored", async () => {
      const ingest = createIngestStore(rig.db, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      const twice = {
        userId: "@t:x" as UserId,
        deviceId: "D" as DeviceId,
        pos: head + 1,
        type: "m",
        sender: "@s:x",
        json: new Uint8Array(),
      };
      const bad = transaction(head + 2, { events: [storedEvent(901, head + 1)], toDevice: [twice, twice] });
      expect(await failureOf(ingest.commit(bad))).toMatchObject({ code: "internal" });
      expect(await ingest.knownEvents([storedEvent(901, head + 1).id])).toEqual(new Set());
      await ingest.commit(transaction(head + 1, { events: [storedEvent(902, head + 1)] }));
    });

    test("[CMT-6] the quarantine keeps the newest rows only", async () => {
      const ingest = createIngestStore(rig.db, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      const rejected = (i: number) => ({
        userId: "@q:x" as UserId,
        deviceId: "D" as DeviceId,
        nowMs: i,
        roomId: null,
        section: "rooms\0",
        reason: `reason ${i}`,
        sample: "",
      });
      for (let from = 0; from < 2600; from += 400) {
        const quarantine = Array.from({ length: 400 }, (_, i) => rejected(from + i));
        await ingest.commit(transaction(head, { quarantine }));
      }
      const [row] = await rig.db.query<{ n: number; newest: number; oldest: number }>(
        "select count(*)::int4 as n, max(seen_ms) as newest, min(seen_ms) as oldest from quarantine",
      );
      expect(row).toEqual({ n: 1000, newest: 2799, oldest: 1800 });
    });
  });

  describe("connections to the database", () => {
    test("[DBC-10] a pool goes on by itself after its connections were cut", async () => {
      const { proxy, database } = await rig.behindProxy({ maxConnections: 3 });
      await Promise.all([1, 2, 3].map(() => database.ping(5000)));
      proxy.cutAll();
      const connections = createConnectionStore(database);
      const tryLoad = () => connections.load("@a:x" as UserId, "D" as DeviceId, "c" as never);
      // Each dead connection may cost one call, until the news of its end has arrived.
      const failures: unknown[] = [];
      let found: unknown = "not read";
      while (found === "not read" && failures.length <= 3) {
        found = await tryLoad().catch((error: unknown) => {
          failures.push(error);
          return "not read";
        });
      }
      expect(found).toBeNull();
      for (const failure of failures) expect(failure).toMatchObject({ code: "storage_unavailable" });
      proxy.close();
    });

    test("[DBC-16] a connection that is cut within a transaction costs that transaction alone", async () => {
      const { proxy, database } = await rig.behindProxy();
      for (let time = 0; time < 3; time += 1) {
        await database.ping(5000).catch(() => undefined);
        proxy.onRequest = (bytes) => (Buffer.from(bytes).includes("cut-here") ? "cut" : "pass");
        const cut = database.snapshot(async (query) => {
          await query("select $1::int4", [1]);
          await query("select $1::text", ["cut-here"]);
        });
        expect(await failureOf(cut)).toMatchObject({ code: "storage_unavailable" });
        proxy.onRequest = () => "pass";
        // What the driver puts off to the next round of the event loop must not fail there.
        await new Promise((resolve) => setImmediate(resolve));
      }
      await database.ping(5000);
      proxy.close();
    });

    test("[DBC-11] a server that does not answer is given up on in time, and used again when it answers", async () => {
      const { proxy, database } = await rig.behindProxy({ deadlineMs: 300 });
      await database.ping(5000);
      proxy.isSwallowing = true;
      const startedMs = performance.now();
      expect(await failureOf(database.query("select $1::int4", [1]))).toMatchObject({ code: "storage_unavailable" });
      // Otherwise it would be waited for until the end of the test.
      expect(performance.now() - startedMs).toBeLessThan(LIMIT_MS / 4);
      proxy.isSwallowing = false;
      await database.ping(5000);
      proxy.close();
    });

    test("[MIG-8] a start on a network that swallows everything says in seconds what it waits for, gives the statement up within a minute, and goes on", async () => {
      const { proxy, url } = await rig.proxied();
      const time = new VirtualTime();
      const log = recordingLogger();
      const swallowed = Promise.withResolvers<void>();
      proxy.onRequest = (bytes) => {
        if (Buffer.from(bytes).includes("glissade_migrations")) {
          proxy.isSwallowing = true;
          swallowed.resolve();
        }
        return "pass";
      };
      const busyWith: (string | null)[] = [];
      const options = { connection: url, secret: "a secret", oldSecret: null, dataDir: "/nowhere" };
      const deps = {
        clock: time,
        timers: time,
        logger: log,
        busyWith: (what: string | null) => void busyWith.push(what),
      };
      const prepared = prepareDatabase(options, deps);
      await swallowed.promise;
      const waiting = "waiting for the database to answer";
      expect(busyWith).toEqual([waiting]);
      await time.advance(3000);
      const told = {
        level: "info",
        message: "still preparing the database",
        fields: { busy_with: waiting, seconds: 3 },
      };
      expect(log.lines).toContainEqual(told);
      const lost = (): boolean => log.lines.some(({ message }) => message.includes("cannot be reached, trying again"));
      await time.advance(56_999);
      expect(lost()).toBe(false);
      await time.advance(1);
      expect(lost()).toBe(true);
      proxy.isSwallowing = false;
      proxy.onRequest = () => "pass";
      await time.advance(1000);
      expect(await prepared).toBeNull();
      expect(busyWith.at(-1)).toBeNull();
      expect(time.pendingCount).toBe(0);
      proxy.close();
    });

    test("[DBC-12] a wrong password or database is told, without the password", async () => {
      const url = new URL(rig.connection);
      url.password = "hunter2";
      const wrong = rig.open({ maxConnections: 1 }, url.href);
      const error = await wrong.ping(5000).catch((caught: unknown) => caught);
      expect(error).toMatchObject({ code: "storage_unavailable" });
      expect(Bun.inspect(error)).toContain("password authentication failed");
      expect(Bun.inspect(error)).not.toContain("hunter2");
      const other = new URL(rig.connection);
      other.pathname = "/nowhere";
      expect(String(await failureOf(rig.open({ maxConnections: 1 }, other.href).ping(5000)))).toContain(
        'database "nowhere" does not exist',
      );
    });

    test("[DBC-13] a closed pool refuses", async () => {
      const closed = rig.open();
      await closed.ping(5000);
      await closed.close(1000);
      expect(await failureOf(closed.ping(5000))).toMatchObject({ code: "storage_unavailable" });
    });

    test("[DBC-14] a snapshot sees one moment", async () => {
      const seen = await rig.db.snapshot(async (query) => {
        const [before] = await query<{ n: number }>("select count(*)::int4 as n from filters");
        await rig.db.query("insert into filters values ('@snap:x', $1::text, '1')", [randomUUID()]);
        const [after] = await query<{ n: number }>("select count(*)::int4 as n from filters");
        return [before?.n, after?.n];
      });
      expect(seen[0]).toBe(seen[1] ?? -1);
      expect(await failureOf(rig.db.snapshot((query) => query("delete from filters")))).toMatchObject({
        code: "storage_unavailable",
      });
    });

    test("[DBC-15] saving connections does not wait for the disk", async () => {
      const plan = await rig.db.query<{ "QUERY PLAN": string }>(
        "explain verbose select n from (select set_config('synchronous_commit', 'off', true)) s (v), unnest('{1}'::int[]) n where s.v = 'off'",
      );
      expect(plan.map((row) => row["QUERY PLAN"]).join("\n")).toContain("set_config");
      const [setting] = await rig.db.query<{ synchronous_commit: string }>("show synchronous_commit");
      expect(setting?.synchronous_commit).toBe("on");
    });
  });
});
