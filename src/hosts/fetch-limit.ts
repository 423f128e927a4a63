/** Bun's own limit is 256 requests in flight for the whole process, and each device on line holds one. */
const MAX_HTTP_REQUESTS = "65336";
const VARIABLE = "BUN_CONFIG_MAX_HTTP_REQUESTS";
/** Set by us before we start anew: a variable that then still is missing would have us start for ever. */
const MARK = "GLISSADE_STARTED_ANEW";
/**
 * The engine's most expensive compiler is kept for the hottest loops, such as those that read sync bodies. Each host compiles
 * for itself, and after a start that took a third of all CPU, for code that is no faster by it.
 */
const COMPILER = "BUN_JSC_thresholdForFTLOptimizeAfterWarmUp";
const COMPILE_FROM = "1000000";

/** The process as far as it can replace itself. */
export interface ReplaceableProcess {
  readonly execPath: string;
  readonly execArgv: readonly string[];
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  execve?: ((path: string, args: string[], env: Record<string, string>) => unknown) | undefined;
}

/**
 * Lifts the limit, which only the environment a process starts with can do: replaces the process with itself, same pid.
 * Returns only when there is nothing to do (null) or it cannot be done (why).
 */
export function raiseFetchLimit(process: ReplaceableProcess, script: string): string | null {
  if (process.env[VARIABLE] !== undefined) return null;
  if (process.env[MARK] !== undefined) return "the environment does not reach the process it starts";
  if (process.execve === undefined) return "this system cannot replace a process";
  if (process.execArgv.some((argument) => argument === "--watch" || argument === "--hot"))
    return "it is watched by bun";
  const env = {
    [COMPILER]: COMPILE_FROM,
    ...definedOf(process.env),
    [VARIABLE]: MAX_HTTP_REQUESTS,
    [MARK]: "1",
  };
  try {
    process.execve(
      process.execPath,
      [process.execPath, ...scriptArguments(process, script), ...process.argv.slice(2)],
      env,
    );
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return "it was not replaced";
}

/** A compiled executable is its own script. */
function scriptArguments(process: ReplaceableProcess, script: string): string[] {
  return script.includes("/$bunfs/") || script.includes("~BUN") ? [] : [...process.execArgv, script];
}

const definedOf = (env: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
