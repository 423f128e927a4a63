import { Session } from "node:inspector";
import { SyncError } from "#src/errors.ts";
import type { Timers } from "#src/ports/basics.ts";

/** As developer tools read it, in microseconds. */
interface CpuProfile {
  startTime: number;
  endTime: number;
}

const encoder = new TextEncoder();

/** A thread has one profiler, and several hosts may share it: who stops it stops it for all. */
let isSampled = false;

/** Samples this thread for so long; what comes of it is a `.cpuprofile`. */
export async function profileCpu(seconds: number, timers: Timers): Promise<Uint8Array<ArrayBuffer>> {
  if (isSampled) throw new SyncError("limit_exceeded", "a profile of this thread is being made: wait for its end");
  isSampled = true;
  try {
    return await sample(seconds, timers);
  } finally {
    isSampled = false;
  }
}

async function sample(seconds: number, timers: Timers): Promise<Uint8Array<ArrayBuffer>> {
  const session = new Session();
  session.connect();
  try {
    await post(session, "Profiler.enable");
    await post(session, "Profiler.start");
    await new Promise<void>((resolve) => {
      timers.after(seconds * 1000, resolve);
    });
    const { profile } = (await post(session, "Profiler.stop")) as { profile: CpuProfile };
    // A thread that only slept was not sampled, and says that no time went by.
    const endTime = Math.max(profile.endTime, profile.startTime + seconds * 1_000_000);
    return encoder.encode(JSON.stringify({ ...profile, endTime }));
  } finally {
    session.disconnect();
  }
}

function post(session: Session, method: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    session.post(method, (error: Error | null, result?: object) => {
      if (error === null) resolve(result);
      else reject(error);
    });
  });
}
