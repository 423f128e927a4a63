import { Session } from "node:inspector";
import type { Timers } from "#src/ports/basics.ts";

/** As developer tools read it, in microseconds. */
interface CpuProfile {
  startTime: number;
  endTime: number;
}

const encoder = new TextEncoder();

/** Samples this thread for so long; what comes of it is a `.cpuprofile`. */
export async function profileCpu(seconds: number, timers: Timers): Promise<Uint8Array<ArrayBuffer>> {
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
