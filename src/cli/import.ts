import type { Config } from "#src/config.ts";
import type { ImportRequest } from "#src/hosts/tools/import-host.ts";
import { refuseArguments } from "./command.ts";
import type { Command, Terminal } from "./command.ts";
import { withTool } from "./tool-command.ts";

const DRY_RUN = "--dry-run";
const STOPPED = "--old-is-stopped";

/** `glissade import`. */
export function importCommand(
  importDevices: (config: Config, request: ImportRequest, terminal: Terminal) => Promise<void>,
): Command {
  const command: Command = {
    name: "import",
    usage: ["import [<database of the Go proxy>] [--dry-run] [--old-is-stopped]"],
    help: [
      "take over tokens, positions, to-device messages and device lists from the database of the Go",
      "proxy (matrix-org/sliding-sync), given as its SYNCV3_DB, so that nobody has to log in again or",
      "loses a key. Both servers have to be stopped. Can be repeated, after an interruption too;",
      "--dry-run only says what would be taken",
    ],
    run: async (args, terminal) => {
      const options = args.filter((arg) => arg.startsWith("--"));
      const [from = null, ...more] = args.filter((arg) => !arg.startsWith("--"));
      if (more.length > 0 || options.some((option) => option !== DRY_RUN && option !== STOPPED)) {
        return refuseArguments(command, terminal);
      }
      const request = { from, isDryRun: options.includes(DRY_RUN), isOldStopped: options.includes(STOPPED) };
      return withTool(terminal, (config) => importDevices(config, request, terminal));
    },
  };
  return command;
}
