import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Locator, Page } from "playwright-core";
import type { AuditView, Page as ViewPage } from "#src/admin/api.ts";
import type { Database } from "#db/connection.ts";
import { connectTestDatabase, withPostgres } from "#test/support/database.ts";
import { ConsoleBrowser } from "#test/support/console-browser.ts";
import { DEBIAN_PACKAGES, debianPackages } from "#test/support/debian.ts";
import { SyncFaults } from "#test/support/faulty-homeserver.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { createTestHomeserver, type Session, type TestHomeserver } from "#test/support/homeserver.ts";
import { OtlpReceiver } from "#test/support/otlp-receiver.ts";
import { freePort } from "#test/support/ports.ts";
import { until } from "#test/support/until.ts";

const ADMIN_TOKEN = "operators-sesame-0123";
const SETUP_LIMIT_MS = 300_000;
const TEST_LIMIT_MS = 200_000;
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
/** Of a first sync: so many rooms are several pieces. */
const ROOMS = 200;
const ROOM_BYTES = 20_000;
/** A request that worked longer than half a second is slow. */
const SLOW_MS = 800;
/** Held by the test: a room of this name is stored when it is given up. */
const HELD_ROOM = "!held:test";
const LOCK = 77;
const HOLD_ROOM = `
  create function hold_room() returns trigger language plpgsql as $$
  begin
    if new.room_id = '${HELD_ROOM}' then perform pg_advisory_xact_lock(${LOCK}); end if;
    return new;
  end $$;
  create trigger hold_room before insert on rooms for each row execute function hold_room()`;

const problem = await debianPackages(DEBIAN_PACKAGES.browser);

interface Answer {
  pos: string;
  errcode?: string;
  rooms: Record<string, { name?: string; timeline?: { content: { body?: string } }[] }>;
}

