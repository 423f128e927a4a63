import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFile, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { systemTimers } from "#src/system.ts";
import { startEmbeddedDatabase } from "#db/embedded.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { connectTestDatabase, databaseDeps, temporaryDirectory, withPostgres } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { createTestHomeserver, type Session, type TestHomeserver } from "#test/support/homeserver.ts";
import { roomMeta, storedEvent, transaction } from "#test/support/stored-samples.ts";
import { untilSaid } from "#test/support/until.ts";

const LIMIT_MS = 400_000;
const EVENTS = 100_000;
const ROOMS = 100;
const COMMITS = 20;

interface Answer {
  status: number;
  errcode?: string;
  pos: string;
  rooms: Record<string, { initial?: boolean; name?: string; timeline?: { event_id: string }[] }>;
  extensions: { to_device: { next_batch: string; events?: { content: { n: number } }[] } };
}

const cleanup = new AsyncDisposableStack();
let homeserver: TestHomeserver;

beforeAll(() => {
  homeserver = createTestHomeserver({ serverName: "hs.test" });
  cleanup.defer(() => homeserver.stop());
});
afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

async function folder(): Promise<string> {
  return cleanup.use(await temporaryDirectory()).path;
}

async function glissadeOf(env: Record<string, string>): Promise<GlissadeProcess> {
  const glissade = await GlissadeProcess.create({ SYNCV3_SERVER: homeserver.url, ...env });
  cleanup.defer(async () => void (await glissade.kill()));
  return glissade;
}

/** A client, through whatever becomes of its server. */
class Client {
  readonly session: Session;
  pos: string | null = null;
  since = "";

  constructor(session: Session) {
    this.session = session;
  }

