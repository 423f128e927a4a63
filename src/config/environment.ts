import { scrub } from "#src/telemetry/scrub.ts";
import { nearestName } from "./nearest-name.ts";
import type { Parsed } from "./values.ts";
import { ALL_VARIABLES, OBSOLETE_VARIABLES } from "./variables.ts";
import type { VariableName } from "./variables.ts";

/** Something about one variable, and what to do about it. */
export interface Problem {
  name: string;
  problem: string;
  advice: string;
}

/** Variables by name; an empty one counts as not set. */
export type Env = Readonly<Record<string, string | undefined>>;

/** The text of a file; throws when it cannot be read. */
export type ReadFile = (path: string) => string;

/** Reads variables and collects everything that is wrong with them. */
export class Environment {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly #env: Env;
  readonly #readFile: ReadFile;
  /** Each variable is read, and complained about, once. */
  readonly #texts = new Map<VariableName, string | null>();

  constructor(env: Env, readFile: ReadFile) {
    this.#env = env;
    this.#readFile = readFile;
    this.#checkNames();
  }

  /** The text of a variable, or of the file that `<name>_FILE` names; null when it is not set. */
  text(name: VariableName): string | null {
    let text = this.#texts.get(name);
    if (text === undefined) {
      text = this.#read(name);
      this.#texts.set(name, text);
    }
    return text;
  }

  #read(name: VariableName): string | null {
    const direct = this.#raw(name);
    const hasFileForm = ALL_VARIABLES.some((variable) => variable.name === name && variable.hasFileForm);
    const path = hasFileForm ? this.#raw(`${name}_FILE`) : null;
    if (path === null) return direct;
    if (direct !== null) {
      this.problem(name, `and ${name}_FILE are both set`, "keep one of them");
      return direct;
    }
    try {
      const text = this.#readFile(path).trim();
      if (text === "") this.problem(`${name}_FILE`, `names an empty file (${path})`, "write the value into it");
      // What is wrong has been said: the value must not be reported as missing too.
      return text === "" ? UNREADABLE : text;
    } catch (error) {
      this.problem(`${name}_FILE`, `cannot be read: ${reasonOf(error)}`, `make ${path} readable for this user`);
      return UNREADABLE;
    }
  }

  /** A variable that is not ours but a standard's. */
  standard(name: string): string | null {
    return this.#raw(name);
  }

  /** A parsed variable; `fallback` when it is not set or cannot be used. */
  parsed<T>(name: VariableName, fallback: T, parse: (text: string) => Parsed<T>): T {
    const text = this.text(name);
    if (text === null || text === UNREADABLE) return fallback;
    const parsed = parse(text);
    if ("value" in parsed) return parsed.value;
    const isSecret = ALL_VARIABLES.some((variable) => variable.name === name && variable.hasFileForm);
    const shown = isSecret ? "" : `: ${JSON.stringify(scrub(text))}`;
    this.problem(name, `has a value that cannot be used${shown}`, parsed.advice);
    return fallback;
  }

  /** Complains when the file that a variable names cannot be read. */
  checkReadable(name: VariableName, path: string): void {
    try {
      this.#readFile(path);
    } catch (error) {
      this.problem(name, `cannot be read: ${reasonOf(error)}`, `make ${path} readable for this user`);
    }
  }

  problem(name: string, problem: string, advice: string): void {
    this.problems.push({ name, problem, advice });
  }

  warn(name: string, problem: string, advice: string): void {
    this.warnings.push({ name, problem, advice });
  }

  #raw(name: string): string | null {
    const text = this.#env[name]?.trim() ?? "";
    return text === "" ? null : text;
  }

  /** A misspelt name would otherwise be a setting that silently does nothing. */
  #checkNames(): void {
    const known = ALL_VARIABLES.flatMap(({ name, hasFileForm }) => (hasFileForm ? [name, `${name}_FILE`] : [name]));
    for (const name of Object.keys(this.#env).sort()) {
      if (!name.startsWith("SYNCV3_") || known.includes(name)) continue;
      const obsolete = OBSOLETE_VARIABLES[name];
      if (obsolete !== undefined) {
        this.warn(name, "has no effect", obsolete);
        continue;
      }
      const nearest = nearestName(name, known);
      this.warn(name, "is not known", nearest === null ? "remove it" : `${nearest} may be meant`);
    }
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Stands for a value whose file is unreadable; no real value is a NUL. */
const UNREADABLE = "\0";
