import type { Config } from "#src/config.ts";
import { refuseArguments } from "./command.ts";
import type { Command, Terminal } from "./command.ts";
import { withTool } from "./tool-command.ts";

type Tool<Argument> = (config: Config, argument: Argument, terminal: Terminal) => Promise<void>;

/** A command that takes one flag or nothing. */
function flagged(command: Omit<Command, "run">, flag: string, run: Tool<boolean>): Command {
  return {
    ...command,
    run: async (args, terminal) => {
      const [option, ...more] = args;
      if (more.length > 0 || (option !== undefined && option !== flag)) return refuseArguments(command, terminal);
      return withTool(terminal, (config) => run(config, option === flag, terminal));
    },
  };
}

/** `glissade db stats`. */
export const dbStatsCommand = (run: Tool<boolean>): Command =>
  flagged(
    {
      name: "db stats",
      usage: ["db stats [--json]"],
      help: [
        "say how large the database is: by table and index, by what is stored, the largest rooms, the",
        "devices for which most waits. The server may run",
      ],
    },
    "--json",
    run,
  );

/** `glissade db vacuum`. */
export const dbVacuumCommand = (run: Tool<boolean>): Command =>
  flagged(
    {
      name: "db vacuum",
      usage: ["db vacuum [--full]"],
      help: [
        "clear away what is deleted, and count anew what plans are made by; the server may run. With",
        "--full, and of an embedded database that no server uses, all space goes back to the disk; the",
        "server has to be stopped for that",
      ],
    },
    "--full",
    run,
  );

/** A command that takes one thing: a file, or a place. */
const needsOne = (command: Omit<Command, "run">, run: Tool<string>): Command => ({
  ...command,
  run: async (args, terminal) => {
    const [argument, ...more] = args;
    if (argument === undefined || argument.startsWith("--") || more.length > 0) {
      return refuseArguments(command, terminal);
    }
    return withTool(terminal, (config) => run(config, argument, terminal));
  },
});

/** `glissade db port`. */
export const dbPortCommand = (run: Tool<string>): Command =>
  needsOne(
    {
      name: "db port",
      usage: ["db port <connection string or directory>"],
      help: [
        "move everything to another database: from the embedded one to PostgreSQL, back, or from one",
        "PostgreSQL to another. The server has to be stopped; clients go on where they are. Interrupted",
        "and run again it goes on; at the end both are compared",
      ],
    },
    run,
  );

/** `glissade db reopen`. */
export function dbReopenCommand(run: (config: Config, terminal: Terminal) => Promise<void>): Command {
  const command: Command = {
    name: "db reopen",
    usage: ["db reopen"],
    help: [
      "take a database into use again from which everything was moved with db port: for when the other",
      "one is lost or was never used. Else move everything back with db port",
    ],
    run: async (args, terminal) =>
      args.length > 0 ? refuseArguments(command, terminal) : withTool(terminal, (config) => run(config, terminal)),
  };
  return command;
}

/** `glissade backup`. */
export const backupCommand = (run: Tool<string>): Command =>
  needsOne(
    {
      name: "backup",
      usage: ["backup <file>"],
      help: [
        "write what nobody could tell anew to a file: tokens, still sealed, positions, to-device messages",
        "and device lists that wait. The server may run",
      ],
    },
    run,
  );

/** `glissade restore`. */
export const restoreCommand = (run: Tool<string>): Command =>
  needsOne(
    {
      name: "restore",
      usage: ["restore <file>"],
      help: ["put a backup into an empty database; everything else is read from the homeserver anew"],
    },
    run,
  );
