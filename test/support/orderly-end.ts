import { expect } from "bun:test";
import type { GlissadeProcess } from "./glissade-process.ts";

/** After which a service manager kills. */
const SHUTDOWN_MS = 10_000;
/** Ten times what the end of a process with little in it takes. */
const SHUTDOWN_CPU_MS = 1100;

/**
 * Ends a process with SIGTERM: cleanly, which means that each stage was done within its share of ten seconds, and with no more work than an
 * end is. On a busy machine that takes as long as it takes.
 */
export async function expectOrderlyEnd(glissade: GlissadeProcess, mostCpuMs = SHUTDOWN_CPU_MS): Promise<void> {
  const { code, tookMs, cpuMs } = await glissade.end();
  console.log(`shutdown: ${tookMs} ms, of which ${Math.round(cpuMs)} ms CPU`);
  expect(code).toBe(0);
  expect(tookMs).toBeLessThan(SHUTDOWN_MS);
  expect(cpuMs).toBeLessThan(mostCpuMs);
}
