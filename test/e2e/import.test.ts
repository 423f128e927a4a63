import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "#db/connection.ts";
import { connectTestDatabase, temporaryDirectory, withPostgres } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { GoProxyFixture } from "#test/support/go-proxy-database.ts";
import { createTestHomeserver, type Session, type TestHomeserver } from "#test/support/homeserver.ts";
import { untilSaid } from "#test/support/until.ts";

const LIMIT_MS = 300_000;
const SECRET = "the secret of the old proxy, and of the new one";
const EVENTS = 100_000;
const DEVICES = 2000;

type Json = Record<string, unknown>;
interface Answer {
  pos: string;
  lists: { all: { count: number } };
  rooms: Record<string, { name?: string; timeline?: Json[] }>;
  extensions: {
    to_device: { next_batch: string; events?: { content: { n: number } }[] };
    e2ee: { device_lists?: { changed: string[]; left: string[] }; device_one_time_keys_count?: Json };
  };
}

const cleanup = new AsyncDisposableStack();
let homeserver: TestHomeserver;
let goUrl: string;
let go: Database;
let old: GoProxyFixture;

beforeAll(async () => {
  homeserver = createTestHomeserver({ serverName: "hs.test" });
  cleanup.defer(() => homeserver.stop());
  goUrl = await (await withPostgres()).createDatabase();
  go = connectTestDatabase(goUrl);
  cleanup.defer(() => go.close(1000));
  old = await GoProxyFixture.create(go, SECRET);
  await old.fill(EVENTS, DEVICES);
}, LIMIT_MS);
afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

async function glissadeOf(env: Record<string, string>): Promise<GlissadeProcess> {
  const glissade = await GlissadeProcess.create({ SYNCV3_SERVER: homeserver.url, ...env });
  cleanup.defer(async () => void (await glissade.kill()));
  return glissade;
}

/** What the Go proxy gets when it polls for a device. */
async function poll(session: Session, since: string | null): Promise<{ next_batch: string; to_device?: Json }> {
  const query = since === null ? "timeout=0" : `timeout=0&since=${since}`;
  const answer = await fetch(`${homeserver.url}/_matrix/client/v3/sync?${query}`, {
    headers: { authorization: `Bearer ${session.accessToken}` },
  });
  return (await answer.json()) as { next_batch: string };
}

