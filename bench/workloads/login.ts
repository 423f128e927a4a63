import type { Figures, Workload } from "../workload.ts";
import type { Rig } from "../rig.ts";
import { checkFirstAnswer, untilQuiet } from "../rig.ts";
import { median } from "../statistics.ts";

const VIEW = { windowEnd: 19, timelineLimit: 10 };
const NEW_CONNECTIONS = 60;
const PARALLEL_CLIENTS = 8;

async function firstAnswersPerSecond(rig: Rig, durationMs: number): Promise<number> {
  const startedAt = performance.now();
  let answerCount = 0;
  const one = async (index: number): Promise<void> => {
    const client = rig.client(0, VIEW, `p${index}`);
    while (performance.now() - startedAt < durationMs) {
      client.forget();
      await client.poll(0);
      answerCount += 1;
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_CLIENTS }, (_, index) => one(index)));
  return answerCount / ((performance.now() - startedAt) / 1000);
}

async function run(rig: Rig): Promise<Figures> {
  const { server, database, topology } = rig;
  const cpuBefore = server.cpuMs;
  const startedAt = performance.now();
  const { body } = await rig.client(0, VIEW).poll(120_000);
  const firstAnswerMs = performance.now() - startedAt;
  checkFirstAnswer(rig, body, topology.rooms, VIEW);
  await untilQuiet(server);
  const cpuMs = server.cpuMs - cpuBefore;

  const newConnectionMs: number[] = [];
  for (let index = 0; index < NEW_CONNECTIONS; index += 1) {
    const client = rig.client(0, VIEW, `c${index}`);
    const before = performance.now();
    const answer = await client.poll(0);
    newConnectionMs.push(performance.now() - before);
    if (index === 0) checkFirstAnswer(rig, answer.body, topology.rooms, VIEW);
  }
  const perSecond = await firstAnswersPerSecond(rig, rig.isQuick ? 2000 : 8000);
  return {
    first_answer_ms: firstAnswerMs,
    cpu_ms: cpuMs,
    new_connection_ms: median(newConnectionMs),
    first_answers_per_s: perSecond,
    database_mb: (await database.sizeBytes()) / 1e6,
    resident_mb: server.residentBytes / 1e6,
  };
}

/** One account with many rooms logs in; then many connections of it. */
export const login: Workload = {
  name: "login",
  topology: (isQuick) => ({
    users: 1,
    rooms: isQuick ? 200 : 2000,
    usersPerRoom: 1,
    othersPerRoom: 20,
    messages: 20,
  }),
  run,
};
