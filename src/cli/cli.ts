import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { nearestName } from "#src/config/nearest-name.ts";
import { systemEnv } from "#src/system.ts";
import { FULL_VERSION } from "#src/version.ts";
import { EXIT, formsOf } from "./command.ts";
import type { Command, Terminal } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { helpText } from "./help.ts";

/** Runs the command that `argv` (without program and script) names; resolves to the exit code. */
export async function runCli(
  argv: readonly string[],
  terminal: Terminal = systemTerminal(),
  commands: readonly Command[] = COMMANDS,
): Promise<number> {
  const all = withOptions(commands);
  const words = argv.length === 0 ? ["serve"] : argv;
  const command = all.find((each) => namesOf(each).some((name) => isCalled(name, words)));
  if (command !== undefined) {
    const length =
      namesOf(command)
        .find((name) => isCalled(name, words))
        ?.split(" ").length ?? 1;
    return command.run(words.slice(length), terminal);
  }
  const unknown = words.slice(0, 2).join(" ");
  const nearest =
    nearestName(
      unknown,
      all.map(({ name }) => name),
    ) ??
    nearestName(
      words[0] ?? "",
      all.map(({ name }) => name),
    );
  const group = all.filter(({ name }) => name.startsWith(`${words[0]} `));
  if (group.length > 0 && (nearest === null || words.length === 1)) {
    terminal.err(`glissade ${words[0]} is used so:\n${formsOf(group)}`);
    return EXIT.unusable;
  }
  const hint = nearest === null ? "" : `; ${nearest} may be meant`;
  terminal.err(`glissade does not know ${unknown}${hint}. glissade --help shows what there is.\n`);
  return EXIT.unusable;
}

function namesOf({ name, aliases = [] }: Command): readonly string[] {
  return [name, ...aliases];
}

function isCalled(name: string, words: readonly string[]): boolean {
  return name.split(" ").every((word, at) => words[at] === word);
}

/** Those that tell of the program itself belong to every table. */
function withOptions(commands: readonly Command[]): readonly Command[] {
  const help: Command = {
    name: "--help",
    aliases: ["-h", "help"],
    usage: ["--help"],
    help: ["this text"],
    run: async (_args, terminal) => {
      terminal.out(helpText(all));
      return EXIT.ok;
    },
  };
  const version: Command = {
    name: "--version",
    aliases: ["-v", "version"],
    usage: ["--version"],
    help: ["version and commit"],
    run: async (_args, terminal) => {
      terminal.out(`glissade ${FULL_VERSION}\n`);
      return EXIT.ok;
    },
  };
  const all = [...commands, help, version];
  return all;
}

function systemTerminal(): Terminal {
  return {
    env: systemEnv(),
    readFile: (path) => readFileSync(path, "utf8"),
    cores: availableParallelism(),
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isColoured: process.stdout.isTTY,
  };
}
