import { variablesHelp } from "#src/config/help.ts";
import type { Command } from "./command.ts";

/** Width of the column of names. */
const NAMES = 15;

/** The text of `glissade --help`. */
export function helpText(commands: readonly Command[]): string {
  const isOption = ({ name }: Command): boolean => name.startsWith("--");
  return `Glissade: sliding sync for any Matrix homeserver

Usage: glissade [command]

Commands:
${commands
  .filter((command) => !isOption(command))
  .map(entry)
  .join("")}
Options:
${commands.filter(isOption).map(entry).join("")}
Exit codes: 0 done; 1 failed, not healthy, or done in part; 2 the command line, the configuration, or what it
names (the database with this secret, the data directory) cannot be used: trying again would not help.

Configuration is by environment variables; [in brackets] what holds without them.

${variablesHelp()}
`;
}

/** A short form stands beside its meaning, others above it. */
function entry({ usage, help }: Command): string {
  const [form = ""] = usage;
  const indent = " ".repeat(NAMES + 2);
  const isShort = usage.length === 1 && form.length < NAMES;
  const forms = isShort ? `  ${form.padEnd(NAMES)}` : `${usage.map((each) => `  ${each}\n`).join("")}${indent}`;
  return `${forms}${help.join(`\n${indent}`)}\n`;
}
