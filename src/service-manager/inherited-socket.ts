type Env = Readonly<Record<string, string | undefined>>;

/** Where systemd's first descriptor is. */
const FIRST = 3;
/** Where we put it for the process that replaces this one: the others are closed then, and nobody reads our input. */
const KEPT = 0;
const KEPT_MARK = "GLISSADE_LISTENS_ON_STDIN";

/** Why an inherited socket cannot be used, or where it is; null when there is none. */
export type InheritedSocket = { descriptor: number } | { problem: string } | null;

/** The listening socket that the service manager opened for us (`LISTEN_FDS`). */
export function inheritedSocket(env: Env, pid: number): InheritedSocket {
  if (env["LISTEN_PID"] !== String(pid)) return null;
  const count = Number(env["LISTEN_FDS"] ?? "0");
  if (!(count > 0)) return null;
  if (count > 1)
    return { problem: `the service manager passed ${count} sockets: one is for clients, more are not used` };
  return { descriptor: env[KEPT_MARK] === String(pid) ? KEPT : FIRST };
}

/** Its descriptor, or null when there is none; throws when it cannot be used as the server is configured. */
export function usableSocket(socket: InheritedSocket, isTls: boolean): number | null {
  if (socket === null) return null;
  if ("problem" in socket) throw new Error(socket.problem);
  if (isTls) throw new Error("TLS is not spoken on a socket of the service manager: remove one of the two");
  return socket.descriptor;
}

/**
 * Prepares an inherited socket for the process that is about to replace this one, which keeps only its standard input,
 * output and error. Gives what to add to that one's environment.
 */
export function keepInheritedSocket(
  env: Env,
  pid: number,
  duplicate: (from: number, to: number) => boolean,
): Record<string, string> {
  const socket = inheritedSocket(env, pid);
  if (socket === null || "problem" in socket) return {};
  return duplicate(socket.descriptor, KEPT) ? { [KEPT_MARK]: String(pid) } : {};
}
