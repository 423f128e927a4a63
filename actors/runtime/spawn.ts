import { SyncError } from "#src/errors.ts";
import type { Timers } from "#src/ports/basics.ts";
import type { HostHandle, HostSpawner } from "./host-handle.ts";
import { hostId, type HostRole } from "./placement.ts";

/** What a Worker posts, once, when it listens for what to serve. */
export const THREAD_READY = "thread-ready";

/** Loading the code takes a tenth of a second; a machine under load may take a hundred times that. */
const READY_LIMIT_MS = 30_000;
/** `terminate` ends even a Worker in an endless loop within milliseconds. */
const TERMINATE_LIMIT_MS = 5000;

/** Names the Worker a host runs in: hosts of one name share it, and its fate. */
export type ThreadOf = (role: HostRole, index: number) => string;

/** Each host has a Worker of its own. */
export const ownThread: ThreadOf = hostId;

/** What a Worker is told to serve; its wire to main is the port. */
export interface ServeCommand {
  role: HostRole;
  index: number;
  port: MessagePort;
}

/** Hosts in Workers: each Worker re-enters the one entry file, which is what works from source and compiled alike. */
export function workerSpawner(deps: { timers: Timers; threadOf: ThreadOf }): HostSpawner {
  const threads = new Map<string, Promise<Thread>>();
  const threadFor = (name: string): Promise<Thread> => {
    const running = threads.get(name);
    if (running !== undefined) return running;
    const started = startThread(name, deps.timers);
    threads.set(name, started);
    const forget = (): void => {
      if (threads.get(name) === started) threads.delete(name);
    };
    started.then((thread) => thread.ending.then(forget), forget);
    return started;
  };
  return { spawn: async (role, index) => serveIn(await threadFor(deps.threadOf(role, index)), role, index) };
}

/** One Worker. */
interface Thread {
  readonly worker: Worker;
  /** Hosts it was told to serve and that have not ended. */
  hostCount: number;
  /** Resolves with the reason when it has ended by itself or is being ended. */
  readonly ending: Promise<string>;
  /** Resolves true when nothing of it runs any more, false when it cannot be ended. */
  terminate(): Promise<boolean>;
}

function serveIn(thread: Thread, role: HostRole, index: number): HostHandle {
  const { port1, port2 } = new MessageChannel();
  const command: ServeCommand = { role, index, port: port2 };
  thread.hostCount += 1;
  thread.worker.postMessage(command, [port2]);
  return {
    wire: port1,
    thread,
    onDeath: (listener) => void thread.ending.then(listener),
    terminate: () => thread.terminate(),
    release: async () => {
      thread.hostCount -= 1;
      return thread.hostCount > 0 ? true : thread.terminate();
    },
  };
}

async function startThread(name: string, timers: Timers): Promise<Thread> {
  const worker = new Worker(Bun.main, { argv: [`--thread=${name}`], name });
  const ready = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<true>();
  const ending = Promise.withResolvers<string>();

  worker.addEventListener("error", (event) => ending.resolve(summaryOf(event.message)));
  // A rejection nobody handled ends a Worker with code 0: no end is a good one.
  worker.addEventListener("close", (event) => {
    ending.resolve(`it ended with code ${"code" in event ? String(event.code) : "unknown"}`);
    closed.resolve(true);
  });
  const onMessage = (event: MessageEvent): void => {
    if (event.data === THREAD_READY) ready.resolve();
  };
  worker.addEventListener("message", onMessage);

  const terminate = async (): Promise<boolean> => {
    ending.resolve("its Worker was ended");
    worker.terminate();
    const limit = Promise.withResolvers<false>();
    const cancel = timers.after(TERMINATE_LIMIT_MS, () => limit.resolve(false));
    const isGone = await Promise.race([closed.promise, limit.promise]);
    cancel();
    return isGone;
  };

  const cancel = timers.after(READY_LIMIT_MS, () => ending.resolve(`it was not ready within ${READY_LIMIT_MS} ms`));
  const failure = await Promise.race([ready.promise, ending.promise]);
  cancel();
  worker.removeEventListener("message", onMessage);
  if (failure !== undefined) {
    await terminate();
    throw new SyncError("actor_stopped", `Worker ${name} could not be started: ${failure}`);
  }
  return { worker, hostCount: 0, ending: ending.promise, terminate };
}

/** The error of a Worker arrives with an excerpt of the source around it: the line that says what it was. */
function summaryOf(text: string): string {
  const lines = text.split("\n");
  const line = lines.find((candidate) => /^\w*error: /i.test(candidate)) ?? lines[0] ?? "";
  return line.length > SUMMARY_LENGTH ? `${line.slice(0, SUMMARY_LENGTH)}…` : line;
}

const SUMMARY_LENGTH = 300;
