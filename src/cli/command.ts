import type { Config, ReadConfig } from "#src/config.ts";
import { readConfig } from "#src/config.ts";
import type { Env, ReadFile } from "#src/config/environment.ts";
import { problemsText } from "#src/config/help.ts";

/** What the process ends with. */
export const EXIT = { ok: 0, failed: 1, unusable: 2 } as const;

/** What every command has of the outside. */
export interface Terminal {
  env: Env;
  readFile: ReadFile;
  cores: number;
  out: (text: string) => void;
  err: (text: string) => void;
  /** What is written to `out` is read by people, on a terminal that shows colours. */
  isColoured?: boolean;
}

/** One thing that `glissade` does: a file in this folder, and an entry in `commands.ts`. */
export interface Command {
  /** The words that call it: `serve`, `config check`, `--version`. */
  name: string;
  /** Other words for it. */
  aliases?: readonly string[];
  /** Forms of its use as `--help` shows them, without `glissade`. */
  usage: readonly string[];
  /** What it does, for `--help`: lines of at most 100 characters. */
  help: readonly string[];
  /** Takes what follows its name, and resolves to the exit code. */
  run: (args: readonly string[], terminal: Terminal) => Promise<number>;
}

/** How commands are called, a line for each form. */
export const formsOf = (commands: readonly Pick<Command, "usage">[]): string =>
  commands.flatMap(({ usage }) => usage.map((form) => `  glissade ${form}\n`)).join("");

/** Says that a command was called in a way it does not know, and how it is called. */
export function refuseArguments(command: Pick<Command, "name" | "usage">, terminal: Terminal): number {
  terminal.err(`glissade ${command.name} is used so:\n${formsOf([command])}`);
  return EXIT.unusable;
}

/** Runs what needs a configuration, of which the homeserver may not be part, or says everything that is wrong with it. */
export async function withConfig(
  terminal: Terminal,
  run: (config: Config, warnings: ReadConfig["warnings"]) => Promise<number>,
  needs: { needsServer?: boolean } = {},
): Promise<number> {
  const read = readConfig(terminal.env, terminal.readFile, terminal.cores, needs);
  if ("config" in read) return run(read.config, read.warnings);
  terminal.err(complaint(read.problems, read.warnings));
  return EXIT.unusable;
}

function complaint(problems: ReadConfig["warnings"], warnings: ReadConfig["warnings"]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const more = warnings.length === 0 ? "" : `\nAlso worth a look:\n\n${problemsText(warnings)}`;
  const demoHint = problems.some(({ name }) => name === "SYNCV3_SERVER")
    ? "\nWithout a homeserver at hand, glissade demo brings one of its own.\n"
    : "";
  return `Glissade cannot start, ${count} in its configuration:\n\n${problemsText(problems)}${more}${demoHint}`;
}
