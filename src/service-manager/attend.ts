import type { Cancel, Timers } from "#src/ports/basics.ts";
import type { ServiceManager } from "./service-manager.ts";

/** Start-up asks for more time as long as it goes on: migrations of a large database may take long. */
const STARTING_EVERY_MS = 5000;
const STARTING_MORE_MS = 20_000;

/** What the service manager is told about. */
export interface AttendDeps {
  manager: ServiceManager | null;
  timers: Timers;
  /** What keeps the server from serving, but for the database and the homeserver: null when nothing does. */
  problem: () => string | null;
  /** What the start is busy with: null when there is nothing to say. */
  busyWith: () => Promise<string | null>;
}

/** One life of the server, as the service manager sees it. */
export interface Attendance {
  /** Requests are taken at `address`. */
  ready(address: string): void;
  /** It is going to end; nothing is told any more. */
  stopping(): void;
}

/**
 * Keeps the service manager informed: `READY`, `STOPPING`, what the state is, and `WATCHDOG` at half of the interval it
 * asked for, as long as every host is alive. A process whose hosts stay dead goes silent, and is started anew.
 */
export function attend({ manager, timers, problem, busyWith }: AttendDeps): Attendance {
  if (manager === null) return { ready: () => {}, stopping: () => {} };
  let cancel: Cancel = () => {};
  let told = "";
  let [isStarting, isStopping] = [true, false];
  const say = (status: string): void => {
    if (status !== told) manager.tell({ STATUS: status });
    told = status;
  };
  const tellStart = async (): Promise<void> => {
    const what = await busyWith();
    if (isStarting) say(what === null ? "starting" : `starting: ${what}`);
  };
  const starting = (): void => {
    manager.tell({ EXTEND_TIMEOUT_USEC: String(STARTING_MORE_MS * 1000) });
    cancel = timers.after(STARTING_EVERY_MS, () => {
      starting();
      void tellStart();
    });
  };
  const watch = (status: string, everyMs: number): void => {
    cancel = timers.after(everyMs, () => {
      const wrong = problem();
      say(wrong ?? status);
      if (wrong === null) manager.tell({ WATCHDOG: "1" });
      watch(status, everyMs);
    });
  };
  say("starting");
  starting();
  return {
    ready(address) {
      if (isStopping) return;
      isStarting = false;
      cancel();
      const status = `serving clients on ${address}`;
      told = status;
      manager.tell({ READY: "1", STATUS: status });
      if (manager.watchdogMs !== null) watch(status, manager.watchdogMs / 2);
    },
    stopping() {
      [isStarting, isStopping] = [false, true];
      cancel();
      manager.tell({ STOPPING: "1", STATUS: "ending: requests under way are answered" });
    },
  };
}
