import { DEFAULT_BIND, readConfig } from "#src/config.ts";
import { PROXIES } from "#src/http/recipes/recipe.ts";
import { routesSnippet, routesTable } from "#src/http/route-list.ts";
import { EXIT, refuseArguments } from "./command.ts";
import type { Command } from "./command.ts";

/** `glissade routes`, also for who has not configured anything yet. */
export const ROUTES: Command = {
  name: "routes",
  usage: [`routes [${PROXIES.map((name) => `--${name}`).join("|")}]`],
  help: [
    "print the paths that a reverse proxy has to send here when it shares a name with the",
    "homeserver, or its configuration",
  ],
  run: async (args, terminal) => {
    const [option, ...rest] = args;
    const proxy = PROXIES.find((name) => option === `--${name}`);
    if (rest.length > 0 || (option !== undefined && proxy === undefined)) return refuseArguments(ROUTES, terminal);
    const read = readConfig(terminal.env, terminal.readFile, terminal.cores);
    const { bind, isForwarding } = "config" in read ? read.config : { bind: DEFAULT_BIND, isForwarding: false };
    terminal.out(proxy === undefined ? routesTable(isForwarding) : routesSnippet(proxy, bind, isForwarding));
    return EXIT.ok;
  },
};
