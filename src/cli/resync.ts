import type { Config } from "#src/config.ts";
import type { RepairTarget } from "#src/ports/repair.ts";
import { readTarget } from "#src/resync.ts";
import { EXIT, refuseArguments, withConfig } from "./command.ts";
import type { Command, Terminal } from "./command.ts";

/** `glissade resync`; `resync` resolves to true when every room was compared. */
export function resyncCommand(
  resync: (config: Config, target: RepairTarget, terminal: Terminal) => Promise<boolean>,
): Command {
  const command: Command = {
    name: "resync",
    usage: ["resync room <room id>", "resync user <user id>", "resync all"],
    help: [
      "have the server that runs with this configuration compare a room, all rooms of a user, or",
      "all rooms with the homeserver, put right what differs, and send clients these rooms anew;",
      "shows how far it is. Nobody is logged out or disconnected. Safe to interrupt: the server",
      "goes on, and after a restart too",
    ],
    run: async (args, terminal) => {
      const target = readTarget(args);
      if (target === null) return refuseArguments(command, terminal);
      const run = async (config: Config): Promise<number> =>
        (await resync(config, target, terminal)) ? EXIT.ok : EXIT.failed;
      return withConfig(terminal, run, { needsServer: false });
    },
  };
  return command;
}
