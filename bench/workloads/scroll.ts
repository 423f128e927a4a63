import type { Figures, Workload } from "../workload.ts";
import type { Rig } from "../rig.ts";
import { checkFirstAnswer, untilQuiet } from "../rig.ts";
import { median, percentile } from "../statistics.ts";

const STEP_ROOMS = 100;
const TIMELINE_LIMIT = 20;

async function run(rig: Rig): Promise<Figures> {
  const lastEnd = rig.topology.rooms / 2 - 1;
  const view = { windowEnd: STEP_ROOMS - 1, timelineLimit: TIMELINE_LIMIT };
  const client = rig.client(0, view);
  const { body } = await client.poll(120_000);
  checkFirstAnswer(rig, body, rig.topology.rooms, view);
  await untilQuiet(rig.server);

  const stepMs: number[] = [];
  for (let end = 2 * STEP_ROOMS - 1; end <= lastEnd; end += STEP_ROOMS) {
    client.setWindowEnd(end);
    const before = performance.now();
    const answer = await client.poll(0);
    stepMs.push(performance.now() - before);
    // Every step brings a hundred new rooms; an answer without them would be fast for the wrong reason.
    const roomCount = answer.body.toString().split('"initial":true').length - 1;
    if (roomCount !== STEP_ROOMS) throw new Error(`a step brought ${roomCount} rooms instead of ${STEP_ROOMS}`);
  }
  return { step_ms: median(stepMs), step_p90_ms: percentile(stepMs, 0.9) };
}

/** One account with many rooms grows its window step by step. */
export const scroll: Workload = {
  name: "scroll",
  topology: (isQuick) => ({
    users: 1,
    rooms: isQuick ? 800 : 4000,
    usersPerRoom: 1,
    othersPerRoom: 4,
    messages: 20,
  }),
  run,
};
