/** What systemd reads (`sd_notify`), but for `ERRNO` and the like that mean nothing here. */
export type Tidings = Readonly<
  Partial<Record<"READY" | "STOPPING" | "STATUS" | "WATCHDOG" | "EXTEND_TIMEOUT_USEC", string>>
>;

/** Who started this process and wants to know how it is. */
export interface ServiceManager {
  /** It takes the process for dead after so long without a word; null when it does not watch. */
  readonly watchdogMs: number | null;
  tell(tidings: Tidings): void;
}

type Env = Readonly<Record<string, string | undefined>>;

/** The service manager that the environment names, as systemd does for `Type=notify`; null when there is none. */
export function serviceManagerOf(
  env: Env,
  pid: number,
  send: (path: string, text: string) => boolean,
): ServiceManager | null {
  const path = env["NOTIFY_SOCKET"] ?? "";
  if (!path.startsWith("/") && !path.startsWith("@")) return null;
  return {
    watchdogMs: watchdogOf(env, pid),
    tell(tidings) {
      const lines = Object.entries(tidings).map(([name, value]) => `${name}=${value.replaceAll("\n", " ")}`);
      send(path, lines.join("\n"));
    },
  };
}

function watchdogOf(env: Env, pid: number): number | null {
  const micros = Number(env["WATCHDOG_USEC"] ?? "");
  const watched = env["WATCHDOG_PID"];
  const isOurs = watched === undefined || watched === String(pid);
  return isOurs && Number.isFinite(micros) && micros > 0 ? micros / 1000 : null;
}
