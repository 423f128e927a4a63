import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { histories } from "./history.ts";
import { play } from "./play.ts";

/** In the normal suite: a few seconds. */
const SHORT_RUN = 200;
/** A long run: how many histories, and the seed to begin with. */
const { GLISSADE_HISTORIES, GLISSADE_SEED } = process.env;
const RUNS = Number(GLISSADE_HISTORIES ?? SHORT_RUN);
const SEED = GLISSADE_SEED === undefined ? {} : { seed: Number(GLISSADE_SEED) };
/** Of a history on a machine that is busy with other things. */
const SLOW_MS = 1000;
const STEPS = 40;

describe("connections under whole histories", () => {
  test(
    "[ORA-1] agree at rest with an oracle that works everything out anew, and say nothing wrong on the way",
    async () => {
      const property = fc.asyncProperty(histories(STEPS), async (history) => {
        expect(await play(history)).toEqual([]);
      });
      await fc.assert(property, { numRuns: RUNS, ...SEED });
    },
    { timeout: 60_000 + RUNS * SLOW_MS },
  );
});
