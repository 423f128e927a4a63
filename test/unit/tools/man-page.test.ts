import { expect, test } from "bun:test";
import { COMMANDS } from "#src/cli/commands.ts";
import { ALL_VARIABLES } from "#src/config/variables.ts";
import { manPage } from "../../../tools/man-page.ts";

const page = manPage("1.2.3", "2026-01-31");

test("[PKG-8] the manual page names every command and every variable", () => {
  const plain = page.replaceAll("\\-", "-");
  for (const { usage } of COMMANDS) for (const form of usage) expect(plain).toContain(`.B ${form}\n`);
  for (const { name } of ALL_VARIABLES) expect(page).toContain(`.BR ${name}`);
  expect(page).toStartWith('.TH GLISSADE 1 "2026-01-31" "glissade 1.2.3"');
});

test("[PKG-8] no text of the tables is taken for a request of roff, and no Markdown is left", () => {
  const requests = new Set(page.split("\n").flatMap((line) => (/^[.'](?!\\)(\S+)/.exec(line) ?? []).slice(1)));
  expect([...requests].filter((name) => !["TH", "SH", "TP", "TQ", "B", "BR", "RI", "br"].includes(name))).toEqual([]);
  expect(page).not.toContain("`");
  expect(page).not.toMatch(/\]\(/);
});
