import type { Problem } from "./environment.ts";
import { ALL_VARIABLES } from "./variables.ts";
import type { Variable } from "./variables.ts";

const GROUPS = [
  "Homeserver",
  "Storage",
  "Listening",
  "Seeing it",
  "Limits",
  "Tuning",
] as const satisfies Variable["group"][];

const HELP_WIDTH = 100;

/** The variables as `--help` shows them. */
export function variablesHelp(): string {
  return GROUPS.map((group) => {
    const entries = ALL_VARIABLES.filter((variable) => variable.group === group).map((variable) => {
      const fallback = plain(variable.fallback);
      const name = variable.hasFileForm ? `${variable.name}, ${variable.name}_FILE` : variable.name;
      return `  ${name}  [${fallback}]\n${wrap(plain(variable.meaning), "      ")}`;
    });
    return `${group}:\n${entries.join("\n")}`;
  }).join("\n\n");
}

/** Problems or warnings, each with what to do. */
export const problemsText = (problems: readonly Problem[]): string =>
  problems.map(({ name, problem, advice }) => `  ${name} ${problem}\n    → ${advice}\n`).join("");

/** For a terminal: a link is the name of its page. */
const plain = (markdown: string): string =>
  markdown.replaceAll("`", "").replaceAll(/\[([^\]]+)\]\(([^)]+)\)/gu, "$1 (docs/$2)");

function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    if (line.length + word.length + 1 > HELP_WIDTH) {
      lines.push(line);
      line = indent;
    }
    line += line === indent ? word : ` ${word}`;
  }
  return [...lines, line].join("\n");
}
