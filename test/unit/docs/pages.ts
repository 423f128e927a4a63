import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { COMMANDS } from "#src/cli/commands.ts";
import { ALL_VARIABLES } from "#src/config/variables.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
const PAGES = ["*.md", "{docs,bench,src,actors,db,test,tools,deploy,web}/**/*.md"];
const FILES = ["*", "{docs,bench,src,actors,db,test,tools,deploy,web}/**/*"];

/** Named in pages, but made by a build, a run or a client, or part of an address. */
const NO_FILES: ReadonlySet<string> = new Set([
  "dist/glissade",
  "glissade-0.1.0.cdx.json",
  "results/postgres.json",
  "results/pglite.json",
  "server.json",
]);

/** One page of documentation. */
export interface Page {
  /** From the top of the repository. */
  path: string;
  text: string;
}

/** All Markdown files of the repository. */
export function allPages(): Page[] {
  return scan(PAGES).map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));
}

const scan = (patterns: readonly string[]): string[] =>
  [...new Set(patterns.flatMap((pattern) => [...new Bun.Glob(pattern).scanSync({ cwd: ROOT })]))].sort();

const FENCE = /^```[\s\S]*?^```/gm;
const withoutCode = (text: string): string => text.replace(FENCE, "").replace(/`[^`\n]*`/g, "");
const inlineCode = (text: string): string[] =>
  [...text.replace(FENCE, "").matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
const allCode = (text: string): string[] => [...inlineCode(text), ...[...text.matchAll(FENCE)].map(([code]) => code)];

/** Links that lead nowhere: relative ones to files, and fragments to headings. */
export function brokenLinks({ path, text }: Page): string[] {
  const links = [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return links.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false;
    const [file = "", fragment] = target.split("#");
    const linked = join(ROOT, normalize(join(dirname(path), file)));
    if (file !== "" && !existsSync(linked)) return true;
    return fragment !== undefined && !headings(file === "" ? text : readFileSync(linked, "utf8")).includes(fragment);
  });
}

/** Fragments by which a page's headings are linked to. */
function headings(text: string): string[] {
  return [...text.replace(FENCE, "").matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** Paths in backticks that do not exist, seen from the top or from the page; a bare file name may be anywhere. */
export function brokenPaths({ path, text }: Page): string[] {
  return inlineCode(text).filter((code) => {
    if (!isPath(code) || NO_FILES.has(code)) return false;
    const candidates = [code, normalize(join(dirname(path), code))];
    if (/[*{]/.test(code)) return !candidates.some((pattern) => scan([pattern]).length > 0);
    if (candidates.some((candidate) => existsSync(join(ROOT, candidate)))) return false;
    return code.includes("/") || !FILE_NAMES.has(code);
  });
}

const FILE_NAMES: ReadonlySet<string> = new Set(scan(FILES).map((path) => path.slice(path.lastIndexOf("/") + 1)));
const TOP_LEVEL: ReadonlySet<string> = new Set(scan(FILES).map((path) => path.split("/")[0] ?? ""));

/** Looks like a path of ours: without spaces and placeholders, beginning in a folder of ours or ending like a file. */
function isPath(code: string): boolean {
  const isSuffix = /^-|^\.\w+$/.test(code);
  if (isSuffix) return false;
  if (!/^[\w.*{},-]+(?:\/[\w.*{},-]+)*\/?$/.test(code)) return false;
  const [first = ""] = code.split("/");
  return /\.(?:ts|mjs|md|sql|json|toml|sh)$/.test(code) || (code.includes("/") && TOP_LEVEL.has(first));
}

/** Commands of npm and Bun in code whose script, file or folder does not exist. */
export function brokenCommands({ text }: Page): string[] {
  const scripts = Object.keys(manifest().scripts);
  return allCode(text).flatMap((code) => missingScripts(code, scripts).concat(missingArguments(code)));
}

function missingScripts(code: string, scripts: readonly string[]): string[] {
  return [...code.matchAll(/\b(?:npm|bun) run ([\w:-]+)|\bnpm (start|test)\b/g)]
    .filter(([, run, short]) => !scripts.includes(run ?? short ?? ""))
    .map(([command]) => command);
}

/** Files and folders given to Bun, which are seen from the top. */
function missingArguments(code: string): string[] {
  return [...code.matchAll(/\bbun(?: --?[\w-]+)*((?: test)?(?: [\w./:-]+)+)/g)]
    .flatMap(([, words = ""]) => words.split(" "))
    .filter((word) => word.includes("/") && /^[\w.]/.test(word))
    .filter((word) => !existsSync(join(ROOT, word)) && !NO_FILES.has(word));
}

function manifest(): { scripts: Record<string, string> } {
  return JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: Record<string, string> };
}

const VARIABLE_NAMES: ReadonlySet<string> = new Set(
  ALL_VARIABLES.flatMap(({ name, hasFileForm }) => (hasFileForm === true ? [name, `${name}_FILE`] : [name])),
);

/** Environment variables in code that nobody reads. */
export function unknownVariables({ text }: Page): string[] {
  const named = allCode(text).flatMap((code) => [...code.matchAll(/SYNCV3_[A-Z0-9_]*[A-Z0-9]/g)].map(([name]) => name));
  return named.filter((name) => !VARIABLE_NAMES.has(name));
}

/** Where a command begins: a line, what joins two, variables set for it, `sudo`. */
const COMMAND = /(?:^|[;|&(] *|\b(?:sudo(?: -u \w+)?|env) +|\b[A-Z0-9_]+=\S* +)glissade((?: +[^\s;|&)]+)*)/gm;

/** Answered before any command is looked for. */
const ALWAYS = new Set(["--help", "--version"]);

/** Commands of Glissade in code that the command line does not know. */
export function unknownCommands({ text }: Page): string[] {
  return allCode(text)
    .map((code) => code.replaceAll(/\\\n\s*/g, " "))
    .flatMap((code) => [...code.matchAll(COMMAND)].map(([, words = ""]) => words.trim().split(/ +/)))
    .filter(([first = ""]) => first !== "" && !ALWAYS.has(first) && !/^[<[$>]/.test(first))
    .filter((words) => !COMMANDS.some(({ name }) => name.split(" ").every((word, at) => words[at] === word)))
    .map((words) => `glissade ${words.join(" ")}`);
}
