import { describe, expect, test } from "bun:test";
import { startAnew, type ReplaceableProcess } from "#src/hosts/start-anew.ts";

interface Call {
  path: string;
  args: string[];
  env: Record<string, string>;
}

function fakeProcess(more: Partial<ReplaceableProcess> = {}) {
  const calls: Call[] = [];
  const process: ReplaceableProcess = {
    execPath: "/usr/bin/bun",
    execArgv: ["--smol"],
    argv: ["bun", "script", "serve"],
    env: { PATH: "/bin", GONE: undefined },
    execve: (path, args, env) => calls.push({ path, args, env }),
    ...more,
  };
  return { process, calls };
}

const SETTINGS = {
  BUN_CONFIG_MAX_HTTP_REQUESTS: "65336",
  BUN_GC_TIMER_INTERVAL: "600000",
  MIMALLOC_PURGE_HOLES_MIN_INTERVAL: "20000",
  MIMALLOC_PURGE_DELAY: "1000",
  BUN_JSC_thresholdForOptimizeAfterWarmUp: "400",
  BUN_JSC_thresholdForOptimizeAfterLongWarmUp: "400",
  BUN_JSC_thresholdForOptimizeSoon: "400",
  BUN_JSC_thresholdForFTLOptimizeAfterWarmUp: "1000000",
  BUN_JSC_thresholdForFTLOptimizeSoon: "16000",
  BUN_JSC_heapGrowthFunctionThresholdInMB: "0",
  BUN_JSC_heapGrowthMaxIncrease: "0.5",
  BUN_JSC_minEdenToOldGenerationRatio: "0.15",
  BUN_JSC_useWarmUpMarkedBlocks: "0",
};

describe("startAnew", () => {
  test("[FET-1] starts the same command again with the limit lifted, from source", () => {
    const { process, calls } = fakeProcess();
    startAnew(process, "/app/src/main.ts");
    expect(calls).toEqual([
      {
        path: "/usr/bin/bun",
        args: ["/usr/bin/bun", "--smol", "/app/src/main.ts", "serve"],
        env: { PATH: "/bin", ...SETTINGS, GLISSADE_STARTED_ANEW: "1" },
      },
    ]);
  });

  test("[FET-1] a compiled executable is its own script", () => {
    const { process, calls } = fakeProcess({ execPath: "/glissade", execArgv: [] });
    startAnew(process, "/$bunfs/root/glissade");
    expect(calls[0]?.args).toEqual(["/glissade", "serve"]);
  });

  test("[FET-1] an operator's own settings stand", () => {
    const { process, calls } = fakeProcess({ env: { BUN_CONFIG_MAX_HTTP_REQUESTS: "1000" } });
    startAnew(process, "/app/src/main.ts");
    expect(calls[0]?.env).toMatchObject({ ...SETTINGS, BUN_CONFIG_MAX_HTTP_REQUESTS: "1000" });

    const whole = fakeProcess({ env: { ...SETTINGS, BUN_GC_TIMER_INTERVAL: "1" } });
    expect(startAnew(whole.process, "/app/src/main.ts")).toBeNull();
    expect(whole.calls).toEqual([]);
  });

  test("[FET-1] never goes round in circles, and says why where it cannot be done", () => {
    const failed = (more: Partial<ReplaceableProcess>): string | null =>
      startAnew(fakeProcess(more).process, "/app/src/main.ts");
    expect(failed({ env: { GLISSADE_STARTED_ANEW: "1" } })).toContain("does not reach");
    expect(failed({ execve: undefined })).toContain("cannot replace");
    expect(failed({ execArgv: ["--watch"] })).toContain("watched");
    const refused = (): never => {
      throw new Error("EPERM");
    };
    expect(failed({ execve: refused })).toBe("EPERM");
  });
});