async function ask(glissade: GlissadeProcess, token: string, since: string, pos?: string): Promise<Answer> {
  const query = pos === undefined ? "" : `&pos=${pos}`;
  const answer = await glissade.fetch(`/_matrix/client/unstable/org.matrix.msc3575/sync?timeout=0${query}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({
      lists: { all: { ranges: [[0, 20]], timeline_limit: 5, required_state: [["m.room.name", ""]] } },
      extensions: { to_device: { enabled: true, since }, e2ee: { enabled: true } },
    }),
  });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Answer;
}

const numbers = (answer: Answer): number[] =>
  (answer.extensions.to_device.events ?? []).map(({ content }) => content.n);

/** A device that was used with the Go proxy, until now: messages 1 to 3 came, the client may have the first alone. */
async function oldDevice(name: string): Promise<{
  session: Session;
  sender: Session;
  owner: { userId: string; deviceId: string };
  ackedPos: number;
  since: string;
}> {
  const session = homeserver.user(name, { deviceId: "PHONE" });
  const sender = homeserver.user(`${name}sfriend`, { deviceId: "THEIRS" });
  const owner = { userId: session.account.userId, deviceId: "PHONE" };
  for (let room = 0; room < 3; room += 1) {
    const roomId = homeserver.createRoom(sender, { name: `Room ${room} of ${name}`, preset: "public_chat" });
    homeserver.join(session, roomId);
    homeserver.send(sender, roomId, "before");
  }
  const { next_batch: first } = await poll(session, null);
  for (const n of [1, 2, 3]) homeserver.sendToDevice(sender, session, "m.test", { n }, "PHONE");
  const { next_batch: since } = await poll(session, first);
  await old.addDevice({ ...owner, accessToken: session.accessToken, since });
  const positions = [];
  for (const n of [1, 2, 3])
    positions.push(await old.addMessage(owner, { type: "m.test", sender: "@x:y", content: { n } }));
  await old.addDeviceList(owner, "@sent:hs.test", "changed", "sent");
  await old.addDeviceList(owner, "@turned:hs.test", "left", "sent");
  await old.addDeviceList(owner, "@turned:hs.test", "changed", "new");
  await old.addDeviceList(owner, "@gone:hs.test", "left", "new");
  return { session, sender, owner, since, ackedPos: positions[0] ?? 0 };
}

const target = (database: string | null, directory: string): Record<string, string> =>
  database === null
    ? { SYNCV3_DATA: directory, SYNCV3_SECRET: "a new secret for a new database", SYNCV3_IMPORT_SECRET: SECRET }
    : { SYNCV3_DB: database, SYNCV3_SECRET: SECRET };

describe("glissade import", () => {
  for (const kind of ["the Go proxy's own database", "the embedded database"] as const) {
    test(
      `[OPR-1] into ${kind}: nobody logs in again, no to-device message is lost or doubled, killed in the middle and repeated`,
      async () => {
        await using directory = await temporaryDirectory();
        const isSame = kind !== "the embedded database";
        const { session, sender, ackedPos } = await oldDevice(isSame ? "alice" : "eve");
        const glissade = await glissadeOf(target(isSame ? goUrl : null, directory.path));

        const dry = await glissade.command("import", goUrl, "--dry-run", "--old-is-stopped");
        expect(dry).toMatchObject({ code: 0, err: "" });
        expect(dry.out).toContain("Nothing was changed.");

        const killed = glissade.begin("import", goUrl, "--old-is-stopped");
        await untilSaid(killed.stdout, / of [\d,]+ devices, [\d,]+ messages\n/);
        killed.kill("SIGKILL");
        expect(await killed.exited).not.toBe(0);
        const done = await glissade.command("import", goUrl, "--old-is-stopped");
        expect(done).toMatchObject({ code: 0, err: "" });
        expect(done.out).toMatch(/syncv3_events \([\d,]+ rows\): the homeserver tells it anew/);
        const again = await glissade.command("import", goUrl, "--old-is-stopped");
        expect(again.out).toMatch(/  0 devices, each polled on/);
        expect(again.out).toMatch(/  0 to-device messages/);

        // What happens after the Go proxy was stopped.
        homeserver.sendToDevice(sender, session, "m.test", { n: 4 }, "PHONE");
        const whoamis = homeserver.counts()["GET /account/whoami"] ?? 0;
        await glissade.start();
        const first = await ask(glissade, session.accessToken, String(ackedPos));
        expect(numbers(first)).toEqual([2, 3, 4]);
        const { device_lists: lists } = first.extensions.e2ee;
        expect(lists?.changed).toEqual(expect.arrayContaining(["@sent:hs.test", "@turned:hs.test"]));
        expect(lists?.left).toEqual(["@gone:hs.test"]);
        const names = Object.values(first.rooms).map(({ name }) => name?.slice(0, 6));
        expect(names.toSorted((a = "", b = "") => a.localeCompare(b))).toEqual(["Room 0", "Room 1", "Room 2"]);
        expect(homeserver.counts()["GET /account/whoami"] ?? 0).toBe(whoamis);

        homeserver.sendToDevice(sender, session, "m.test", { n: 5 }, "PHONE");
        await homeserver.waitUntilPolled(session);
        const second = await ask(glissade, session.accessToken, first.extensions.to_device.next_batch, first.pos);
        expect(numbers(second)).toEqual([5]);
        await glissade.kill("SIGTERM");
      },
      LIMIT_MS,
    );
  }

  test(
    "[OPR-9] another secret, another database, and a Go proxy that still runs are refused before anything is taken",
    async () => {
      await using directory = await temporaryDirectory();
      const env = { SYNCV3_DATA: directory.path, SYNCV3_SECRET: "a new secret for a new database" };
      await old.addToken({ userId: "@any:hs.test", deviceId: "D", accessToken: "any" }, Date.now());
      const wrong = await glissadeOf({ ...env, SYNCV3_IMPORT_SECRET: "not the old secret" });
      const refused = async (from: string[], glissade = wrong): Promise<string> => {
        const { code, err } = await glissade.command("import", ...from);
        expect(code).toBe(1);
        return err;
      };
      expect(await refused([goUrl, "--old-is-stopped"])).toContain("opens none of the Go proxy's tokens");
      const empty = await (await withPostgres()).createDatabase();
      expect(await refused([empty])).toContain("no database of the Go proxy");
      const right = await glissadeOf({ ...env, SYNCV3_IMPORT_SECRET: SECRET });
      expect(await refused([goUrl], right)).toContain("Stop it first");
      expect(await right.command("import", goUrl, "--dry-run")).toMatchObject({
        code: 0,
        err: expect.stringContaining("It has to be stopped for the import"),
      });
      expect(await refused([])).toContain("Say which database");
    },
    LIMIT_MS,
  );
});
