import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOM_LIST_STATE } from "#test/support/element-x.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { SimplifiedConnection, type WireAnswer, type Wish } from "#test/support/simplified-connection.ts";
import { startSynapse, type Synapse, synapseProblem, type SynapseUser } from "#test/support/synapse.ts";
import { cpuMsOf } from "./process-tree.ts";
import { median } from "./statistics.ts";

/** Rooms are made so many at a time: Synapse takes one write after the other anyway. */
const AT_ONCE = 8;
const STEP = 100;
const NEW_CONNECTIONS = 20;
const QUIET_REQUESTS = 20;
const MESSAGES = 30;
/** Every server is measured so often, in turns, so that whatever else the machine does hits all of them. */
const ROUNDS = 2;

/** What clients of either server ask for: the room list of Element X. */
const wishOf = (end: number): Wish => ({
  lists: { all_rooms: { ranges: [[0, end]], timeline_limit: 1, required_state: ROOM_LIST_STATE, filters: {} } },
  room_subscriptions: {},
  extensions: { account_data: { enabled: true }, receipts: { enabled: true, rooms: ["*"] }, typing: { enabled: true } },
});

/** A server that answers simplified sliding sync, and the processes that work for it. */
interface Subject {
  name: string;
  url: string;
  token: string;
  cpuMs: () => number;
}

/** Times in milliseconds. */
interface Samples {
  newConnection: number[];
  step: number[];
  nothingNew: number[];
  live: number[];
  /** CPU of the server that answers, for one response of twenty rooms and for one of nothing. */
  cpuNew: number[];
  cpuNothing: number[];
}

const timed = async <T>(work: () => Promise<T>): Promise<[T, number]> => {
  const startedMs = performance.now();
  const result = await work();
  return [result, performance.now() - startedMs];
};

function check(answer: WireAnswer, rooms: number, shown: number): void {
  const { count, ops } = answer.lists?.["all_rooms"] ?? { count: 0 };
  const listed = ops?.[0]?.room_ids.length ?? 0;
  if (count !== rooms || listed !== shown) throw new Error(`an answer lists ${listed} of ${count} rooms`);
}

async function makeRooms(alice: SynapseUser, bob: SynapseUser, count: number): Promise<string[]> {
  const rooms: string[] = [];
  const numbers = Array.from({ length: count }, (_, index) => index).values();
  const inTurn = async (): Promise<void> => {
    for (const number of numbers) {
      const room = await bob.createRoom({ preset: "public_chat", name: `Room ${number}` });
      await alice.join(room);
      await bob.say(room, `the only word in ${number}`);
      rooms.push(room);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, inTurn));
  return rooms;
}

/** How long one message takes from its sender's request to the other's long poll. */
async function liveMs({ url, token }: Subject, bob: SynapseUser, rooms: readonly string[]): Promise<number[]> {
  const connection = new SimplifiedConnection(url, token, `live-${performance.now()}`);
  await connection.expect(wishOf(rooms.length - 1));
  const latencies: number[] = [];
  for (let index = 0; index < MESSAGES; index += 1) {
    const room = rooms[(index * 7) % rooms.length] ?? "";
    const text = `live ${index} ${performance.now()}`;
    const startedMs = performance.now();
    const waiting = connection.expect(wishOf(rooms.length - 1), { timeoutMs: 30_000 });
    const said = Bun.sleep(20).then(() => timed(() => bob.say(room, text)));
    for (let answer = await waiting; !JSON.stringify(answer.rooms).includes(text);) {
      answer = await connection.expect(wishOf(rooms.length - 1), { timeoutMs: 30_000 });
    }
    latencies.push(performance.now() - startedMs - 20);
    await said;
  }
  return latencies;
}

async function measure(subject: Subject, rooms: number, samples: Samples): Promise<void> {
  const { url, token } = subject;
  const open = (name: string): SimplifiedConnection =>
    new SimplifiedConnection(url, token, `${name}-${Math.round(performance.now())}`);
  const shown = Math.min(20, rooms);
  const cpuBefore = subject.cpuMs();
  for (let index = 0; index < NEW_CONNECTIONS; index += 1) {
    const [answer, ms] = await timed(() => open(`new-${index}`).expect(wishOf(19)));
    check(answer, rooms, shown);
    samples.newConnection.push(ms);
  }
  samples.cpuNew.push((subject.cpuMs() - cpuBefore) / NEW_CONNECTIONS);
  const growing = open("growing");
  await growing.expect(wishOf(STEP - 1));
  for (let end = 2 * STEP - 1; end < rooms; end += STEP) {
    const [answer, ms] = await timed(() => growing.expect(wishOf(end)));
    check(answer, rooms, end + 1);
    samples.step.push(ms);
  }
  await growing.expect(wishOf(rooms - 1));
  const quietBefore = subject.cpuMs();
  for (let index = 0; index < QUIET_REQUESTS; index += 1) {
    const [answer, ms] = await timed(() => growing.expect(wishOf(rooms - 1)));
    check(answer, rooms, rooms);
    samples.nothingNew.push(ms);
  }
  samples.cpuNothing.push((subject.cpuMs() - quietBefore) / QUIET_REQUESTS);
}