  async sync(glissade: GlissadeProcess): Promise<Answer> {
    const query = this.pos === null ? "" : `&pos=${this.pos}`;
    const answer = await glissade.fetch(`/_matrix/client/unstable/org.matrix.msc3575/sync?timeout=0${query}`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.session.accessToken}`, "content-type": "application/json" },
      body: JSON.stringify({
        lists: { all: { ranges: [[0, 20]], timeline_limit: 2, required_state: [] } },
        extensions: { to_device: { enabled: true, since: this.since }, e2ee: { enabled: true } },
      }),
    });
    const body = { status: answer.status, ...((await answer.json()) as Omit<Answer, "status">) };
    if (answer.ok) {
      this.pos = body.pos;
      this.since = body.extensions.to_device.next_batch;
    }
    return body;
  }
}

const numbers = (answer: Answer): number[] =>
  (answer.extensions.to_device.events ?? []).map(({ content }) => content.n);

/** Rooms of nobody here: all that counts is that there are many. */
async function fill(dataDir: string): Promise<void> {
  const embedded = await startEmbeddedDatabase({ dataDir, timers: systemTimers, logger: databaseDeps.logger });
  const db = connectTestDatabase(embedded.connection, { prepare: false });
  const ingest = createIngestStore(db, { makeWriterId: () => "tests" });
  let { head } = await ingest.loadHead();
  for (let commit = 0; commit < COMMITS; commit += 1) {
    const events = Array.from({ length: EVENTS / COMMITS }, (_, index) =>
      storedEvent(1000 + (index % ROOMS), head + 1 + index, { id: `$old-${commit}-${index}` as never }),
    );
    head += events.length;
    const rooms = Array.from({ length: ROOMS }, (_, room) => ({ meta: roomMeta(1000 + room), isNew: true }));
    await ingest.commit(transaction(head, { events, rooms: commit === 0 ? rooms : [] }));
  }
  await db.close(1000);
  await embedded.close();
}

/** One new message in one room, and nothing anew. */
async function goesOn(client: Client, glissade: GlissadeProcess, sender: Session, roomId: string): Promise<void> {
  const eventId = homeserver.send(sender, roomId, "after the move");
  await homeserver.waitUntilPolled(client.session);
  const answer = await client.sync(glissade);
  expect(answer.status).toBe(200);
  expect(Object.keys(answer.rooms)).toEqual([roomId]);
  expect(answer.rooms[roomId]?.initial).toBeUndefined();
  expect(answer.rooms[roomId]?.timeline?.map((event) => event.event_id)).toEqual([eventId]);
}

describe("glissade db port", () => {
  test(
    "[OPR-23] 100,000 events from the embedded database to PostgreSQL, killed in the middle and run again, and back: clients go on with their pos",
    async () => {
      const dataDir = await folder();
      const embedded = await glissadeOf({ SYNCV3_DATA: dataDir });
      const client = new Client(homeserver.user("alice", { deviceId: "PHONE" }));
      const sender = homeserver.user("bob");
      const roomId = homeserver.createRoom(sender, { name: "The room", preset: "public_chat" });
      homeserver.join(client.session, roomId);
      await embedded.start();
      expect((await client.sync(embedded)).rooms[roomId]?.initial).toBe(true);
      await client.sync(embedded);
      const postgres = await (await withPostgres()).createDatabase();
      const refused = await embedded.command("db", "port", postgres);
      expect(refused).toMatchObject({ code: 1, err: expect.stringContaining("Glissade is running") });
      expect(await embedded.kill("SIGTERM")).toBe(0);
      await fill(dataDir);

      const moved = await glissadeOf({ SYNCV3_DB: postgres, SYNCV3_SECRET_FILE: join(dataDir, "secret") });
      const killed = embedded.begin("db", "port", postgres);
      await untilSaid(killed.stdout, /events: [\d,]+ of [\d,]+ rows\n/);
      killed.kill("SIGKILL");
      await killed.exited;
      expect(String(await moved.start().catch(String))).toContain("is being moved to");
      const again = await embedded.command("db", "port", postgres);
      expect(again).toMatchObject({ code: 0, err: "" });
      expect(again.out).toContain(`SYNCV3_SECRET_FILE=${join(dataDir, "secret")}`);
      const stats = await moved.command("db", "stats", "--json");
      expect(JSON.parse(stats.out)).toMatchObject({ devices: 2 - 1, rooms: expect.any(Array) });
      // A server that was started on the old one would give out positions again.
      expect(String(await embedded.start().catch(String))).toMatch(
        /exited with 2:[^]*moved to PostgreSQL 127\.0\.0\.1:\d+\/test_\d+ on 20.*glissade db port there, to here; .*glissade db reopen/,
      );
      await moved.start();
      await goesOn(client, moved, sender, roomId);
      const busy = await moved.command("db", "port", await folder());
      expect(busy).toMatchObject({ code: 1, err: expect.stringContaining("Glissade is running on this database") });
      expect(await moved.kill("SIGTERM")).toBe(0);

      // Back into what it came from.
      expect(await moved.command("db", "port", dataDir)).toMatchObject({ code: 0, err: "" });
      expect(String(await moved.start().catch(String))).toContain(`moved to ${dataDir} on 20`);
      await embedded.start();
      await goesOn(client, embedded, sender, roomId);
      await embedded.kill("SIGTERM");
    },
    LIMIT_MS,
  );
});

describe("commands on a database", () => {
  test(
    "[OPR-62] want no homeserver: how large it is, clearing away, a backup, a move, and the way back without one",
    async () => {
      const database = await (await withPostgres()).createDatabase();
      const storage = { SYNCV3_DB: database, SYNCV3_SECRET: "a secret of sixteen letters" };
      const glissade = await glissadeOf(storage);
      await glissade.start();
      await glissade.kill("SIGTERM");
      const tool = await GlissadeProcess.create(storage);
      const target = join(await folder(), "data");
      for (const [said, ...command] of [
        ["Nothing was moved", "db", "reopen"],
        ["0 devices", "db", "stats"],
        ["given back", "db", "vacuum"],
        ["written to", "backup", join(await folder(), "backup")],
        ["Moved and compared", "db", "port", target],
        [`Everything was moved to ${target} on 20`, "db", "stats"],
        [`Never start Glissade on ${target} any more`, "db", "reopen"],
      ] as const) {
        expect(await tool.command(...command)).toMatchObject({ code: 0, err: "", out: expect.stringContaining(said) });
      }
      await glissade.start();
      await glissade.kill("SIGTERM");
      const nameless = await tool.command("serve");
      expect(nameless).toMatchObject({ code: 2, err: expect.stringContaining("SYNCV3_SERVER") });
    },
    LIMIT_MS,
  );
});

describe("glissade backup and restore", () => {
  test(
    "[OPR-32] made while the server runs; after a loss devices are polled on, nobody logs in again, an old pos begins anew, what a client has does not come twice",
    async () => {
      const dataDir = await folder();
      const glissade = await glissadeOf({ SYNCV3_DATA: dataDir });
      const client = new Client(homeserver.user("carol", { deviceId: "PHONE" }));
      const sender = homeserver.user("dave");
      const roomId = homeserver.createRoom(sender, { name: "Their room", preset: "public_chat" });
      homeserver.join(client.session, roomId);
      await glissade.start();
      await client.sync(glissade);
      for (const n of [1, 2]) homeserver.sendToDevice(sender, client.session, "m.test", { n }, "PHONE");
      await homeserver.waitUntilPolled(client.session);
      expect(numbers(await client.sync(glissade))).toEqual([1, 2]);
      const file = join(await folder(), "glissade.backup");
      const made = await glissade.command("backup", file);
      expect(made).toMatchObject({ code: 0, err: "" });
      expect(made.out).toContain("1 device, 1 token, 2 to-device messages");
      expect(await glissade.command("db", "vacuum")).toMatchObject({
        code: 0,
        err: "",
        out: expect.stringContaining("--full"),
      });
      expect(await glissade.command("db", "vacuum", "--full")).toMatchObject({ code: 1 });
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      homeserver.sendToDevice(sender, client.session, "m.test", { n: 3 }, "PHONE");
      await glissade.kill("SIGKILL");

      const restored = join(await folder(), "data");
      const after = await glissadeOf({ SYNCV3_DATA: restored });
      expect(await after.command("db", "stats")).toMatchObject({
        code: 1,
        err: expect.stringContaining("no embedded database"),
      });
      const refused = await after.command("restore", file);
      expect(refused).toMatchObject({ code: 1, err: expect.stringContaining("There is no secret here") });
      await mkdir(restored, { recursive: true });
      await copyFile(join(dataDir, "secret"), join(restored, "secret"));
      expect(await after.command("restore", file)).toMatchObject({ code: 0, err: "" });
      expect(await after.command("restore", file)).toMatchObject({ code: 1, err: expect.stringContaining("has data") });
      const whoamis = homeserver.counts()["GET /account/whoami"] ?? 0;
      await after.start();
      expect(await client.sync(after)).toMatchObject({ status: 400, errcode: "M_UNKNOWN_POS" });
      client.pos = null;
      const anew = await client.sync(after);
      expect(anew.rooms[roomId]).toMatchObject({ initial: true, name: "Their room" });
      expect(numbers(anew)).toEqual([3]);
      expect(homeserver.counts()["GET /account/whoami"] ?? 0).toBe(whoamis);
      await after.kill("SIGTERM");
      expect(await after.command("db", "vacuum")).toMatchObject({
        code: 0,
        err: "",
        out: expect.not.stringContaining("--full"),
      });
    },
    LIMIT_MS,
  );
});

describe("another secret", () => {
  test(
    "[OPR-42] a start with both secrets seals tokens anew; clients go on with positions of before, and after a start with the new one alone",
    async () => {
      const SYNCV3_DB = await (await withPostgres()).createDatabase();
      const [first, second] = ["the first secret there was", "the second one after it"];
      const client = new Client(homeserver.user("erin", { deviceId: "PHONE" }));
      const sender = homeserver.user("frank");
      const roomId = homeserver.createRoom(sender, { name: "A room", preset: "public_chat" });
      homeserver.join(client.session, roomId);
      const before = await glissadeOf({ SYNCV3_DB, SYNCV3_SECRET: first });
      await before.start();
      await client.sync(before);
      await client.sync(before);
      await before.kill("SIGTERM");
      const whoamis = homeserver.counts()["GET /account/whoami"] ?? 0;

      const alone = await glissadeOf({ SYNCV3_DB, SYNCV3_SECRET: second });
      expect(String(await alone.start().catch(String))).toContain("SYNCV3_SECRET_OLD");
      const both = await glissadeOf({ SYNCV3_DB, SYNCV3_SECRET: second, SYNCV3_SECRET_OLD: first });
      await both.start();
      expect(both.output).toContain("the secret before is needed until these connections come back or expire");
      await goesOn(client, both, sender, roomId);
      await both.kill("SIGTERM");
      expect((await both.command("db", "stats")).out).toContain("SYNCV3_SECRET_OLD can go");

      await alone.start();
      await goesOn(client, alone, sender, roomId);
      expect(homeserver.counts()["GET /account/whoami"] ?? 0).toBe(whoamis);
      await alone.kill("SIGTERM");
    },
    LIMIT_MS,
  );
});
