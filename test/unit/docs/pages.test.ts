import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { allPages, brokenCommands, brokenLinks, brokenPaths, unknownCommands, unknownVariables } from "./pages.ts";
import type { Page } from "./pages.ts";

/** What a newcomer can read in ten minutes; tables that are made of the sources are looked up, not read. */
const LONGEST_GUIDE_LINES = 235;
const MADE_OF_SOURCES = /<!-- imports:.*<!-- end of imports -->/su;
const ROOT = new URL("../../..", import.meta.url).pathname;
const pages = allPages();
const byPath = (a: Page, b: Page): number => (a.path < b.path ? -1 : 1);

/** Every complaint about every page. */
const complaints = (find: (page: Page) => string[]): string[] =>
  pages.flatMap((page) => find(page).map((complaint) => `${page.path}: ${complaint}`));

describe("documentation", () => {
  test("[DOC-1] every link leads somewhere", () => {
    expect(complaints(brokenLinks)).toEqual([]);
  });

  test("[DOC-2] every path in backticks exists", () => {
    expect(complaints(brokenPaths)).toEqual([]);
  });

  test("[DOC-3] every command of npm and Bun can be run", () => {
    expect(complaints(brokenCommands)).toEqual([]);
  });

  test("[DOC-4] every environment variable is one that is read", () => {
    expect(complaints(unknownVariables)).toEqual([]);
  });

  test("[DOC-8] every command of Glissade is one that its command line knows", () => {
    expect(complaints(unknownCommands)).toEqual([]);
  });

  test("[DOC-9] every variable in what is shipped is one that is read", () => {
    const files = ["Dockerfile", ...[...new Bun.Glob("deploy/**/*").scanSync({ cwd: ROOT })].sort()];
    const asPage = (path: string): Page => ({
      path,
      text: `\`\`\`\n${readFileSync(`${ROOT}${path}`, "utf8")}\n\`\`\``,
    });
    const unread = files.flatMap((path) => unknownVariables(asPage(path)).map((name) => `${path}: ${name}`));
    expect(files.length).toBeGreaterThan(5);
    expect(unread).toEqual([]);
  });

  test("[DOC-5] docs/README.md leads to every page of docs", () => {
    const index = pages.find(({ path }) => path === "docs/README.md")?.text ?? "";
    const missing = pages
      .map(({ path }) => path)
      .filter((path) => path.startsWith("docs/") && path !== "docs/README.md")
      .filter((path) => !index.includes(`](${path.slice("docs/".length)})`));
    expect(missing).toEqual([]);
  });

  test("[DOC-7] decisions are numbered without a gap, in docs/README.md as in their titles", () => {
    const index = pages.find(({ path }) => path === "docs/README.md")?.text.replace(/\n {2,}/gu, " ") ?? "";
    const decisions = pages.filter(({ path }) => path.startsWith("docs/decisions/")).toSorted(byPath);
    const expected = decisions.map(({ path, text }, at) => {
      const title = /^# \d+\. (.*)$/mu.exec(text)?.[1] ?? "";
      expect(path).toStartWith(`docs/decisions/${String(at + 1).padStart(4, "0")}-`);
      expect(text).toStartWith(`# ${at + 1}. `);
      return `${at + 1}. [${title}](${path.slice("docs/".length)})`;
    });
    expect([...(index.match(/^\d+\. \[.*\)$/gmu) ?? [])]).toEqual(expected);
  });

  test("[DOC-6] the two guides stay short", () => {
    for (const name of ["ARCHITECTURE.md", "CONTRIBUTING.md"]) {
      const page = pages.find(({ path }) => path === name);
      const read = page?.text.replace(MADE_OF_SOURCES, "").split("\n").length ?? Number.POSITIVE_INFINITY;
      expect(read).toBeLessThanOrEqual(LONGEST_GUIDE_LINES);
    }
  });
});

describe("what is checked in a page", () => {
  const page = (text: string): Page => ({ path: "docs/made-up.md", text });

  test("[DOC-10] links", () => {
    const text =
      "[a](metrics.md) [b](metrics.md#metrics) [c](nowhere.md) [d](../src) [e](https://x/) [f](metrics.md#nowhere) `[g](no)`";
    expect(brokenLinks(page(text))).toEqual(["nowhere.md", "metrics.md#nowhere"]);
    expect(brokenLinks(page("# Two `words`, here\n\n[a](#two-words-here) [b](#three)"))).toEqual(["#three"]);
  });

  test("[DOC-11] paths", () => {
    const good =
      "`src/errors.ts` `errors.ts` `metrics.md` `src/` `actors/*/messages.ts` `src/{cli,main}.ts` `application/json` `a b/c.ts` `.ts` `-actor.ts`";
    expect(brokenPaths(page(good))).toEqual([]);
    const bad = "`src/nowhere.ts` `nowhere.ts` `src/nowhere/` `actors/*/nowhere.ts`";
    expect(brokenPaths(page(bad))).toEqual(["src/nowhere.ts", "nowhere.ts", "src/nowhere/", "actors/*/nowhere.ts"]);
  });

  test("[DOC-12] commands", () => {
    const good =
      "```sh\nnpm start\nnpm test\nbun run check -- unit\nbun bench/main.ts --quick\nbun test test/unit/docs\n```";
    expect(brokenCommands(page(good))).toEqual([]);
    const bad = "`npm run nowhere` `bun run nothing` and `bun test test/nowhere` or `bun tools/nowhere.ts`";
    expect(brokenCommands(page(bad))).toEqual([
      "npm run nowhere",
      "bun run nothing",
      "test/nowhere",
      "tools/nowhere.ts",
    ]);
  });

  test("[DOC-14] commands of Glissade", () => {
    const good =
      "```sh\nSYNCV3_DATA=/x glissade db stats --json\nsudo -u glissade glissade doctor x && glissade\n```\n`systemctl start glissade`";
    expect(unknownCommands(page(good))).toEqual([]);
    const bad = "`glissade fly` `glissade config fly`\n```sh\nA=1 glissade \\\n  walk far\n```";
    expect(unknownCommands(page(bad))).toEqual(["glissade fly", "glissade config fly", "glissade walk far"]);
  });

  test("[DOC-13] environment variables", () => {
    const text = "`SYNCV3_SERVER` `SYNCV3_SECRET_FILE` `SYNCV3_*` `SYNCV3_SERVER_FILE` `SYNCV3_NOTHING=1`";
    expect(unknownVariables(page(text))).toEqual(["SYNCV3_SERVER_FILE", "SYNCV3_NOTHING"]);
  });
});
