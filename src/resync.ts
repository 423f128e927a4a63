import type { Clock, Timers } from "#src/ports/basics.ts";
import type { RepairProgress, RepairStore, RepairTarget } from "#src/ports/repair.ts";
import { parseRoomId, parseUserId } from "#src/protocol/ids.ts";

/** How often progress is looked at. */
const LOOK_MS = 1000;
/** A server that runs sees a request within seconds. */
const UNSEEN_MS = 60_000;

/** What `glissade resync` needs of the outside. */
export interface ResyncDeps {
  store: Pick<RepairStore, "ask" | "progress">;
  clock: Clock;
  timers: Timers;
  out: (text: string) => void;
  err: (text: string) => void;
}

/** Reads `room <id>`, `user <id>` or `all`; null when it is none of these. */
export function readTarget(args: readonly string[]): RepairTarget | null {
  const [kind, id, ...rest] = args;
  if (rest.length > 0) return null;
  if (kind === "all") return id === undefined ? { kind, target: "" } : null;
  if (kind === "room") return parseRoomId(id) === null ? null : { kind, target: id ?? "" };
  if (kind === "user") return parseUserId(id) === null ? null : { kind, target: id ?? "" };
  return null;
}

/** Asks the server that runs on this database for a repair and tells how it goes; true when every room was compared. */
export async function runResync(target: RepairTarget, deps: ResyncDeps): Promise<boolean> {
  const id = await deps.store.ask(target, deps.clock.now());
  const startedMs = deps.clock.mono();
  let told = "";
  for (;;) {
    const progress = await deps.store.progress(id);
    if (progress === null) {
      deps.err("the request is no more: somebody removed it from the database\n");
      return false;
    }
    const line = describeProgress(progress);
    if (line !== told) deps.out(`${line}\n`);
    told = line;
    if (progress.isEnded) return progress.failed === 0;
    if (progress.total === 0 && deps.clock.mono() - startedMs > UNSEEN_MS) {
      deps.err(
        "no server has seen the request within a minute: is Glissade running with this configuration? " +
          "The request is kept, and will be done when it does.\n",
      );
      return false;
    }
    await new Promise<void>((resolve) => {
      deps.timers.after(LOOK_MS, resolve);
    });
  }
}

function describeProgress({ total, done, failed, isEnded }: RepairProgress): string {
  if (total === 0) return isEnded ? "there is no room to compare" : "waiting for the server";
  const rooms = total === 1 ? "1 room" : `${total} rooms`;
  const trouble = failed === 0 ? "" : `, ${failed} could not be read (see the server's log)`;
  return `${done} of ${rooms} compared with the homeserver${trouble}${isEnded ? ": done" : ""}`;
}
