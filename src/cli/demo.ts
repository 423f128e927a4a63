import type { Command } from "./command.ts";

/** `glissade demo`; `demo` reads its own options. */
export function demoCommand(demo: (args: readonly string[]) => Promise<number>): Command {
  return {
    name: "demo",
    usage: ["demo"],
    help: ["serve a made-up homeserver and its residents, to look at sliding sync without having one"],
    run: demo,
  };
}
