import type { Cancel, Timers } from "#src/ports/basics.ts";

/** How often a thread looks at what it has done. */
const LOOK_EVERY_MS = 5000;
/** Less CPU than this between two looks is rest: clients that wait cost a few milliseconds a second. */
const REST_MS = 100;
/** A shorter stretch of work leaves little behind. */
const STRETCH_MS = 300;

/** One thread, as far as its garbage goes. */
export interface WorkingThread {
  /** CPU it has used so far. */
  cpuMs: () => number;
  /** Has everything collected that is garbage, beside whatever else goes on. */
  collect: () => void;
}

/**
 * Has a thread give back what a stretch of work left behind, once when it is over: two hundred clients that connect leave more
 * garbage than they are worth themselves, and nothing else would collect it before as much again is allocated.
 */
export function giveBackAfterWork(thread: WorkingThread, timers: Timers): Cancel {
  let seenMs = thread.cpuMs();
  let stretchMs = 0;
  const look = (): void => {
    const nowMs = thread.cpuMs();
    const spentMs = nowMs - seenMs;
    seenMs = nowMs;
    if (spentMs >= REST_MS) stretchMs += spentMs;
    else if (stretchMs >= STRETCH_MS) {
      stretchMs = 0;
      thread.collect();
    }
    cancel = timers.after(LOOK_EVERY_MS, look);
  };
  let cancel = timers.after(LOOK_EVERY_MS, look);
  return () => cancel();
}