describe.skipIf(problem !== null)(`an operator's console in Chromium${problem === null ? "" : `: ${problem}`}`, () => {
  const cleanup = new AsyncDisposableStack();
  let homeserver: TestHomeserver;
  let faults: SyncFaults;
  let glissade: GlissadeProcess;
  let db: Database;
  let browser: ConsoleBrowser;
  let tab: Page;
  let admin: string;

  beforeAll(async () => {
    homeserver = createTestHomeserver();
    cleanup.defer(() => homeserver.stop());
    faults = new SyncFaults(homeserver);
    const otlp = await OtlpReceiver.start();
    cleanup.defer(() => otlp.stop());
    const database = await (await withPostgres()).createDatabase();
    db = connectTestDatabase(database, { maxConnections: 1 });
    cleanup.defer(() => db.close(1000));
    const port = await freePort();
    admin = `http://127.0.0.1:${port}`;
    glissade = await GlissadeProcess.create({
      SYNCV3_SERVER: homeserver.url,
      SYNCV3_DB: database,
      SYNCV3_SECRET: "a secret for tests",
      SYNCV3_ADMIN: `127.0.0.1:${port}`,
      SYNCV3_ADMIN_TOKEN: ADMIN_TOKEN,
      SYNCV3_OTLP_URL: otlp.url,
    });
    cleanup.defer(async () => void (await glissade.kill()));
    [browser] = await Promise.all([ConsoleBrowser.start(), glissade.start()]);
    cleanup.defer(() => browser.stop());
    await db.query(HOLD_ROOM);
    tab = await browser.open(`${admin}/client/`);
    await tab.getByLabel("Admin token").fill(ADMIN_TOKEN);
    await tab.getByRole("button", { name: "Open" }).click();
    await tab.getByRole("heading", { name: "Overview" }).waitFor();
  }, SETUP_LIMIT_MS);
  afterAll(() => cleanup.disposeAsync(), TEST_LIMIT_MS);

  async function ask(
    { accessToken }: Session,
    { connId = "", pos = "", timeoutMs = 0, traceparent = "" } = {},
  ): Promise<Answer> {
    const query = `timeout=${timeoutMs}${pos === "" ? "" : `&pos=${pos}`}`;
    const answer = await glissade.fetch(`/_matrix/client/unstable/org.matrix.msc3575/sync?${query}`, {
      method: "POST",
      headers: { authorization: `Bearer ${accessToken}`, ...(traceparent === "" ? {} : { traceparent }) },
      body: JSON.stringify({
        conn_id: connId,
        lists: { all: { ranges: [[0, 9]], timeline_limit: 5, required_state: [] } },
      }),
    });
    return (await answer.json()) as Answer;
  }
  const open = (page: string): Promise<unknown> => tab.goto(`${admin}/client/#/${page}`);
  const dialog = (): Locator => tab.getByRole("dialog");
  /** Presses a button, and then what it asks for. */
  async function press(button: Locator, reply: string): Promise<void> {
    await button.click();
    await dialog().getByRole("button", { name: reply, exact: true }).click();
  }
  async function audited(): Promise<string[]> {
    const answer = await fetch(`${admin}/admin/v1/audit`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    const { items } = (await answer.json()) as ViewPage<AuditView>;
    return items.map(({ action, target }) => `${action} ${target}`.trim());
  }

  test(
    "[CNS-102] a first sync is shown from when the homeserver is asked until its last room is stored, with its progress",
    async () => {
      const dana = homeserver.addAccount("dana", "token-of-dana");
      await db.query(`select pg_advisory_lock(${LOCK})`);
      const asked = ask(dana, { timeoutMs: 30_000 }).catch((error: unknown) => String(error));
      await open("pollers");
      const item = tab.getByRole("listitem").filter({ hasText: "@dana:test" });
      await item.getByText("the homeserver is preparing it").waitFor();
      const topic = "x".repeat(ROOM_BYTES);
      const room = (id: string): [string, object] => {
        const event = { sender: "@dana:test", origin_server_ts: 1_700_000_000_000 };
        const events = [
          { ...event, type: "m.room.create", state_key: "", event_id: `$c${id}`, content: { room_version: "11" } },
          {
            ...event,
            type: "m.room.member",
            state_key: "@dana:test",
            event_id: `$m${id}`,
            content: { membership: "join" },
          },
          { ...event, type: "m.room.topic", state_key: "", event_id: `$t${id}`, content: { topic } },
        ];
        return [id, { state: { events }, timeline: { events: [] } }];
      };
      const ids = [...Array.from({ length: ROOMS - 1 }, (_, index) => `!r${index}:test`), HELD_ROOM];
      homeserver.queueResponse(dana, { next_batch: "s1", rooms: { join: Object.fromEntries(ids.map(room)) } });
      const bar = tab.getByRole("progressbar", { name: "First sync of @dana:test" });
      await until("some rooms to be stored", async () => Number(await bar.getAttribute("aria-valuenow")) > 0);
      expect(Number(await bar.getAttribute("aria-valuemax"))).toBe(ROOMS);
      expect(Number(await bar.getAttribute("aria-valuenow"))).toBeLessThan(ROOMS);
      await item.getByText(/^\d+ of 200 rooms, [\d.]+ MB of 4\.\d MB$/).waitFor();
      await browser.inspect(tab, "operator-pollers");
      await db.query(`select pg_advisory_unlock(${LOCK})`);
      await tab.getByText("No first sync runs or waits.").waitFor();
      expect(await asked).toMatchObject({ lists: { all: { count: ROOMS } } });
    },
    TEST_LIMIT_MS,
  );

  test(
    "[CNS-103] what the homeserver sent and nobody can read is shown in the quarantine, with its room and the reason",
    async () => {
      const emil = homeserver.addAccount("emil", "token-of-emil");
      const from = { sender: "@emil:test", origin_server_ts: 1_700_000_000_000 };
      const good = { ...from, type: "m.room.message", event_id: "$good", content: { body: "good" } };
      const member = { ...from, type: "m.room.member", state_key: "@emil:test", content: { membership: "join" } };
      const state = [
        { ...from, type: "m.room.create", state_key: "", event_id: "$create", content: { room_version: "11" } },
        { ...member, event_id: "$member" },
      ];
      const poisoned = { events: [{ ...from, event_id: "$bad", content: {} }, good] };
      homeserver.queueResponse(emil, {
        next_batch: "s1",
        rooms: { join: { "!old:test": { state: { events: state }, timeline: poisoned } } },
      });
      const { rooms } = await ask(emil);
      expect(rooms["!old:test"]?.timeline?.map(({ content }) => content.body)).toEqual(["good"]);
      await open("storage");
      const row = tab.getByRole("row").filter({ hasText: "@emil:test" });
      await row.getByRole("cell", { name: "!old:test", exact: true }).waitFor();
      expect(await row.getByRole("cell").allTextContents()).toEqual([
        expect.stringMatching(/ ago$/),
        expect.stringContaining("@emil:test"),
        "!old:test",
        "join.timeline",
        "no type",
      ]);
      await browser.inspect(tab, "operator-storage");
    },
    TEST_LIMIT_MS,
  );

  test(
    "[CNS-104] a slow request is shown with where its time went, and the trace that it belongs to",
    async () => {
      const slow = homeserver.user("greta");
      homeserver.createRoom("greta", { name: "Slow lane" });
      const stopDelay = homeserver.onRequest(async (seen) => {
        if (seen.route === "/sync" && seen.userId === "@greta:test") await Bun.sleep(SLOW_MS);
        return undefined;
      });
      await ask(slow, { traceparent: `00-${TRACE_ID}-b7ad6b7169203331-01` });
      stopDelay();
      await open("requests");
      const item = tab.getByRole("listitem").filter({ hasText: "@greta:test" });
      await item.getByText(TRACE_ID).waitFor();
      await item.getByText(/msc3575, status 200, first of its connection, 1 room,/).waitFor();
      const text = (await item.textContent()) ?? "";
      const setup = /setup\s*([\d.]+ m?s)/.exec(text)?.[1] ?? text;
      expect(setup).toMatch(/^(?:[89]\d\d ms|\d+\.\d s)$/);
      await browser.inspect(tab, "operator-requests");
    },
    TEST_LIMIT_MS,
  );

  test(
    "[CNS-105] a comparison that is asked for finds what the homeserver never told, and clients have it",
    async () => {
      const ivo = homeserver.user("ivo");
      const roomId = homeserver.createRoom("ivo", { name: "Orchard" });
      const began = await ask(ivo);
      expect(began.rooms[roomId]?.name).toBe("Orchard");
      await homeserver.waitUntilPolled(ivo);
      // The next poll is answered without the change of name.
      faults.next(
        { kind: "altered", alter: (body) => JSON.parse(without(JSON.stringify(body), "m.room.name")) },
        1,
        "@ivo:test",
      );
      homeserver.send("ivo", roomId, "before");
      await until("the poll that is altered", () => faults.plannedCount === 0);
      homeserver.setState("ivo", roomId, "m.room.name", { name: "Vineyard" });
      homeserver.send("ivo", roomId, "after");
      const heard: string[] = [];
      const names = ["Orchard"];
      let { pos } = began;
      const read = async (): Promise<void> => {
        const answer = await ask(ivo, { pos, timeoutMs: 500 });
        ({ pos } = answer);
        heard.push(...(answer.rooms[roomId]?.timeline ?? []).map(({ content }) => content.body ?? ""));
        names.push(answer.rooms[roomId]?.name ?? "Orchard");
      };
      while (!heard.includes("after")) await read();
      expect(new Set(names)).toEqual(new Set(["Orchard"]));

      await open("actions");
      const compare = tab.getByRole("button", { name: "Compare", exact: true });
      await press(compare, "Compare");
      await dialog().locator(".notice.bad:not([hidden])").waitFor();
      await dialog().getByRole("button", { name: "Cancel" }).click();
      await tab.getByLabel("Room id").fill(roomId);
      await press(compare, "Cancel");
      expect(await tab.getByRole("row").filter({ hasText: roomId }).count()).toBe(0);
      await press(compare, "Compare");
      const row = tab.getByRole("group", { name: "Comparisons" }).getByRole("row").filter({ hasText: roomId });
      await row.getByText("1 of 1").waitFor();
      expect(await row.getByRole("cell").last().textContent()).toBe("0");
      while (names.at(-1) === "Orchard") await read();
      expect(names.at(-1)).toBe("Vineyard");
      expect(await audited()).toEqual([`resync room ${roomId}`]);
    },
    TEST_LIMIT_MS,
  );

  test(
    "[CNS-106] a connection is dropped when that is said twice, and its client starts over",
    async () => {
      const jana = homeserver.user("jana");
      const { pos } = await ask(jana, { connId: "kitchen" });
      await open("connections");
      const row = tab.getByRole("row").filter({ hasText: "@jana:test" });
      await row.getByText("kitchen").waitFor();
      const before = await audited();
      await press(row.getByRole("button", { name: "Drop" }), "Cancel");
      await dialog().waitFor({ state: "detached" });
      const next = await ask(jana, { connId: "kitchen", pos });
      expect(next.errcode).toBeUndefined();
      expect(await audited()).toEqual(before);
      await press(row.getByRole("button", { name: "Drop" }), "Drop");
      await row.waitFor({ state: "detached" });
      expect(await ask(jana, { connId: "kitchen", pos: next.pos })).toMatchObject({ errcode: "M_UNKNOWN_POS" });
      expect((await audited())[0]).toStartWith("drop-connection @jana:test");
    },
    TEST_LIMIT_MS,
  );

  test(
    "[CNS-107] a poller is paused and asks the homeserver nothing until it is resumed",
    async () => {
      const kim = homeserver.user("kim");
      const roomId = homeserver.createRoom("kim", { name: "Quiet" });
      const { pos } = await ask(kim);
      await open("pollers");
      const row = tab.getByRole("row").filter({ hasText: "@kim:test" });
      await press(row.getByRole("button", { name: "Pause" }), "Pause");
      await row.getByText("paused", { exact: true }).waitFor();
      homeserver.send("kim", roomId, "unheard");
      const polls = homeserver.syncs(kim).length;
      const paused = await ask(kim, { pos, timeoutMs: 500 });
      expect(paused.rooms).toEqual({});
      expect(homeserver.syncs(kim)).toHaveLength(polls);
      await press(row.getByRole("button", { name: "Resume" }), "Resume");
      const heard = await ask(kim, { pos: paused.pos, timeoutMs: 20_000 });
      expect(heard.rooms[roomId]?.timeline?.map(({ content }) => content.body)).toEqual(["unheard"]);
    },
    TEST_LIMIT_MS,
  );

  test(
    "[CNS-108] a CPU profile is taken of the host that is chosen, unless the question is declined",
    async () => {
      await open("actions");
      await tab.getByLabel("Host").selectOption("ingest:0");
      const before = await audited();
      const button = tab.getByRole("button", { name: "CPU profile", exact: true });
      await press(button, "Cancel");
      await button.click();
      await dialog().getByText("Sample ingest:0 for 10 seconds?").waitFor();
      await tab.keyboard.press("Escape");
      await dialog().waitFor({ state: "detached" });
      await press(tab.getByRole("button", { name: "Heap snapshot", exact: true }), "Cancel");
      expect(await audited()).toEqual(before);
      const download = tab.waitForEvent("download", { timeout: TEST_LIMIT_MS });
      await press(button, "CPU profile");
      const saved = await download;
      expect(saved.suggestedFilename()).toMatch(/^glissade-ingest-0-.*\.cpuprofile$/);
      const profile = (await Bun.file(await saved.path()).json()) as Record<string, unknown[] & number>;
      expect(profile["nodes"]?.length).toBeGreaterThan(0);
      expect((profile["endTime"] ?? 0) - (profile["startTime"] ?? 0)).toBeGreaterThan(9_000_000);
      await tab.getByRole("cell", { name: "profile-cpu" }).waitFor();
      expect((await audited())[0]).toBe("profile-cpu ingest:0 10 s");
    },
    TEST_LIMIT_MS,
  );

  test("[CNS-109] every host says for how long it is up", async () => {
    await open("overview");
    const table = tab.getByRole("group", { name: "Hosts" });
    await table.getByText("main:0").waitFor();
    const rows = table.getByRole("row");
    const [, ...hosts] = await Promise.all((await rows.all()).map((row) => row.getByRole("cell").allTextContents()));
    expect(hosts.map(([host]) => host)).toEqual(["main:0", "ingest:0", "sync:0", "poller:0"]);
    for (const [, upFor] of hosts) expect(upFor).toMatch(/^[\d.]+ (?:ms|s|min)$/);
  });

  test("[CNS-110] none of these pages has anything that axe finds fault with, and none complained", () => {
    expect(browser.violations).toEqual([]);
    expect(browser.problems.filter((text) => !text.includes("400"))).toEqual([]);
  });
});

/** A sync body without the events of one type, wherever they are. */
function without(body: string, type: string): string {
  return JSON.stringify(JSON.parse(body), (_key, value: unknown) =>
    Array.isArray(value) ? value.filter((event: { type?: string }) => event?.type !== type) : value,
  );
}
