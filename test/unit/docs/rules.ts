const ROOT = new URL("../../../", import.meta.url).pathname;
const RULE = /^- \*\*([A-Z][A-Z0-9]*-\d+)\*\* (.+?)(?: \[(\d+) tests?: .*\])?$/;
/** A title is a string that begins with an id in brackets; those of `describe` and of `test` alike. */
const TITLE = /["'`]\[([A-Z][A-Z0-9]*-\d+)\] ?[^"'`]/g;

/** One line of the rule book. */
export interface Rule {
  id: string;
  text: string;
}

/** Test files by the rule that their titles name, sorted, and how many titles name it. */
export type TestsOfRules = ReadonlyMap<string, { titles: number; files: string[] }>;

/** The rules of a rule book, in its order. */
export const rulesOf = (page: string): Rule[] =>
  page.split("\n").flatMap((line) => {
    const [, id, text] = RULE.exec(line) ?? [];
    return id === undefined || text === undefined ? [] : [{ id, text }];
  });

/** Which test titles name which rule. */
export async function testsOfRules(): Promise<TestsOfRules> {
  const tests = new Map<string, { titles: number; files: string[] }>();
  for (const path of [...new Bun.Glob("test/**/*.ts").scanSync({ cwd: ROOT })].sort())
    for (const id of titledRules(await Bun.file(ROOT + path).text())) {
      const entry = tests.get(id) ?? { titles: 0, files: [] };
      tests.set(id, entry);
      entry.titles += 1;
      if (entry.files.at(-1) !== path) entry.files.push(path);
    }
  return tests;
}

/** The ids in the titles of one test file. */
export const titledRules = (source: string): string[] => [...source.matchAll(TITLE)].map(([, id]) => id ?? "");

/** The rule book with its generated parts written anew: the files behind each rule, and the table of counts. */
export function withTests(page: string, tests: TestsOfRules): string {
  const lines = page.split("\n").map((line) => {
    const [, id, text] = RULE.exec(line) ?? [];
    if (id === undefined || text === undefined) return line;
    const { titles, files } = tests.get(id) ?? { titles: 0, files: [] };
    const links = files.map((path) => `[${path.replace(/^test\//, "").replace(/\.ts$/, "")}](../${path})`);
    return `- **${id}** ${text} [${titles} test${titles === 1 ? "" : "s"}: ${links.join(", ")}]`;
  });
  return lines.join("\n").replace(/(?<=<!-- counts -->)[\s\S]*?(?=<!-- end of counts -->)/, () => {
    const rows = sectionsOf(page).map(({ title, rules }) => {
      const titles = rules.reduce((sum, { id }) => sum + (tests.get(id)?.titles ?? 0), 0);
      return `| ${title} | ${rules.length} | ${titles} |`;
    });
    return `\n| area | rules | tests |\n|---|---|---|\n${rows.join("\n")}\n`;
  });
}

const sectionsOf = (page: string): { title: string; rules: Rule[] }[] =>
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => ({ title: section.split("\n", 1)[0] ?? "", rules: rulesOf(section) }))
    .filter(({ rules }) => rules.length > 0);
