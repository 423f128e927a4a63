import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { startSynapse, type Synapse, synapseProblem } from "#test/support/synapse.ts";
import { type Chapter, type ChapterFindings, playChapter } from "./chapter.ts";
import { EXTENSIONS } from "./chapters-extensions.ts";
import { LISTS } from "./chapters-lists.ts";
import { MEMBERSHIPS, METADATA } from "./chapters-members.ts";
import { NEWER } from "./chapters-newer.ts";
import { REQUIRED_STATE, TIMELINES } from "./chapters-rooms.ts";
import { WAITING } from "./chapters-waiting.ts";
import { randomChapter } from "./random.ts";

const STEP_MS = 600_000;
const RANDOM_STEPS = 40;
/** The first of the seeds of random histories; printed with every failure. */
const SEED = Number(process.env["GLISSADE_SEED"] ?? 1);
/** How many random histories are played. */
const HISTORIES = Number(process.env["GLISSADE_HISTORIES"] ?? 3);
const seeds = Array.from({ length: HISTORIES }, (_, index) => SEED + index);
const problem = synapseProblem();

describe.skipIf(problem !== null)(
  `Glissade beside Synapse's own simplified sliding sync${problem === null ? "" : ` (${problem})`}`,
  () => {
    let synapse: Synapse;
    let dataDir: string;
    let glissade: GlissadeProcess;

    beforeAll(async () => {
      synapse = await startSynapse({
        stateAfter: true,
        features: { msc4306_enabled: true, msc4354_enabled: true },
      });
      dataDir = await mkdtemp(join(tmpdir(), "glissade-data-"));
      glissade = await GlissadeProcess.create({ SYNCV3_SERVER: synapse.url, SYNCV3_DATA: dataDir });
      await glissade.start();
    }, STEP_MS);

    afterAll(async () => {
      await glissade?.kill();
      await synapse?.stop();
      if (dataDir !== undefined) await rm(dataDir, { recursive: true, force: true });
    }, STEP_MS);

    const play = async (chapter: Chapter): Promise<ChapterFindings> => {
      const found = await playChapter(chapter, synapse, glissade);
      expect(found.steps).toBe(chapter.steps.length);
      // Two devices that ask Synapse are told the same, or the comparison itself is wrong.
      expect(found.control.join("\n")).toBe("");
      expect(found.subject.join("\n")).toBe("");
      return found;
    };

    test("[DIF-1] windows, filters, subscriptions and requests that are asked again", () => play(LISTS), STEP_MS);
    test("[DIF-2] every change of membership", () => play(MEMBERSHIPS), STEP_MS);
    test("[DIF-3] names, avatars, heroes, counts, direct chats and what bumps a room", () => play(METADATA), STEP_MS);
    test("[DIF-4] timelines, gaps, growth of limits, redactions, ignored users", () => play(TIMELINES), STEP_MS);
    test("[DIF-5] required state, its forms and its growth", () => play(REQUIRED_STATE), STEP_MS);
    test("[DIF-6] extensions, their scopes and their switches", () => play(EXTENSIONS), STEP_MS);
    test("[DIF-10] sticky events and thread subscriptions", () => play(NEWER), STEP_MS);
    test("[DIF-11] what is answered at once, what ends a wait, and what does not", () => play(WAITING), STEP_MS);
    for (const seed of seeds)
      test(`[DIF-7] a random history, seed ${seed}`, () => play(randomChapter(seed, RANDOM_STEPS)), STEP_MS);
  },
);
