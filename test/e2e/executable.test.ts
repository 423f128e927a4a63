import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFile, cp, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { connectTestDatabase, databaseDeps, temporaryDirectory } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { createTestHomeserver, type TestHomeserver } from "#test/support/homeserver.ts";
import { HttpClient } from "#test/support/http-client.ts";
import { untilInFlight } from "#test/support/metrics-page.ts";
import { expectOrderlyEnd } from "#test/support/orderly-end.ts";
import { freePort } from "#test/support/ports.ts";
import type { RigResponse } from "#test/support/sync-rig.ts";
import { nameServed } from "#test/support/tls-name.ts";
import { until } from "#test/support/until.ts";
import { startEmbeddedDatabase } from "#db/embedded.ts";

const LIMIT_MS = 240_000;
/** Parked requests at the time of the shutdown: users, and connections of each. */
const PARKED = { users: 4, connections: 5 } as const;

const PARAMS = { lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } }, extensions: {} };
const SECRET = "the secret its database was first used with";
const fixture = (name: string): string => join(import.meta.dir, "../support/tls", name);

let homeserver: TestHomeserver;
const cleanup = new AsyncDisposableStack();

beforeAll(() => {
  homeserver = createTestHomeserver({ serverName: "hs.test" });
  cleanup.defer(() => homeserver.stop());
});
afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

/** A user with one room, and the token of their device. */
function newUser(name: string): string {
  const session = homeserver.user(name);
  homeserver.createRoom(session, { name: `Room of ${name}` });
  return session.accessToken;
}

async function temporaryFolder(): Promise<string> {
  return cleanup.use(await temporaryDirectory()).path;
}

let prepared: Promise<string> | null = null;

/** A data directory that was used once: nearly the start of one that is in use. */
async function usedData(): Promise<string> {
  prepared ??= prepareData();
  const copy = join(await temporaryFolder(), "data");
  await cp(await prepared, copy, { recursive: true });
  return copy;
}

async function prepareData(): Promise<string> {
  const data = await temporaryFolder();
  const glissade = await glissadeOf({ SYNCV3_DATA: data, SYNCV3_SECRET: SECRET });
  await glissade.start();
  expect(await glissade.kill("SIGTERM")).toBe(0);
  return data;
}

/** A process that is ended with the file at the latest. */
async function glissadeOf(env: Record<string, string>, reach = {}): Promise<GlissadeProcess> {
  const glissade = await GlissadeProcess.create(
    { SYNCV3_SERVER: homeserver.url, SYNCV3_SECRET: SECRET, ...env },
    reach,
  );
  cleanup.defer(async () => void (await glissade.kill()));
  return glissade;
}

/** Why a process did not start; fails when it did. */
async function refusalOf(glissade: GlissadeProcess): Promise<string> {
  try {
    await glissade.start();
  } catch (error) {
    return String(error);
  }
  throw new Error("it started");
}

/** Rooms that a client is told of as if it had never heard of them, or with events; counts may always come again. */
const toldAnew = ({ rooms }: RigResponse): string[] =>
  Object.entries(rooms)
    .filter(([, room]) => room.initial === true || room.timeline !== undefined)
    .map(([roomId]) => roomId);

async function residentMebibytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/u.exec(status)?.[1] ?? 0) / 1024;
}

