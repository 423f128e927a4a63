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
      const check = async (config: Config): Promise<number> => {
        const health = await probe(config);
        (health.ready ? terminal.out : terminal.err)(`${health.text}\n`);
        return health.ready ? EXIT.ok : EXIT.failed;
      };
      // The demonstration has a homeserver of its own, and is asked by the same command.
      return withConfig(terminal, check, { needsServer: false });
    },
  };
  return command;
}
