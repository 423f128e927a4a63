import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { histories } from "./history.ts";
import { play } from "./play.ts";

/** In the normal suite: a few seconds. */
const SHORT_RUN = 200;
/** A long run: how many histories, and the seed to begin with. */
const { GLISSADE_HISTORIES, GLISSADE_SEED } = process.env;
const RUNS = Number(GLISSADE_HISTORIES ?? SHORT_RUN);
/** The short run is the same for everybody; a long one is another each time. */
const FIXED_SEED = 45;
const SEED = GLISSADE_SEED ?? (GLISSADE_HISTORIES === undefined ? FIXED_SEED : undefined);
/** Of a history on a machine that is busy with other things. */
const SLOW_MS = 4000;
const STEPS = 40;

describe("connections under whole histories", () => {
  test(
    "[ORA-1] agree at rest with an oracle that works everything out anew, and say nothing wrong on the way",
    async () => {
      const property = fc.asyncProperty(histories(STEPS), async (history) => {
        expect(await play(history)).toEqual([]);
      });
      await fc.assert(property, { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) });
    },
    { timeout: 60_000 + RUNS * SLOW_MS },
  );
});
