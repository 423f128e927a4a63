/**
 * What the runtime takes from nowhere but the environment a process starts with. The operator's own values stand. How each
 * was found is told in docs/decisions/0014-the-runtime-is-set-for-a-server-that-mostly-waits.md.
 */
const RUNTIME_SETTINGS: Readonly<Record<string, string>> = {
  /** Bun's own limit is 256 requests in flight for the whole process, and each device on line holds one. */
  BUN_CONFIG_MAX_HTTP_REQUESTS: "65336",
  /**
   * Each thread collects garbage by allocation; besides that, every second, and at rest each half a minute. That takes
   * compiled code along which has not run for some seconds: the next round of long polls would begin by compiling it anew.
   */
  BUN_GC_TIMER_INTERVAL: "600000",
  /** Every park of a thread has another thread look through its memory for pages to give back, each 100 ms at most. */
  MIMALLOC_PURGE_HOLES_MIN_INTERVAL: "20000",
  MIMALLOC_PURGE_DELAY: "1000",
  /** The middle tier of the compiler begins earlier: somebody waits for nearly everything that runs here. */
  BUN_JSC_thresholdForOptimizeAfterWarmUp: "400",
  BUN_JSC_thresholdForOptimizeAfterLongWarmUp: "400",
  BUN_JSC_thresholdForOptimizeSoon: "400",
  /** The last tier of the compiler costs each thread more than it wins, but for code that runs all the time. */
  BUN_JSC_thresholdForFTLOptimizeAfterWarmUp: "1000000",
  BUN_JSC_thresholdForFTLOptimizeSoon: "16000",
  /**
   * A heap would grow to twice or three times what is alive in it before it is collected, and stay as large: what lives on is
   * strewn all over it. It grows by half, on machines with little memory too; all of it is collected when that leaves less than
   * 0.15 for what is young.
   */
  BUN_JSC_heapGrowthFunctionThresholdInMB: "0",
  BUN_JSC_heapGrowthMaxIncrease: "0.5",
  BUN_JSC_minEdenToOldGenerationRatio: "0.15",
  /** A thread beside ours that touches pages before they are needed: all of the work is still done, on a core we want. */
  BUN_JSC_useWarmUpMarkedBlocks: "0",
};
/** Set by us before we start anew: settings that then still are missing would have us start for ever. */
const MARK = "GLISSADE_STARTED_ANEW";

/** The process as far as it can replace itself. */
export interface ReplaceableProcess {
  readonly execPath: string;
  readonly execArgv: readonly string[];
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  execve?: ((path: string, args: string[], env: Record<string, string>) => unknown) | undefined;
}

/**
 * Gives the runtime the settings it lacks: replaces the process with itself, same pid. Returns only when there is nothing to
 * do (null) or it cannot be done (why). `keep` is called last: it saves what would be lost, and says where it is.
 */
export function startAnew(
  process: ReplaceableProcess,
  script: string,
  keep: () => Record<string, string> = () => ({}),
): string | null {
  const missing = Object.entries(RUNTIME_SETTINGS).filter(([name]) => process.env[name] === undefined);
  if (missing.length === 0) return null;
  if (process.env[MARK] !== undefined) return "the environment does not reach the process it starts";
  if (process.execve === undefined) return "this system cannot replace a process";
  if (process.execArgv.some((argument) => argument === "--watch" || argument === "--hot"))
    return "it is watched by bun";
  const env = { ...definedOf(process.env), ...Object.fromEntries(missing), ...keep(), [MARK]: "1" };
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
