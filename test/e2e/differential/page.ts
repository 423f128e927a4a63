import { DEVIATIONS } from "./deviations.ts";
import { NOT_COMPARED } from "./view.ts";

/** `docs/synapse-differences.md`, whole. */
export function differencesPage(): string {
  const rows = DEVIATIONS.map(({ name, synapse, glissade, why }) => `| ${name} | ${synapse} | ${glissade} | ${why} |`);
  const open = NOT_COMPARED.map(([what, why]) => `| ${what} | ${why} |`);
  return `# Unlike Synapse

Synapse has simplified sliding sync of its own. A test plays histories on one Synapse, sends the same requests to it and
to Glissade in front of it, and compares the answers field by field (\`test/e2e/differential\`). These are all the
differences that it allows; any other fails it. Random histories are among those it plays (\`GLISSADE_HISTORIES\` in
[CONTRIBUTING](../CONTRIBUTING.md) says how many).

| difference | Synapse | Glissade | why |
|---|---|---|---|
${rows.join("\n")}

What two servers may choose freely is not compared as it is:

| what | why |
|---|---|
${open.join("\n")}

This page is made of \`test/e2e/differential\`: \`UPDATE_DOCS=1 bun test test/e2e/differential/view.test.ts\` writes it anew.
`;
}
