import type { Socket } from "bun";

/** One answer; `body` is only valid until the next one arrives. */
export type Answer = { readonly status: number; readonly body: Buffer };

type Pending = { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void };
type Head = { readonly status: number; readonly bodyAt: number; readonly length: number | null };

const HEAD_END = Buffer.from("\r\n\r\n");
const LAST_CHUNK = Buffer.from("0\r\n\r\n");
const EMPTY = Buffer.alloc(0);

function readHead(buffer: Buffer): Head | null {
  const end = buffer.indexOf(HEAD_END);
  if (end === -1) return null;
  const text = buffer.toString("latin1", 0, end);
  const length = /\r\ncontent-length: *(\d+)/iu.exec(text)?.[1];
  return {
    status: Number(text.slice(9, 12)),
    bodyAt: end + HEAD_END.length,
    length: length === undefined ? null : Number(length),
  };
}

/** The body of a chunked answer, or null while it is not all there. */
function readChunked(buffer: Buffer, from: number): Buffer | null {
  if (!buffer.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK)) return null;
  const parts: Buffer[] = [];
  let at = from;
  for (;;) {
    const lineEnd = buffer.indexOf("\r\n", at);
    if (lineEnd === -1) return null;
    const size = Number.parseInt(buffer.toString("latin1", at, lineEnd), 16);
    const start = lineEnd + 2;
    if (start + size + 2 > buffer.length) return null;
    if (size === 0) return Buffer.concat(parts);
    parts.push(buffer.subarray(start, start + size));
    at = start + size + 2;
  }
}

/**
 * A keep-alive HTTP/1.1 connection that carries one request at a time and costs a few microseconds for each:
 * the load generator shares two cores with what it measures.
 */
export class HttpSocket {
  readonly #socket: Socket;
  #pending: Pending | null = null;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  /** Bytes needed before looking again, so that a large body is joined once and not at every packet. */
  #neededBytes = 0;
  #unsent: Buffer = EMPTY;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async open(port: number): Promise<HttpSocket> {
    // Nothing arrives before the first request is written, so the callbacks always find it.
    const made: { connection?: HttpSocket } = {};
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, chunk) => made.connection?.receive(chunk),
        drain: () => made.connection?.flush(),
        close: () => made.connection?.closed(new Error("the server closed the connection")),
        error: (_, error) => made.connection?.closed(error),
      },
    });
    made.connection = new HttpSocket(socket);
    return made.connection;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Sends a whole request, head and body, and waits for its answer. */
  exchange(request: string): Promise<Answer> {
    if (this.#isClosed) return Promise.reject(new Error("the connection is closed"));
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      const written = this.#socket.write(request);
      if (written < request.length) this.#unsent = Buffer.from(request.slice(written));
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.closed(new Error("closed by the client"));
    this.#socket.terminate();
  }

  private flush(): void {
    if (this.#unsent.length === 0) return;
    const written = this.#socket.write(this.#unsent);
    this.#unsent = this.#unsent.subarray(written);
  }

  private receive(chunk: Buffer): void {
    this.#receivedBytes += chunk.length;
    this.#received.push(chunk);
    if (this.#receivedBytes < this.#neededBytes) return;
    const buffer = this.#received.length === 1 ? chunk : Buffer.concat(this.#received);
    this.#received = [buffer];
    const head = readHead(buffer);
    if (head === null) return;
    if (head.length === null) {
      const body = readChunked(buffer, head.bodyAt);
      if (body !== null) this.#answer({ status: head.status, body });
      return;
    }
    this.#neededBytes = head.bodyAt + head.length;
    if (buffer.length >= this.#neededBytes) {
      this.#answer({ status: head.status, body: buffer.subarray(head.bodyAt, this.#neededBytes) });
    }
  }

  #answer(answer: Answer): void {
    const pending = this.#pending;
    this.#pending = null;
    this.#received = [];
    this.#receivedBytes = 0;
    this.#neededBytes = 0;
    pending?.resolve(answer);
  }

  private closed(error: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const pending = this.#pending;
    this.#pending = null;
    pending?.reject(error);
  }
}

/** A request head and body ready to be written; ASCII only, so that characters are bytes. */
export function requestText(method: string, target: string, token: string | null, body: string): string {
  const auth = token === null ? "" : `Authorization: Bearer ${token}\r\n`;
  const content = body === "" ? "" : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  return `${method} ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${auth}${content}\r\n${body}`;
}
