import type { Config } from "#src/config.ts";
import { parseUserId, type UserId } from "#src/protocol/ids.ts";
import { refuseArguments } from "./command.ts";
import type { Command, Terminal } from "./command.ts";
import { withTool } from "./tool-command.ts";

/** `glissade explain`. */
export function explainCommand(
  explain: (config: Config, request: { userId: UserId; isJson: boolean }, terminal: Terminal) => Promise<void>,
): Command {
  const command: Command = {
    name: "explain",
    usage: ["explain @user:server [--json]"],
    help: [
      "tell the state of one user: devices, tokens, pollers, connections, what waits for them, and what",
      "looks wrong. Asks the server that runs with this configuration where SYNCV3_ADMIN is set, else",
      "the database",
    ],
    run: async (args, terminal) => {
      const [user, option, ...more] = args;
      const userId = parseUserId(user);
      if (userId === null || more.length > 0 || (option !== undefined && option !== "--json"))
        return refuseArguments(command, terminal);
      return withTool(terminal, (config) => explain(config, { userId, isJson: option === "--json" }, terminal));
    },
  };
  return command;
}
