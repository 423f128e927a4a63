import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Disk, ElementX, emptyDisk, wakeForPush } from "#test/support/element-x.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { createTestHomeserver } from "#test/support/homeserver.ts";
import { startSynapse, SynapseUser } from "#test/support/synapse.ts";
import { until } from "#test/support/until.ts";

const ROOMS = 500;
const STEP_MS = 240_000;
const PATIENCE = { limitMs: 60_000, everyMs: 10 };
/** Making 500 rooms takes a real Synapse a minute. */
const isSynapse = process.env["GLISSADE_HOMESERVER"] === "synapse";

async function startHomeserver(): Promise<{ url: string; stop: () => Promise<void> }> {
  if (isSynapse) return startSynapse({ stateAfter: false, features: { msc3575_enabled: false } });
  const homeserver = createTestHomeserver({ serverName: "localhost" });
  homeserver.start();
  return homeserver;
}

describe(`Element X, ${ROOMS} rooms on ${isSynapse ? "Synapse" : "the homeserver of the tests"}`, () => {
  let homeserver: Awaited<ReturnType<typeof startHomeserver>>;
  let dataDir: string;
  let glissade: GlissadeProcess;
  let alice: SynapseUser;
  let bob: SynapseUser;
  const rooms: string[] = [];
  /** Every message by its room, in order. */
  const said = new Map<string, string[]>();
  const toDevice: string[] = [];
  const disk: Disk = emptyDisk();
  let app: ElementX;
  const errors: string[] = [];

  const say = async (roomId: string, body: string): Promise<string> => {
    const eventId = await bob.say(roomId, body);
    said.set(roomId, [...(said.get(roomId) ?? []), eventId]);
    return eventId;
  };
  const tell = async (text: string): Promise<void> => {
    toDevice.push(text);
    const messages = { [alice.userId]: { [alice.deviceId]: { text } } };
    await bob.call("PUT", `/sendToDevice/org.example.note/${text}`, { messages });
  };
  /** Rooms where the latest message is missing. */
  const behind = (): string[] =>
    [...said].flatMap(([roomId, ids]) => (app.eventIds(roomId).includes(ids.at(-1) ?? "") ? [] : [roomId]));
  const caughtUp = async (): Promise<void> => {
    await until(`the latest messages of ${behind().length} rooms`, () => behind().length === 0, PATIENCE);
    await until("messages to the device", () => app.toDevice.length >= toDevice.length, PATIENCE);
  };

  beforeAll(async () => {
    homeserver = await startHomeserver();
    [alice, bob] = [
      await SynapseUser.register(homeserver.url, "alice"),
      await SynapseUser.register(homeserver.url, "bob"),
    ];
    for (let index = 0; index < ROOMS; index += 4) {
      const names = [0, 1, 2, 3].map((number) => `Room ${index + number}`);
      rooms.push(...(await Promise.all(names.map((name) => alice.createRoom({ name, preset: "public_chat" })))));
    }
    for (const roomId of rooms.slice(0, 40)) await bob.join(roomId);
    dataDir = await mkdtemp(join(tmpdir(), "glissade-data-"));
    glissade = await GlissadeProcess.create({ SYNCV3_SERVER: homeserver.url, SYNCV3_DATA: dataDir });
    await glissade.start();
    app = new ElementX(glissade.url, alice.accessToken, disk);
  }, STEP_MS);

  afterAll(async () => {
    await app?.stop();
    await glissade?.kill();
    await homeserver?.stop();
    if (dataDir !== undefined) await rm(dataDir, { recursive: true, force: true });
  }, STEP_MS);

  test(
    "[EXC-1] the count is right from the first answer on, and the list grows by a hundred until all of it is there",
    async () => {
      app.start();
      await until("the whole list", () => app.isLoaded, PATIENCE);
      expect(app.requests.map(({ count }) => count)).toEqual(app.requests.map(() => ROOMS));
      expect(app.requests.slice(0, 6).map(({ end, timeoutMs }) => [end, timeoutMs])).toEqual(
        [19, 99, 199, 299, 399, 499].map((end) => [end, 0]),
      );
      expect(app.requests.slice(0, 6).map((request) => request.rooms)).toEqual([20, 80, 100, 100, 100, 100]);
      expect(new Set(rooms.map((roomId) => app.rooms.get(roomId)?.name)).size).toBe(ROOMS);
    },
    STEP_MS,
  );

  test(
    "[EXC-2] nothing is lost or doubled while requests are dropped and sent again",
    async () => {
      for (let round = 0; round < 40; round += 1) {
        await say(rooms[round % 7] ?? "", `message ${round}`);
        app.show(rooms.slice(round % 5, (round % 5) + 3));
        if (round % 4 === 0) await tell(`note${round}`);
        if (round % 3 === 0) await Bun.sleep(15);
      }
      app.show([]);
      await caughtUp();
    },
    STEP_MS,
  );

  test(
    "[EXC-3] after half an hour it goes on from the same place with a small window, and only news comes",
    async () => {
      await app.sleepForHalfAnHour();
      const { pos } = disk.roomList;
      const news = [...rooms.slice(0, 5), ...rooms.slice(30, 35)];
      for (const roomId of news) await say(roomId, "while asleep");
      const before = app.requests.length;
      app.start();
      await until("the whole list", () => app.isLoaded, PATIENCE);
      await caughtUp();
      const after = app.requests.slice(before);
      expect(after[0]).toMatchObject({ end: 19, timeoutMs: 0, pos, count: ROOMS });
      expect(after.reduce((sum, request) => sum + request.rooms, 0)).toBe(news.length);
    },
    STEP_MS,
  );

  test(
    "[EXC-4] the process that a push wakes shares `encryption`, and neither disturbs the other",
    async () => {
      for (let round = 0; round < 3; round += 1) {
        if (round > 0) await app.stop();
        const roomId = rooms[2] ?? "";
        const eventId = await say(roomId, `push ${round}`);
        if (round > 0) await tell(`push${round}`);
        const woken = await wakeForPush(glissade.url, alice.accessToken, disk, { roomId, eventId });
        expect(woken.errors).toEqual([]);
        expect(woken.eventIds).toContain(eventId);
        app.toDevice.push(...woken.toDevice);
        if (round > 0) app.start();
        await caughtUp();
      }
    },
    STEP_MS,
  );

  test(
    "[EXC-5] a client that is started anew goes on from the position on its disk",
    async () => {
      await app.stop();
      errors.push(...app.errors);
      const { rooms: known, toDevice: heard } = app;
      const { pos } = disk.roomList;
      await say(rooms[8] ?? "", "while away");
      await tell("while-away");
      app = new ElementX(glissade.url, alice.accessToken, disk);
      for (const [roomId, room] of known) app.rooms.set(roomId, room);
      app.toDevice.push(...heard);
      app.start();
      await until("the whole list", () => app.isLoaded, PATIENCE);
      await caughtUp();
      expect(app.requests[0]).toMatchObject({ end: 19, timeoutMs: 0, pos, count: ROOMS });
      expect(app.requests.reduce((sum, request) => sum + request.rooms, 0)).toBe(1);
    },
    STEP_MS,
  );

  test(
    "[EXC-6] the same goes on across kills of the server",
    async () => {
      for (let round = 0; round < 3; round += 1) {
        await say(rooms[9] ?? "", `before kill ${round}`);
        await tell(`before-kill${round}`);
        await glissade.kill();
        await say(rooms[10] ?? "", `while dead ${round}`);
        await tell(`while-dead${round}`);
        await glissade.start();
        await say(rooms[11] ?? "", `after kill ${round}`);
        await caughtUp();
      }
    },
    STEP_MS,
  );

  test(
    "[EXC-7] in the whole run there is no error, no hole without a word, and no message twice",
    async () => {
      await app.stop();
      expect([...errors, ...app.errors]).toEqual([]);
      expect(app.toDevice).toEqual(toDevice);
      for (const [roomId, ids] of said) {
        const known = app.rooms.get(roomId)?.events ?? [];
        const heard = known.flatMap((event) =>
          event === null ? null : ids.includes(event.event_id ?? "") ? (event.event_id ?? null) : [],
        );
        const received = heard.filter((id) => id !== null);
        expect(new Set(received).size).toBe(received.length);
        for (const [at, id] of heard.entries()) {
          const next = heard[at + 1];
          if (id !== null && next != null) expect(ids.indexOf(next)).toBe(ids.indexOf(id) + 1);
        }
      }
    },
    STEP_MS,
  );
});
