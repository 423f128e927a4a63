import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { SyncError } from "#src/errors.ts";
import type { Timers } from "#src/ports/basics.ts";

/** Whoever answers at all answers at once. */
const ANSWER_LIMIT_MS = 1000;
const ATTEMPTS = 5;

/** Who holds a directory. */
interface Holder {
  pid: number;
  /** Kernel and process namespace that `pid` means something in. */
  realm: string;
  /** Start of the process: tells it from a later one with the same number. */
  started: string;
}

const readOrEmpty = (read: () => string): string => {
  try {
    return read();
  } catch {
    return "";
  }
};

/** Field 22 of `/proc/PID/stat`; "" where there is no such process or no such file system. */
function startOf(pid: number): string {
  const stat = readOrEmpty(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The second field, a name in parentheses, may hold blanks.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

function self(): Holder {
  const boot = readOrEmpty(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  const namespace = readOrEmpty(() => readlinkSync("/proc/self/ns/pid"));
  return { pid: process.pid, realm: `${boot} ${namespace}`, started: startOf(process.pid) };
}

function parseHolder(text: string): Holder | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return null;
    const { pid, realm, started } = value as Record<string, unknown>;
    return typeof pid === "number" && typeof realm === "string" && typeof started === "string"
      ? { pid, realm, started }
      : null;
  } catch {
    return null;
  }
}

function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** A holder of our own process is an earlier life of this host; its socket tells whether it still serves. */
function isAlive(holder: Holder, own: Holder): boolean {
  if (holder.realm !== own.realm || holder.pid === own.pid) return false;
  return isProcessAlive(holder.pid) && startOf(holder.pid) === holder.started;
}

/** True when a process, of whatever container, accepts connections there. */
export function answers(socketPath: string, timers: Timers): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const settle = (isAnswering: boolean): void => {
      cancel();
      socket.destroy();
      resolve(isAnswering);
    };
    const cancel = timers.after(ANSWER_LIMIT_MS, () => settle(false));
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

function tryCreate(path: string, text: string): boolean {
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  writeFileSync(draft, text, { mode: 0o600, flag: "wx" });
  try {
    // A link appears whole, and never replaces another.
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Takes a dead holder's file away, unless somebody else was faster and already put a new one there. */
function removeStale(path: string, seen: string): void {
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  try {
    if (readOrEmpty(() => readFileSync(aside, "utf8")) !== seen) linkSync(aside, path);
  } catch {
    // A third one has made its own meanwhile.
  } finally {
    rmSync(aside, { force: true });
  }
}

/**
 * Makes sure that no other process uses the directory of `path`; returns what gives it free. A file left behind by a
 * killed process does not count: its holder must be alive, or serve on `socketPath`.
 */
export async function lockDirectory(path: string, socketPath: string, timers: Timers): Promise<() => void> {
  const own = self();
  const text = JSON.stringify(own);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (await answers(socketPath, timers)) throw inUse(path, null);
    if (tryCreate(path, text)) {
      return () => {
        if (readOrEmpty(() => readFileSync(path, "utf8")) === text) rmSync(path, { force: true });
      };
    }
    const seen = readOrEmpty(() => readFileSync(path, "utf8"));
    const holder = parseHolder(seen);
    if (holder !== null && isAlive(holder, own)) throw inUse(path, holder.pid);
    removeStale(path, seen);
  }
  throw inUse(path, null);
}

function inUse(path: string, pid: number | null): SyncError {
  const who = pid === null ? "another process" : `process ${pid}`;
  return new SyncError(
    "internal",
    `${who} already uses this data directory (${path}): stop it, or give this one a directory of its own (SYNCV3_DATA)`,
  );
}
