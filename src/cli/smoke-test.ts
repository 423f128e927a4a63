import { refuseArguments } from "./command.ts";
import type { Command } from "./command.ts";

/** `glissade --smoke-test`, for who has built or installed the executable. */
export function smokeTestCommand(smokeTest: () => Promise<number>): Command {
  const command: Command = {
    name: "--smoke-test",
    usage: ["--smoke-test"],
    help: ["start every part of the executable once, crash one, and see it come back"],
    run: async (args, terminal) => (args.length > 0 ? refuseArguments(command, terminal) : smokeTest()),
  };
  return command;
}
