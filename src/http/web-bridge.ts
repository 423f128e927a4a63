import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { SyncError } from "#src/errors.ts";
import type { Timers } from "#src/ports/basics.ts";
import { BODY_DEADLINE_MS, BODY_LIMIT_BYTES } from "./read-json-body.ts";
import { errorReply } from "./reply.ts";

/** Answers a request of node's server with a handler of web requests. */
export async function serveWeb(
  request: IncomingMessage,
  response: ServerResponse,
  handle: (request: Request) => Response | Promise<Response>,
  timers: Timers,
): Promise<void> {
  const hangUp = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) hangUp.abort();
  });
  const reply = await replyTo(request, hangUp.signal, handle, timers);
  if (response.destroyed) return;
  if (reply.headers.has("transfer-encoding")) {
    await stream(reply, response);
    return;
  }
  const body = new Uint8Array(await reply.arrayBuffer());
  const headers: Record<string, string> = Object.fromEntries(reply.headers);
  headers["content-length"] ??= String(body.byteLength);
  // What is left of the body is of no use to anybody.
  if (!request.complete) headers["connection"] = "close";
  response.writeHead(reply.status, headers);
  if (request.method === "HEAD") response.end();
  else response.end(body);
}

/** A body that comes bit by bit goes out so; the runtime's own server does the same. */
async function stream(reply: Response, response: ServerResponse): Promise<void> {
  const headers = Object.fromEntries(reply.headers);
  delete headers["transfer-encoding"];
  response.writeHead(reply.status, headers);
  if (reply.body !== null) await pipeline(Readable.fromWeb(reply.body as NodeReadableStream), response).catch(() => {});
}

async function replyTo(
  request: IncomingMessage,
  signal: AbortSignal,
  handle: (request: Request) => Response | Promise<Response>,
  timers: Timers,
): Promise<Response> {
  const { method = "GET", url: target = "/" } = request;
  if (!target.startsWith("/")) return errorReply(new SyncError("unrecognized", "Unrecognized request"));
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === "string") headers.set(name, value);
  }
  const init: RequestInit = { method, headers, signal };
  if (method !== "GET" && method !== "HEAD" && hasBody(request)) {
    const body = await readBody(request, timers);
    if (body === "late") return errorReply(new SyncError("not_json", "request body did not arrive in time"));
    if (body === "gone") return errorReply(new SyncError("client_gone", "request body ended early"));
    // Of a body that is too large, no more is read than proves it.
    headers.set("content-length", String(body.length));
    init.body = body.bytes;
  }
  return handle(new Request(`http://localhost${target}`, init));
}

const hasBody = (request: IncomingMessage): boolean =>
  request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;

interface ReadBody {
  bytes: Uint8Array<ArrayBuffer>;
  /** Declared or counted; may be more than was read. */
  length: number;
}

function readBody(request: IncomingMessage, timers: Timers): Promise<ReadBody | "late" | "gone"> {
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > BODY_LIMIT_BYTES) return Promise.resolve({ bytes: new Uint8Array(), length: declared });
  const { promise, resolve } = Promise.withResolvers<ReadBody | "late" | "gone">();
  const chunks: Uint8Array[] = [];
  let length = 0;
  const cancel = timers.after(BODY_DEADLINE_MS, () => resolve("late"));
  request.on("data", (chunk: Uint8Array) => {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length <= BODY_LIMIT_BYTES) return;
    request.pause();
    resolve({ bytes: new Uint8Array(), length });
  });
  request.once("end", () => resolve({ bytes: joined(chunks, length), length }));
  request.once("error", () => resolve("gone"));
  request.once("close", () => resolve("gone"));
  return promise.finally(cancel);
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return all;
}
