import { EventEmitter } from "node:events";
import { type Socket, connect } from "node:net";
import type { Timers } from "#src/ports/basics.ts";

/** What the driver hands to `socket`: its options, complete. */
interface SocketOptions {
  path: string | false;
  host: readonly string[];
  port: readonly number[];
}

/** Makes one socket for the driver. */
export type SocketMaker = (options: SocketOptions) => Promise<Socket>;

type SocketError = Error & { code: string };

const socketError = (code: string, message: string): SocketError => Object.assign(new Error(message), { code });

/**
 * Makes the driver's sockets, each to the next host in turn, and gives them out when they are connected: an error that
 * comes before the driver's first write has left makes it forget to write ever again.
 */
export function socketMaker(timers: Timers, connectTimeoutMs: number): SocketMaker {
  let attempt = 0;
  return async ({ path, host, port }) => {
    const index = attempt++ % host.length;
    const socket =
      path === false ? connect({ host: host[index] ?? "localhost", port: port[index] ?? 0 }) : connect(path);
    const failure = await connected(socket, timers, connectTimeoutMs);
    if (failure !== null) return failedSocket(failure);
    tellOfSilentEnd(socket);
    // The driver looks here for the name that a certificate must have, and for what it says of failures.
    return Object.assign(socket, { host: host[index], port: port[index] });
  };
}

/** Why there is no connection; null when there is. */
function connected(socket: Socket, timers: Timers, timeoutMs: number): Promise<SocketError | null> {
  const { promise, resolve } = Promise.withResolvers<SocketError | null>();
  const onConnect = (): void => settle(null);
  const onError = (error: SocketError): void => settle(error);
  const settle = (failure: SocketError | null): void => {
    cancel();
    socket.off("connect", onConnect);
    // Whatever else a given up socket has to say is heard by nobody.
    if (failure === null) socket.off("error", onError);
    else socket.destroy();
    resolve(failure);
  };
  const cancel = timers.after(timeoutMs, () => settle(socketError("CONNECT_TIMEOUT", "no connection in time")));
  socket.on("connect", onConnect);
  socket.on("error", onError);
  return promise;
}

/**
 * A server, or a proxy before it, that hangs up without a word is made an error of: the driver would try again at once, and
 * again, without ever telling anybody.
 */
function tellOfSilentEnd(socket: Socket): void {
  let isTold = false;
  socket.once("error", () => {
    isTold = true;
  });
  socket.once("close", () => {
    if (isTold || socket.bytesRead > 0 || socket.listenerCount("error") === 0) return;
    socket.emit("error", socketError("ECONNRESET", "the server hung up at once"));
  });
}

/** Takes what is written to it, then fails: the one way in which the driver takes note of a failed connection. */
class FailedSocket extends EventEmitter {
  readonly readyState = "closed";

  write(): boolean {
    return true;
  }

  end(): void {}

  destroy(): void {}
}

function failedSocket(failure: SocketError): Socket {
  const socket = new FailedSocket();
  // Behind the driver's first write, which it puts off to the end of this round of the event loop.
  setImmediate(() => {
    setImmediate(() => {
      if (socket.listenerCount("error") > 0) socket.emit("error", failure);
      socket.emit("close", true);
    });
  });
  return socket as unknown as Socket;
}