/** The very first answer of a device that the server has never seen, and what one classic sync takes. */
async function firstAnswers(synapse: Synapse, glissade: GlissadeProcess, alice: SynapseUser, rooms: number) {
  const devices = [await alice.logIn(), await alice.logIn(), await alice.logIn()] as const;
  const filter = JSON.stringify({ room: { timeline: { limit: 1 } }, presence: { not_types: ["*"] } });
  const [, classicMs] = await timed(() => devices[0].call("GET", `/sync?${new URLSearchParams({ filter })}`));
  const ask = async (url: string, { accessToken }: SynapseUser): Promise<number> => {
    const [answer, ms] = await timed(() => new SimplifiedConnection(url, accessToken, "first").expect(wishOf(19)));
    check(answer, rooms, Math.min(20, rooms));
    return ms;
  };
  return {
    classicMs,
    synapseMs: await ask(synapse.url, devices[1]),
    glissadeMs: await ask(glissade.url, devices[2]),
    token: devices[2].accessToken,
    synapseToken: devices[1].accessToken,
  };
}

const ms = (values: readonly number[]): string => `${median(values).toFixed(1)} ms`;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { rooms: { type: "string", default: "1000" } } });
  const count = Number(values.rooms);
  const problem = synapseProblem();
  if (problem !== null) {
    console.error(problem);
    return 2;
  }
  const synapse = await startSynapse({ stateAfter: false });
  const dataDir = await mkdtemp(join(tmpdir(), "glissade-bench-"));
  const glissade = await GlissadeProcess.create({ SYNCV3_SERVER: synapse.url, SYNCV3_DATA: dataDir });
  try {
    await glissade.start();
    const [alice, bob] = [await synapse.register("alice"), await synapse.register("bob")];
    const rooms = await makeRooms(alice, bob, count);
    const first = await firstAnswers(synapse, glissade, alice, count);
    const subjects: Subject[] = [
      { name: "Synapse", url: synapse.url, token: first.synapseToken, cpuMs: () => cpuMsOf(synapse.pid) },
      { name: "Glissade", url: glissade.url, token: first.token, cpuMs: () => cpuMsOf(glissade.pid) },
    ];
    const found = subjects.map((): Samples => ({
      newConnection: [],
      step: [],
      nothingNew: [],
      live: [],
      cpuNew: [],
      cpuNothing: [],
    }));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [index, subject] of subjects.entries()) {
        const samples = found[index];
        if (samples === undefined) continue;
        await measure(subject, count, samples);
        samples.live.push(...(await liveMs(subject, bob, rooms)));
      }
    }
    const rows: [label: string, target: string, of: (samples: Samples) => string][] = [
      ["new connection, list [0,19], p50", "6 ms", ({ newConnection }) => ms(newConnection)],
      ["window step of 100, p50", "15 ms", ({ step }) => ms(step)],
      ["nothing new, whole list, p50", "2 ms", ({ nothingNew }) => ms(nothingNew)],
      ["message sent until it is there, p50", "", ({ live }) => ms(live)],
      ["CPU of the server, new connection", "", ({ cpuNew }) => ms(cpuNew)],
      ["CPU of the server, nothing new", "", ({ cpuNothing }) => ms(cpuNothing)],
    ];
    const lines = [
      `| ${count} rooms, Synapse with SQLite | ${subjects.map(({ name }) => name).join(" | ")} | Glissade, at most |`,
      "|---|---|---|---|",
      `| very first answer of a new device | ${ms([first.synapseMs])} | ${ms([first.glissadeMs])} | ${ms([first.classicMs + 500])} |`,
      ...rows.map(([label, target, of]) => `| ${label} | ${found.map(of).join(" | ")} | ${target} |`),
    ];
    console.log(lines.join("\n"));
    return 0;
  } finally {
    await glissade.kill();
    await synapse.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

process.exit(await main());
