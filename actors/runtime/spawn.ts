import { SyncError } from "#src/errors.ts";
import type { Timers } from "#src/ports/basics.ts";
import type { HostHandle, HostSpawner } from "./host-handle.ts";
import type { HostRole } from "./placement.ts";

/** What a Worker posts, once, when its wire to main is listening. */
export const HOST_READY = "host-ready";

/** Loading the code takes a tenth of a second; a machine under load may take a hundred times that. */
const READY_LIMIT_MS = 30_000;
/** `terminate` ends even a Worker in an endless loop within milliseconds. */
const TERMINATE_LIMIT_MS = 5000;

/** Hosts as Workers: each re-enters the one entry file, which is what works from source and compiled alike. */
export function workerSpawner(deps: { timers: Timers }): HostSpawner {
  return { spawn: (role, index) => spawnWorker(role, index, deps.timers) };
}

async function spawnWorker(role: HostRole, index: number, timers: Timers): Promise<HostHandle> {
  const worker = new Worker(Bun.main, { argv: [`--host=${role}`, `--index=${index}`], name: `${role}:${index}` });
  const ready = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<true>();
  const death = Promise.withResolvers<string>();

  worker.addEventListener("error", (event) => death.resolve(summaryOf(event.message)));
  // A rejection nobody handled ends a Worker with code 0: no end is a good one.
  worker.addEventListener("close", (event) => {
    death.resolve(`it ended with code ${"code" in event ? String(event.code) : "unknown"}`);
    closed.resolve(true);
  });
  const onMessage = (event: MessageEvent): void => {
    if (event.data === HOST_READY) ready.resolve();
  };
  worker.addEventListener("message", onMessage);

  const terminate = async (): Promise<boolean> => {
    worker.terminate();
    const limit = Promise.withResolvers<false>();
    const cancel = timers.after(TERMINATE_LIMIT_MS, () => limit.resolve(false));
    const isGone = await Promise.race([closed.promise, limit.promise]);
    cancel();
    return isGone;
  };

  const cancel = timers.after(READY_LIMIT_MS, () => death.resolve(`it was not ready within ${READY_LIMIT_MS} ms`));
  const failure = await Promise.race([ready.promise, death.promise]);
  cancel();
  worker.removeEventListener("message", onMessage);
  if (failure !== undefined) {
    await terminate();
    throw new SyncError("actor_stopped", `host ${role}:${index} could not be started: ${failure}`);
  }
  return {
    wire: worker,
    onDeath: (listener) => void death.promise.then(listener),
    terminate,
  };
}

/** The error of a Worker arrives with an excerpt of the source around it: the line that says what it was. */
function summaryOf(text: string): string {
  const lines = text.split("\n");
  const line = lines.find((candidate) => /^\w*error: /i.test(candidate)) ?? lines[0] ?? "";
  return line.length > SUMMARY_LENGTH ? `${line.slice(0, SUMMARY_LENGTH)}…` : line;
}

const SUMMARY_LENGTH = 300;
