import { connect } from "node:net";
import type { Cancel, Timers } from "#src/ports/basics.ts";
import type { ConnectionSettings } from "./connection-string.ts";

/** The request for encryption: whoever speaks this protocol answers it with one byte, poolers too, and remembers nothing of it. */
const SSL_REQUEST = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);
const DEFAULT_PORT = 5432;

/** How a statement that may take hours is watched. */
const REACH = {
  /** How often it is looked whether the server can be reached. */
  everyMs: 10_000,
  /** Whoever answers at all answers so soon. */
  answerMs: 10_000,
  /** In vain so often in a row: the statement is lost, too. */
  attempts: 3,
} as const;

/**
 * Looks again and again whether the server of a database can be reached, until it is told to end: a network that swallows everything lets a
 * statement wait for as long as its deadline. Calls `onLost` once. A server on this machine's own socket is never lost.
 */
export function watchReach({ hosts }: ConnectionSettings, timers: Timers, onLost: () => void): Cancel {
  const remote = hosts.filter(({ host }) => !host.startsWith("/"));
  if (remote.length === 0) return () => undefined;
  let [isEnded, missed] = [false, 0];
  let cancel: Cancel = () => undefined;
  const look = async (): Promise<void> => {
    const answers = await Promise.all(remote.map(({ host, port }) => isReached(host, port ?? DEFAULT_PORT, timers)));
    if (isEnded) return;
    missed = answers.includes(true) ? 0 : missed + 1;
    if (missed < REACH.attempts) cancel = timers.after(REACH.everyMs, () => void look());
    else onLost();
  };
  cancel = timers.after(REACH.everyMs, () => void look());
  return () => {
    isEnded = true;
    cancel();
  };
}

function isReached(host: string, port: number, timers: Timers): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (isSo: boolean): void => {
      cancel();
      socket.destroy();
      resolve(isSo);
    };
    const cancel = timers.after(REACH.answerMs, () => settle(false));
    socket.once("connect", () => socket.write(SSL_REQUEST));
    socket.once("data", () => settle(true));
    socket.once("error", () => settle(false));
    socket.once("close", () => settle(false));
  });
}
