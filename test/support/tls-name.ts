import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";

/** A connection over TLS to a port of this machine, whatever its certificate says. */
export function connectTls(port: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => resolve(socket));
    socket.once("error", reject);
  });
}

/** The name for which the certificate of the other side was made. */
export function nameOf(socket: TLSSocket): string {
  return String(socket.getPeerCertificate().subject.CN);
}

/** The name for which the certificate of a port is made. */
export async function nameServed(port: number): Promise<string> {
  const socket = await connectTls(port);
  const name = nameOf(socket);
  socket.destroy();
  return name;
}
