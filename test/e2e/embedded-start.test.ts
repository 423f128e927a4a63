import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { until } from "#test/support/until.ts";

const LIMIT_MS = 300_000;
/** When a start is killed, counted from the announcement that the database is made, or from its first file. */
const KILLS_AFTER_MS = [0, 40, 120, 250, 400, 600, "the first file"] as const;
/** The engine alone would take more to make the files of a database. */
const PEAK_LIMIT_MIB = 600;

async function peakMebibytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/u.exec(status)?.[1] ?? 0) / 1024;
}

const startIn = (data: string): Promise<GlissadeProcess> =>
  GlissadeProcess.create({ SYNCV3_SERVER: "http://127.0.0.1:1", SYNCV3_DATA: data });

describe("first start with the embedded database", () => {
  test(
    "[EXE-22] unpacks an empty database instead of making one, which would take most of a gigabyte",
    async () => {
      await using directory = await temporaryDirectory();
      const glissade = await startIn(directory.path);
      await glissade.start();
      expect(await peakMebibytes(glissade.pid)).toBeLessThan(PEAK_LIMIT_MIB);
      expect(glissade.output).toContain("creating the embedded database");
      expect(await glissade.kill("SIGTERM")).toBe(0);
      expect(existsSync(join(directory.path, "database.new"))).toBe(false);
    },
    LIMIT_MS,
  );

  test(
    "[EXE-23] killed at any moment of it, the next start makes it anew or goes on",
    async () => {
      await using directory = await temporaryDirectory();
      let drafts = 0;
      for (const [index, moment] of KILLS_AFTER_MS.entries()) {
        const data = join(directory.path, String(index));
        const isBegun = (): boolean => existsSync(join(data, "database.new"));
        const glissade = await startIn(data);
        const start = glissade.start().catch((error: unknown) => error);
        if (moment === "the first file") await until("the first file", isBegun, { everyMs: 1 });
        else {
          await until("the announcement", () => glissade.output.includes("creating the embedded database"));
          await Bun.sleep(moment);
        }
        await glissade.kill();
        await start;
        if (isBegun()) drafts += 1;
        await glissade.start();
        expect(await glissade.kill("SIGTERM")).toBe(0);
      }
      // Otherwise the moment that matters was never hit.
      expect(drafts).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});
