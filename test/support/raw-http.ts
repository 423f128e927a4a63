import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

/** One request as a server sees it, byte for byte; latin1, so that every byte is one character. */
export interface RawRequest {
  /** Without its CRLF. */
  line: string;
  /** `Name: value` lines in order. */
  headers: string[];
  /** What came behind the head, with the marks of chunks. */
  body: string;
}

/** What a homeserver made of bytes does with a connection that has said something. */
export type RawAnswer = (socket: Socket, request: RawRequest) => void;

/** A server that says what it is told to, on a port or a unix socket. */
export class RawServer {
  readonly requests: RawRequest[] = [];
  readonly sockets: Socket[] = [];
  /** Called when the head is complete, and with every piece of the body after it. */
  answer: RawAnswer = (socket, request) => {
    if (isWhole(request)) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async start(path?: string): Promise<RawServer> {
    const raw = new RawServer();
    await new Promise<void>((resolve) => {
      if (path === undefined) raw.#server.listen(0, "127.0.0.1", resolve);
      else raw.#server.listen(path, resolve);
    });
    return raw;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get last(): RawRequest {
    const last = this.requests.at(-1);
    if (last === undefined) throw new Error("nothing was asked");
    return last;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #serve(socket: Socket): void {
    this.sockets.push(socket);
    let text = "";
    let current: RawRequest | null = null;
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      if (current !== null && isWhole(current)) current = null;
      if (current === null) {
        const end = text.indexOf("\r\n\r\n");
        if (end === -1) return;
        const [line = "", ...headers] = text.slice(0, end).split("\r\n");
        current = { line, headers, body: text.slice(end + 4) };
        this.requests.push(current);
      } else current.body += text;
      text = "";
      this.answer(socket, current);
    });
  }
}

/** True when all of the body is there. */
export function isWhole({ headers, body }: RawRequest): boolean {
  const of = (name: string): string | undefined =>
    headers.find((header) => header.toLowerCase().startsWith(`${name}: `))?.slice(name.length + 2);
  if (of("transfer-encoding") !== undefined) return body.endsWith("0\r\n\r\n");
  return body.length >= Number(of("content-length") ?? 0);
}

/** Sends bytes and collects what comes back until the other side closes; latin1. */
export function rawExchange(url: string, sent: string | Uint8Array): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let received = "";
    socket.on("data", (bytes) => {
      received += bytes.toString("latin1");
    });
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
    socket.write(typeof sent === "string" ? Buffer.from(sent, "latin1") : sent);
  });
}
