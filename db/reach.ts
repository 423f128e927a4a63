import { connect } from "node:net";
import type { Cancel, Timers } from "#src/ports/basics.ts";
import type { ConnectionSettings } from "./connection-string.ts";

/** The request for encryption: whoever speaks this protocol answers it with one byte, poolers too, and remembers nothing of it. */
const SSL_REQUEST = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);
const DEFAULT_PORT = 5432;

/** How a statement that may take hours is watched. */
const REACH = {
  /** How often it is looked whether there is anybody. */
  everyMs: 10_000,
  /** Whoever answers at all answers so soon. */
  answerMs: 10_000,
  /** In vain so often in a row: the statement is lost, too. */
  attempts: 3,
} as const;

/**
 * Looks again and again whether there is anybody where the server of a database is, until it is told to end: a network that swallows
 * everything lets a statement wait for as long as its deadline. Calls `onLost` once. Who takes no more connections just now, or has lost
 * his name, may still be at work: that he is not is told by the statement's own connection, which the kernel keeps alive. A server on
 * this machine's own socket is never lost.
 */
export function watchReach({ hosts }: ConnectionSettings, timers: Timers, onLost: () => void): Cancel {
  const remote = hosts.filter(({ host }) => !host.startsWith("/"));
  if (remote.length === 0) return () => undefined;
  let [isEnded, missed] = [false, 0];
  let cancel: Cancel = () => undefined;
  const look = async (): Promise<void> => {
    const silent = await Promise.all(remote.map(({ host, port }) => isSilent(host, port ?? DEFAULT_PORT, timers)));
    if (isEnded) return;
    missed = silent.includes(false) ? 0 : missed + 1;
    if (missed < REACH.attempts) cancel = timers.after(REACH.everyMs, () => void look());
    else onLost();
  };
  cancel = timers.after(REACH.everyMs, () => void look());
  return () => {
    isEnded = true;
    cancel();
  };
}

function isSilent(host: string, port: number, timers: Timers): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (isSo: boolean): void => {
      cancel();
      socket.destroy();
      resolve(isSo);
    };
    const cancel = timers.after(REACH.answerMs, () => settle(true));
    socket.once("connect", () => socket.write(SSL_REQUEST));
    socket.once("data", () => settle(false));
    // Once it is settled, what else the socket has to say is heard by nobody.
    socket.on("error", () => settle(false));
    socket.once("close", () => settle(false));
  });
}
