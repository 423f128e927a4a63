import type { Config } from "#src/config.ts";
import type { ProbedHealth } from "#src/http/probe-health.ts";
import { EXIT, refuseArguments, withConfig } from "./command.ts";
import type { Command } from "./command.ts";

/** `glissade --healthcheck`, as a container's HEALTHCHECK calls it. */
export function healthcheckCommand(probe: (config: Config) => Promise<ProbedHealth>): Command {
  const command: Command = {
    name: "--healthcheck",
    usage: ["--healthcheck"],
    help: ["ask the Glissade that runs with this configuration whether it is ready"],
    run: async (args, terminal) => {
      if (args.length > 0) return refuseArguments(command, terminal);
      return withConfig(terminal, async (config) => {
        const health = await probe(config);
        (health.ready ? terminal.out : terminal.err)(`${health.text}\n`);
        return health.ready ? EXIT.ok : EXIT.failed;
      });
    },
  };
  return command;
}
