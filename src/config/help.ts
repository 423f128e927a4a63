import type { Problem } from "./environment.ts";
import { ALL_VARIABLES } from "./variables.ts";
import type { Variable } from "./variables.ts";

const GROUPS = ["Homeserver", "Storage", "Listening", "Seeing it", "Tuning"] as const satisfies Variable["group"][];

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

/** `docs/configuration.md`, whole. */
export function configurationDoc(): string {
  const sections = GROUPS.map((group) => {
    const rows = ALL_VARIABLES.filter((variable) => variable.group === group).map(
      ({ name, fallback, meaning, hasFileForm }) =>
        `| \`${name}\`${hasFileForm ? `<br>\`${name}_FILE\`` : ""} | ${fallback} | ${meaning} |`,
    );
    return `## ${group}\n\n| variable | default | meaning |\n|---|---|---|\n${rows.join("\n")}\n`;
  });
  return `# Configuration

Glissade is configured by environment variables. Only \`SYNCV3_SERVER\` is required. Names are those of the Go sliding
sync proxy, so that its environment can be kept. \`glissade config check\` reports everything that is wrong, at once, and
what to do about it; a name that is not known is warned about, together with the one that may be meant. An empty variable
counts as not set.

Secrets can be given as files: \`SYNCV3_SECRET_FILE=/run/secrets/glissade\` in place of \`SYNCV3_SECRET\`. White space
around the value is ignored.

${sections.join("\n")}
## Exit codes

| code | meaning |
|---|---|
| 0 | done; after \`SIGTERM\` or \`SIGINT\`, an orderly end |
| 1 | failed: could not start, gave up after too many crashes, not healthy (\`--healthcheck\`) |
| 2 | the command line or the configuration cannot be used |
`;
}

/** Problems or warnings, each with what to do. */
export const problemsText = (problems: readonly Problem[]): string =>
  problems.map(({ name, problem, advice }) => `  ${name} ${problem}\n    → ${advice}\n`).join("");

const plain = (markdown: string): string => markdown.replaceAll("`", "");

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