describe("start", () => {
  test(
    "[EXE-1] on an empty directory and again: ready, the secret its owner's alone, clients go on where they were",
    async () => {
      const data = join(await temporaryFolder(), "made", "by", "glissade");
      const glissade = await glissadeOf({ SYNCV3_DATA: data, SYNCV3_SECRET: "" });
      const firstMs = await glissade.start();
      const client = new HttpClient(glissade, newUser("restarted"), PARAMS);
      expect((await client.sync()).lists["all"]?.count).toBe(1);
      expect((await stat(join(data, "secret"))).mode & 0o777).toBe(0o600);
      expect((await stat(data)).mode & 0o077).toBe(0);
      const residentMiB = await residentMebibytes(glissade.pid);
      expect(await glissade.kill("SIGTERM")).toBe(0);

      const laterMs = await glissade.start();
      // The same position, and nothing is sent again.
      const later = await client.sync();
      expect(toldAnew(later)).toEqual([]);
      const idleMiB = await residentMebibytes(glissade.pid);
      console.log(
        `start: first ${Math.round(firstMs)} ms, later ${Math.round(laterMs)} ms; ` +
          `resident: ${Math.round(residentMiB)} MiB after the first, ${Math.round(idleMiB)} MiB after a later one`,
      );
      expect(glissade.output.match(/"msg":"ready"/gu)).toHaveLength(2);
      expect(await glissade.kill("SIGTERM")).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-2] a second process on the same directory is refused, and the first goes on",
    async () => {
      const data = await usedData();
      const first = await glissadeOf({ SYNCV3_DATA: data });
      await first.start();
      const second = await glissadeOf({ SYNCV3_DATA: data });
      const refusal = await refusalOf(second);
      expect(refusal).toContain("glissade exited with 1");
      expect(refusal).toContain("already uses this data directory");
      expect(refusal).toContain("SYNCV3_DATA");
      const client = new HttpClient(first, newUser("undisturbed"), PARAMS);
      expect((await client.sync()).lists["all"]?.count).toBe(1);
      // Not even kill -9 leaves the directory locked.
      await first.kill("SIGKILL");
      await second.start();
      expect(await second.kill("SIGTERM")).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-3] a database sealed with another secret is refused with exit code 2, and the message says what to do",
    async () => {
      const data = await usedData();
      const wrong = await glissadeOf({ SYNCV3_DATA: data, SYNCV3_SECRET: "some other secret of an operator" });
      const refusal = await refusalOf(wrong);
      expect(refusal).toContain("glissade exited with 2");
      expect(refusal).toContain("SYNCV3_SECRET does not match this database");
      expect(refusal).not.toContain("some other secret of an operator");
      const right = await glissadeOf({ SYNCV3_DATA: data });
      await right.start();
      expect(await right.kill("SIGTERM")).toBe(0);
      expect(right.output).not.toContain(SECRET);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-4] a database of a newer version is refused with exit code 2 and left as it is",
    async () => {
      const data = await usedData();
      const glissade = await glissadeOf({ SYNCV3_DATA: data });
      const change = async (sql: string): Promise<unknown[]> => {
        const embedded = await startEmbeddedDatabase({ dataDir: data, ...databaseDeps });
        const database = connectTestDatabase(embedded.connection, { maxConnections: 1 });
        const rows = await database.query(sql);
        await database.close(1000);
        await embedded.close();
        return rows;
      };
      await change("insert into glissade_migrations (id, name) values (999, '0999_of_the_future')");
      const refusal = await refusalOf(glissade);
      expect(refusal).toContain("glissade exited with 2");
      expect(refusal).toContain("made by a newer version of Glissade (schema 999");
      const left = await change("delete from glissade_migrations where id = 999 returning name");
      expect(left).toEqual([{ name: "0999_of_the_future" }]);
      await glissade.start();
      expect(await glissade.kill("SIGTERM")).toBe(0);
    },
    LIMIT_MS,
  );

  test("[EXE-5] config check tells every problem at once, and what holds when there is none", async () => {
    const broken = await glissadeOf({
      SYNCV3_SERVER: "not a url",
      SYNCV3_BINDADDR: "nowhere",
      SYNCV3_TLS_CERT: "/no/such/cert.pem",
      SYNCV3_LOG_LEVEL: "loud",
    });
    const { code, err } = await broken.command("config", "check");
    expect(code).toBe(2);
    for (const name of ["SYNCV3_SERVER", "SYNCV3_BINDADDR", "SYNCV3_TLS_KEY", "SYNCV3_LOG_LEVEL"]) {
      expect(err).toContain(name);
    }
    const secret = "a secret that is not to be shown";
    const sound = await glissadeOf({ SYNCV3_SECRET: secret, SYNCV3_SERVR: "https://hs.test" });
    const checked = await sound.command("config", "check");
    expect(checked).toMatchObject({ code: 0 });
    expect(checked.out).toContain(homeserver.url);
    expect(checked.out).not.toContain(secret);
    expect(checked.err).toContain("SYNCV3_SERVER");
  });
});

