import type { Cancel, Timers } from "#src/ports/basics.ts";

/** How often a thread at rest looks at what it has done: a stretch of work is seen whole, only later. */
const LOOK_AT_REST_MS = 5000;
/** How often one at work does: what a stretch of work leaves behind is gone soon after its end. */
const LOOK_AT_WORK_MS = 400;
/** Of the time since the last look, less CPU than this part is rest: clients that wait cost some milliseconds a second. */
const REST_PART = 0.02;
/** A shorter stretch of work leaves little behind. */
const STRETCH_MS = 300;
/** What has to have come about since the last collection for the next one to be worth it, and its part of what stayed. */
const WORTH_BYTES = 16 * 1024 * 1024;
const WORTH_PART = 0.4;

/** One thread, as far as its garbage goes. */
export interface WorkingThread {
  /** CPU it has used so far. */
  cpuMs: () => number;
  /** What its heap occupies, garbage and gaps included. */
  heapBytes: () => number;
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
  let keptBytes = thread.heapBytes();
  const give = (): void => {
    if (thread.heapBytes() < keptBytes + Math.max(WORTH_BYTES, keptBytes * WORTH_PART)) return;
    thread.collect();
    keptBytes = thread.heapBytes();
  };
  // What was collected is swept up by and by.
  const noteSwept = (): void => {
    keptBytes = Math.min(keptBytes, thread.heapBytes());
  };
  const lookAfter = (delayMs: number): Cancel =>
    timers.after(delayMs, () => {
      const nowMs = thread.cpuMs();
      const spentMs = nowMs - seenMs;
      seenMs = nowMs;
      const isAtWork = spentMs >= delayMs * REST_PART;
      if (isAtWork) stretchMs += spentMs;
      else {
        if (stretchMs >= STRETCH_MS) give();
        else noteSwept();
        stretchMs = 0;
      }
      cancel = lookAfter(isAtWork ? LOOK_AT_WORK_MS : LOOK_AT_REST_MS);
    });
  // Whoever begins has work to do.
  let cancel = lookAfter(LOOK_AT_WORK_MS);
  return () => cancel();
}
