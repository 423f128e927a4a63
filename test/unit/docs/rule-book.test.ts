import { describe, expect, test } from "bun:test";
import { currentPage } from "#test/support/generated-docs.ts";
import { rulesOf, testsOfRules, titledRules, withTests } from "./rules.ts";

const PAGE = "docs/SPEC.md";
const page = await Bun.file(new URL(`../../../${PAGE}`, import.meta.url)).text();
const rules = rulesOf(page);
const tests = await testsOfRules();

describe("the rule book", () => {
  test("[DOC-20] every rule has a test", () => {
    expect(rules.filter(({ id }) => !tests.has(id)).map(({ id }) => id)).toEqual([]);
  });

  test("[DOC-21] every id in a test title has a rule", () => {
    const known = new Set(rules.map(({ id }) => id));
    expect([...tests.keys()].filter((id) => !known.has(id))).toEqual([]);
  });

  test("[DOC-22] no id stands for two rules; every rule is a sentence of its own, without code of a test's title", () => {
    const ids = rules.map(({ id }) => id);
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([]);
    expect(rules.filter(({ text }) => !/^["“`A-Z0-9$\d].*[.!?`)]$/.test(text)).map(({ id }) => id)).toEqual([]);
    // Names keep their case in backticks, and nothing of a template is left.
    expect(rules.filter(({ text }) => /\$\{|^[A-Z][a-z]*[_./][a-z]/.test(text)).map(({ id }) => id)).toEqual([]);
    expect(rules.filter(({ text }) => text.split(" ").length < 4).map(({ id }) => id)).toEqual([]);
    expect(rules.length).toBeGreaterThan(500);
  });

  test("[DOC-23] the files behind each rule are named (UPDATE_DOCS=1 writes them)", async () => {
    const generated = withTests(page, tests);
    expect(await currentPage(PAGE, generated)).toBe(generated);
  });

  test("[DOC-24] titles are found in every kind of quotes, other brackets are not titles", () => {
    // The ids of this sample are put together here, so that they are none of this file's own titles.
    const id = (name: string): string => `[${name}]`;
    const source = `'A-1 no'; test("${id("A-2")} x"); \`${id("B2-30")} \${x}\`; "${id("low-1")} no"; row["${id("x")}"]; '${id("C-4")} y'`;
    expect(titledRules(source)).toEqual(["A-2", "B2-30", "C-4"]);
  });

  test("[DOC-25] a rule without tests says so, and generated text is replaced, not repeated", () => {
    const text = "<!-- counts --><!-- end of counts -->\n## Area\n\n- **A-1** One.\n- **A-2** Two.\n";
    const found = new Map([["A-1", { titles: 2, files: ["test/unit/a.test.ts"] }]]);
    const once = withTests(text, found);
    expect(once).toContain(
      "- **A-1** One. [2 tests: [unit/a.test](../test/unit/a.test.ts)]\n- **A-2** Two. [0 tests: ]",
    );
    expect(once).toContain("| Area | 2 | 2 |");
    expect(withTests(once, found)).toBe(once);
  });
});
