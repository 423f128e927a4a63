import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../../..");
const PROXY = join(ROOT, "test/support/naive-proxy.ts");

type Results = { workloads: Record<string, { results: { figures?: Record<string, number>; failure?: string }[] }> };

/** Runs the bench as its user does, on a server whose faults are known. */
async function bench(workloads: readonly string[], fault: string): Promise<Results> {
  const directory = mkdtempSync(join(tmpdir(), "glissade-bench-test-"));
  const file = join(directory, "results.json");
  const peer = `naive=${process.execPath} ${PROXY} ${fault}`;
  const options = ["--no-ours", "--db", "pglite", "--quick", "--json", file, "--peer", peer];
  const child = Bun.spawn({
    cmd: [process.execPath, join(ROOT, "bench/main.ts"), ...workloads, ...options],
    env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "2000" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  await child.exited;
  const results = JSON.parse(readFileSync(file, "utf8")) as Results;
  rmSync(directory, { recursive: true, force: true });
  return results;
}

function figures(results: Results, workload: string): Record<string, number> {
  const [result] = results.workloads[workload]?.results ?? [];
  expect(result?.failure).toBeUndefined();
  return result?.figures ?? {};
}

describe("bench", () => {
  test("[BENCH-1] counts every delivery of a correct server and measures its latency", async () => {
    const results = await bench(["live", "fanin"], "late=150");
    const live = figures(results, "live");
    expect(live).toMatchObject({ lost: 0, doubled: 0, start_over: 0 });
    // Each delivery is 150 ms late, but for what a timer is early; a busy machine adds what it likes.
    expect(live["p50_ms"]).toBeGreaterThan(140);
    expect(live["p99_ms"]).toBeGreaterThanOrEqual(live["p50_ms"] ?? Number.NaN);
    expect(live["p99_ms"]).toBeLessThan(30_000);
    expect(figures(results, "fanin")).toMatchObject({ lost: 0, doubled: 0 });
  }, 240_000);

  test("[BENCH-2] notices doubled events", async () => {
    const results = await bench(["fanin"], "double=100");
    const { lost, doubled } = figures(results, "fanin");
    expect(lost).toBe(0);
    expect(doubled).toBe((5 * 20 * 80) / 100);
  }, 240_000);

  test("[BENCH-3] notices connections that had to start over", async () => {
    const results = await bench(["restart"], "");
    expect(figures(results, "restart")).toMatchObject({ start_over: 60 });
  }, 240_000);
});