describe("where it listens", () => {
  test(
    "[EXE-10] --healthcheck on a port: unhealthy before, healthy while it runs, unhealthy after",
    async () => {
      const glissade = await glissadeOf({ SYNCV3_DATA: await usedData() });
      expect((await glissade.command("--healthcheck")).code).toBe(1);
      await glissade.start();
      const health = await glissade.command("--healthcheck");
      expect(health).toMatchObject({ code: 0, err: "" });
      expect(JSON.parse(health.out)).toMatchObject({ status: "ready" });
      expect(await glissade.kill("SIGTERM")).toBe(0);
      expect((await glissade.command("--healthcheck")).code).toBe(1);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-15] resync has the server that runs compare its rooms, and says so when none does",
    async () => {
      const glissade = await glissadeOf({ SYNCV3_DATA: await usedData() });
      const token = newUser("resynced");
      await glissade.start();
      await new HttpClient(glissade, token, PARAMS).sync();
      const { code, out } = await glissade.command("resync", "all");
      expect({ code, last: out.trim().split("\n").at(-1) }).toEqual({
        code: 0,
        last: expect.stringMatching(/^\d+ of \d+ rooms? compared with the homeserver: done$/),
      });
      await glissade.kill("SIGTERM");
      const alone = await glissade.command("resync", "all");
      expect(alone.code).toBe(1);
      expect(alone.err).toContain("the server has to run");
    },
    LIMIT_MS,
  );

  test(
    "[EXE-11] TLS with a certificate made by its operator",
    async () => {
      const port = await freePort();
      const glissade = await glissadeOf(
        {
          SYNCV3_DATA: await usedData(),
          SYNCV3_BINDADDR: `127.0.0.1:${port}`,
          SYNCV3_TLS_CERT: fixture("cert.pem"),
          SYNCV3_TLS_KEY: fixture("key.pem"),
        },
        {
          url: `https://127.0.0.1:${port}`,
          // Trusted by name: made for another host than the one it is asked at.
          options: { tls: { ca: await readFile(fixture("cert.pem"), "utf8"), checkServerIdentity: () => undefined } },
        },
      );
      await glissade.start();
      const client = new HttpClient(glissade, newUser("secure"), PARAMS);
      expect((await client.sync()).lists["all"]?.count).toBe(1);
      expect((await glissade.command("--healthcheck")).code).toBe(0);
      const plain = await fetch(`http://127.0.0.1:${port}/health/live`).then(
        (answer) => answer.status,
        () => "refused",
      );
      expect(plain).not.toBe(200);
      expect(await glissade.kill("SIGTERM")).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-16] SIGHUP has a renewed certificate taken up",
    async () => {
      const port = await freePort();
      const directory = await temporaryFolder();
      const install = async (prefix: string): Promise<void> => {
        for (const name of ["cert.pem", "key.pem"]) await copyFile(fixture(prefix + name), join(directory, name));
      };
      await install("");
      const glissade = await glissadeOf(
        {
          SYNCV3_DATA: await usedData(),
          SYNCV3_BINDADDR: `127.0.0.1:${port}`,
          SYNCV3_TLS_CERT: join(directory, "cert.pem"),
          SYNCV3_TLS_KEY: join(directory, "key.pem"),
        },
        { url: `https://127.0.0.1:${port}`, options: { tls: { rejectUnauthorized: false } } },
      );
      await glissade.start();
      expect(await nameServed(port)).toBe("sync.example.org");
      await install("renewed-");
      process.kill(glissade.pid, "SIGHUP");
      const name = (): Promise<string> => nameServed(port).catch(() => "not served");
      await until("the renewed certificate", async () => (await name()) === "renewed.example.org");
      expect(await glissade.kill("SIGTERM")).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-12] unix sockets in both directions",
    async () => {
      const directory = await temporaryFolder();
      const upstream = join(directory, "homeserver.sock");
      const listening = join(directory, "glissade.sock");
      const server = Bun.serve({ unix: upstream, fetch: (request) => homeserver.handle(request) });
      const glissade = await glissadeOf(
        { SYNCV3_SERVER: upstream, SYNCV3_DATA: await usedData(), SYNCV3_BINDADDR: listening },
        { url: "http://localhost", options: { unix: listening } },
      );
      await glissade.start();
      const client = new HttpClient(glissade, newUser("socket"), PARAMS);
      expect((await client.sync()).lists["all"]?.count).toBe(1);
      // Longer than Bun's own idle limit for sockets would be of no use here: the answer must come when its time is up.
      const startedMs = performance.now();
      await client.sync({ timeoutMs: 400 });
      expect(performance.now() - startedMs).toBeGreaterThan(390);
      expect((await glissade.command("--healthcheck")).code).toBe(0);
      expect(await glissade.kill("SIGTERM")).toBe(0);
      expect((await glissade.command("--healthcheck")).code).toBe(1);
      await server.stop(true);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-13] a port that is taken is told, with the address",
    async () => {
      const port = await freePort();
      const other = Bun.serve({ hostname: "127.0.0.1", port, fetch: () => new Response(null, { status: 404 }) });
      const glissade = await glissadeOf({
        SYNCV3_DATA: await usedData(),
        SYNCV3_BINDADDR: `127.0.0.1:${port}`,
      });
      const refusal = await refusalOf(glissade);
      expect(refusal).toContain("glissade exited with 1");
      expect(refusal).toContain(`cannot listen on 127.0.0.1:${port}`);
      await other.stop(true);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-14] a data directory that cannot be written is told",
    async () => {
      const file = join(await temporaryFolder(), "file");
      await Bun.write(file, "not a directory");
      const refusal = await refusalOf(await glissadeOf({ SYNCV3_DATA: file }));
      expect(refusal).toContain("glissade exited with 2");
      expect(refusal).toContain(`${file} is not a directory that can be written`);
      expect(refusal).toContain("SYNCV3_DATA");
    },
    LIMIT_MS,
  );
});

