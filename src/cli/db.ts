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

/** One argument is needed, such as a file or a place. */
export const needsOne = (command: Omit<Command, "run">, run: Tool<string>): Command => ({
  ...command,
  run: async (args, terminal) => {
    const [argument, ...more] = args;
    if (argument === undefined || argument.startsWith("--") || more.length > 0)
      return refuseArguments(command, terminal);
    return withTool(terminal, (config) => run(config, argument, terminal));
  },
});
