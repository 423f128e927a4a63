import type { Server } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

/** A listening socket that was opened before this process was, and whose connections a server serves. */
export interface AdoptedSocket {
  /** As one would write it down; a descriptor's number where the system does not tell more. */
  readonly address: string;
  /** Accepts nothing new; resolves when the last connection has ended. The socket itself stays with who opened it. */
  close(): Promise<void>;
  /** Ends connections that wait for a next request. */
  endIdle(): void;
  /** Ends the connections there are. */
  cut(): void;
}

/** Has `server` serve what comes in on a listening socket: it cannot listen on a descriptor by itself. */
export function adoptSocket(server: Server, descriptor: number): Promise<AdoptedSocket> {
  const connections = new Set<Socket>();
  const gate = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    server.emit("connection", socket);
  });
  const { promise, resolve, reject } = Promise.withResolvers<AdoptedSocket>();
  gate.once("error", (error) => {
    reject(new Error(`cannot listen on the inherited socket ${descriptor}: ${error.message}`, { cause: error }));
  });
  gate.listen({ fd: descriptor }, () => {
    const closed = Promise.withResolvers<void>();
    resolve({
      address: addressText(gate.address()) ?? `inherited socket ${descriptor}`,
      close() {
        if (gate.listening) gate.close(() => closed.resolve());
        return closed.promise;
      },
      // One that was accepted a moment ago looks idle as well, and its client was not told that anybody ends.
      endIdle() {},
      cut() {
        for (const socket of connections) socket.destroy();
      },
    });
  });
  return promise;
}

function addressText(address: AddressInfo | string | null): string | null {
  if (address === null || typeof address === "string") return address;
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}
