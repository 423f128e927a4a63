import type { Config } from "#src/config.ts";
import { problemsText } from "#src/config/help.ts";
import { refuseArguments, withConfig } from "./command.ts";
import type { Command } from "./command.ts";

/** `glissade serve`; `serve` resolves to the exit code when the server has ended. */
export function serveCommand(serve: (config: Config) => Promise<number>): Command {
  const command: Command = {
    name: "serve",
    usage: ["serve"],
    help: ["serve clients (default)"],
    run: async (args, terminal) => {
      if (args.length > 0) return refuseArguments(command, terminal);
      return withConfig(terminal, (config, warnings) => {
        if (warnings.length > 0) terminal.err(problemsText(warnings));
        return serve(config);
      });
    },
  };
  return command;
}
