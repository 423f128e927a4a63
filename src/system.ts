import { fullGC } from "bun:jsc";
import { CoarseTimers } from "./coarse-timers.ts";
import type { Cancel, Clock, Rng, Timers } from "#src/ports/basics.ts";

/** The one home of ambient time. */
export const systemClock: Clock = {
  // oxlint-disable-next-line no-restricted-properties -- the Clock port is made here
  now: () => Date.now(),
  mono: () => performance.now(),
};

/** The one home of ambient randomness; for jitter and sampling, never for secrets. */
export const systemRng: Rng = {
  // oxlint-disable-next-line no-restricted-properties -- the Rng port is made here
  next: () => Math.random(),
};

/** `setTimeout` fires at once for anything longer. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/** The one home of ambient timers. */
const exactTimers: Timers = {
  after(delayMs: number, run: () => void): Cancel {
    const timer = setTimeout(run, Math.min(Math.max(delayMs, 0), LONGEST_DELAY_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Timers of the calling thread. */
export const systemTimers: Timers = new CoarseTimers(exactTimers, systemClock);

/** The environment as it is now; read once, by the configuration. */
export function systemEnv(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

/** What `/metrics` tells about the process as a whole. */
export interface ProcessUsage {
  residentBytes: number;
  /** User and system time of all threads. */
  cpuSeconds: number;
  startedAtSeconds: number;
}

/** Resource use of this process, all its Workers included. */
export function processUsage(): ProcessUsage {
  const cpu = process.cpuUsage();
  return {
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (cpu.user + cpu.system) / 1_000_000,
    startedAtSeconds: systemClock.now() / 1000 - process.uptime(),
  };
}

/** Heap of the calling thread, free space in it included in the total. */
export function threadHeap(): { usedBytes: number; totalBytes: number } {
  const { heapUsed, heapTotal } = process.memoryUsage();
  return { usedBytes: heapUsed, totalBytes: heapTotal };
}

/** CPU that the calling thread has used. */
export function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** The calling thread, as far as its garbage goes: all of it is found while the thread stands still, and swept up later. */
export const thisThread = {
  cpuMs: threadCpuMs,
  heapBytes: (): number => threadHeap().totalBytes,
  collect: (): void => {
    fullGC();
  },
};
