import { readFileSync, readdirSync } from "node:fs";

/** Clock ticks of `/proc/<pid>/stat`; 100 a second on every Linux we run on. */
const TICK_MS = 10;

type Stat = { readonly parent: number; readonly ticks: number };

function readStat(pid: string): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name may hold spaces and parentheses; the fields start after its last one.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index] ?? "0"), 0);
    return { parent: Number(fields[1]), ticks };
  } catch {
    return null; // ended meanwhile
  }
}

function tree(root: number): Map<number, Stat> {
  const all = new Map<number, Stat>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/u.test(name)) continue;
    const stat = readStat(name);
    if (stat !== null) all.set(Number(name), stat);
  }
  const members = new Map<number, Stat>();
  const visit = (pid: number): void => {
    const stat = all.get(pid);
    if (stat === undefined || members.has(pid)) return;
    members.set(pid, stat);
    for (const [child, { parent }] of all) if (parent === pid) visit(child);
  };
  visit(root);
  return members;
}

/** CPU time of a process, its children and those of them that have ended, in milliseconds. */
export function cpuMsOf(root: number): number {
  let ticks = 0;
  for (const stat of tree(root).values()) ticks += stat.ticks;
  return ticks * TICK_MS;
}

/** Resident memory of a process and its children, in bytes. */
export function residentBytesOf(root: number): number {
  let bytes = 0;
  for (const pid of tree(root).keys()) {
    try {
      const kilobytes = /^VmRSS:\s+(\d+) kB/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      bytes += Number(kilobytes ?? "0") * 1024;
    } catch {
      // ended meanwhile
    }
  }
  return bytes;
}