describe("shutdown", () => {
  test(
    "[EXE-20] SIGTERM while requests are parked: each is answered, the exit is clean, and every client goes on",
    async () => {
      const metrics = await freePort();
      const glissade = await glissadeOf({
        SYNCV3_DATA: await usedData(),
        SYNCV3_PROM: `127.0.0.1:${metrics}`,
      });
      await glissade.start();
      const clients: HttpClient[] = [];
      for (let user = 0; user < PARKED.users; user++) {
        const token = newUser(`parked${user}`);
        for (let index = 0; index < PARKED.connections; index++) {
          clients.push(new HttpClient(glissade, token, { ...PARAMS, conn_id: `c${index}` }));
        }
      }
      await Promise.all(clients.map((client) => client.sync()));
      const parked = clients.map((client) => client.sync({ timeoutMs: 60_000 }));
      await untilInFlight(`http://127.0.0.1:${metrics}/metrics`, clients.length);

      const exit = expectOrderlyEnd(glissade);
      const answers = await Promise.all(parked);
      expect(answers.map(({ rooms }) => rooms)).toEqual(clients.map(() => ({})));
      await exit;

      await glissade.start();
      // No connection has to start over: none is told of a room it knows.
      for (const client of clients) expect(toldAnew(await client.sync())).toEqual([]);
      expect(await glissade.kill("SIGTERM")).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-21] SIGTERM while the database is made is a clean end, and the next start makes it",
    async () => {
      const glissade = await glissadeOf({ SYNCV3_DATA: await temporaryFolder() });
      const started = glissade.start().then(
        () => "ready",
        (error: unknown) => String(error),
      );
      await until("the first words", () => glissade.output.includes('"msg":"starting"'));
      // The start goes on to its end meanwhile: five times what that takes.
      await expectOrderlyEnd(glissade, 9000);
      expect(await started).toContain("glissade exited with 0");
      expect(glissade.output).not.toContain('"level":"error"');
      await glissade.start();
      expect(await glissade.kill("SIGTERM")).toBe(0);
    },
    LIMIT_MS,
  );
});
