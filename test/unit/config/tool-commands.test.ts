import { describe, expect, test } from "bun:test";
import { EXIT } from "#src/cli/command.ts";
import type { Command } from "#src/cli/command.ts";
import {
  backupCommand,
  dbPortCommand,
  dbReopenCommand,
  dbStatsCommand,
  dbVacuumCommand,
  restoreCommand,
} from "#src/cli/db.ts";
import { importCommand } from "#src/cli/import.ts";
import { SyncError } from "#src/errors.ts";

interface Ran {
  code: number;
  err: string;
  calls: unknown[];
}

/** Runs a command with a configuration that can be used; what it would do is written down. */
async function run(
  make: (run: (config: unknown, argument: unknown) => Promise<void>) => Command,
  args: string[],
  failure: unknown = null,
  env: Record<string, string> = { SYNCV3_SERVER: "https://hs.example.org" },
): Promise<Ran> {
  const ran: Ran = { code: -1, err: "", calls: [] };
  const command = make(async (_config, argument) => {
    ran.calls.push(argument);
    if (failure !== null) throw failure;
  });
  ran.code = await command.run(args, {
    env,
    readFile: () => "",
    cores: 2,
    out: () => undefined,
    err: (text) => void (ran.err += text),
  });
  return ran;
}

describe("commands on the database", () => {
  test("[CLI-30] flags are taken, anything else is refused with the usage", async () => {
    expect(await run(dbStatsCommand, [])).toMatchObject({ code: EXIT.ok, calls: [false] });
    expect(await run(dbStatsCommand, ["--json"])).toMatchObject({ code: EXIT.ok, calls: [true] });
    expect(await run(dbVacuumCommand, ["--full"])).toMatchObject({ code: EXIT.ok, calls: [true] });
    for (const [command, args] of [
      [dbStatsCommand, ["--full"]],
      [dbVacuumCommand, ["--full", "--full"]],
      [dbPortCommand, []],
      [dbPortCommand, ["a", "b"]],
      [dbReopenCommand, ["now"]],
      [backupCommand, ["--now"]],
      [restoreCommand, []],
    ] as const) {
      const refused = await run(command, [...args]);
      expect(refused).toMatchObject({ code: EXIT.unusable, calls: [] });
      expect(refused.err).toContain("is used so:");
    }
    expect(await run(backupCommand, ["file"])).toMatchObject({ code: EXIT.ok, calls: ["file"] });
  });

  test("[OPR-62] they want no homeserver, and say what else is missing", async () => {
    const bare = { SYNCV3_DB: "postgres://db.example.org/glissade" };
    expect(await run(dbStatsCommand, [], null, { ...bare, SYNCV3_SECRET: "sesame sesame sesame" })).toMatchObject({
      code: EXIT.ok,
      calls: [false],
    });
    const refused = await run(dbStatsCommand, [], null, bare);
    expect(refused).toMatchObject({ code: EXIT.unusable, calls: [] });
    expect(refused.err).toContain("SYNCV3_SECRET");
    expect(refused.err).not.toContain("SYNCV3_SERVER");
  });

  test("[CLI-31] an import takes a database or none, and its two flags in any order", async () => {
    expect((await run(importCommand, [])).calls).toEqual([{ from: null, isDryRun: false, isOldStopped: false }]);
    expect((await run(importCommand, ["--old-is-stopped", "url", "--dry-run"])).calls).toEqual([
      { from: "url", isDryRun: true, isOldStopped: true },
    ]);
    expect(await run(importCommand, ["--dryrun"])).toMatchObject({ code: EXIT.unusable, calls: [] });
    expect(await run(importCommand, ["a", "b"])).toMatchObject({ code: EXIT.unusable, calls: [] });
  });

  test("[CLI-32] what goes wrong as expected is one sentence; a bug is not hidden", async () => {
    const failed = await run(restoreCommand, ["file"], new SyncError("invalid_param", "it cannot be used"));
    expect(failed).toMatchObject({ code: EXIT.failed, err: "It cannot be used.\n" });
    const unusable = await run(restoreCommand, ["file"], new SyncError("unusable_setup", "another secret"));
    expect(unusable).toMatchObject({ code: EXIT.unusable, err: "Another secret.\n" });
    expect(await run(restoreCommand, ["file"], new TypeError("a bug")).catch(String)).toContain("a bug");
  });
});
