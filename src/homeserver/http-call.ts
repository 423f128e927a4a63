import type { Timers } from "#src/ports/basics.ts";

/** Same-origin redirects followed in one call. */
const MAX_REDIRECTS = 3;

/** How much of a failed answer is read. */
const MAX_ERROR_BODY_BYTES = 64 * 1024;

/** Where the homeserver is: `socketPath` wins over the host of `url`, whose path is a prefix either way. */
export interface HomeserverAddress {
  /** Base URL without a slash at its end; `http://unix` for a socket. */
  url: string;
  socketPath: string | null;
}

export interface HttpCall {
  method: "GET" | "POST";
  /** Absolute path and query, behind the base URL. */
  path: string;
  headers: Record<string, string>;
  body: string | null;
  /** For the whole call, the body included. */
  deadlineMs: number;
  maxBytes: number;
  /** What ends the call early: who makes it, or its deadline. */
  controller: AbortController | null;
  /** Told of the answer before the caller is. */
  onAnswer?: (answer: HttpAnswer) => void;
}

/** An answer with its body, or why there is none. `reason` never holds anything of the request. */
export type HttpAnswer =
  | { ok: true; status: number; headers: Headers; body: Uint8Array<ArrayBuffer> }
  | { ok: false; reason: string };

/**
 * Makes one call. Never rejects, never takes longer than its deadline, never follows a redirect to another origin. Thousands of calls
 * wait at once: little is kept for one that does, and in one frame.
 */
export async function callHomeserver(address: HomeserverAddress, call: HttpCall, timers: Timers): Promise<HttpAnswer> {
  const controller = call.controller ?? new AbortController();
  let isLate = false;
  const cancelDeadline = timers.after(call.deadlineMs, () => {
    isLate = !controller.signal.aborted;
    controller.abort();
  });
  let answer: HttpAnswer;
  try {
    const response = await send(address, call, `${baseOf(address)}${call.path}`, controller.signal);
    const final = isRedirect(response) ? await follow(address, call, response, controller.signal) : response;
    answer =
      final === null ? { ok: false, reason: "redirected to another origin" } : await read(call, final, controller);
  } catch (error) {
    const endedBy = isLate ? "deadline" : "aborted";
    answer = { ok: false, reason: controller.signal.aborted ? endedBy : failureName(error) };
  }
  cancelDeadline();
  call.onAnswer?.(answer);
  return answer;
}

async function read(call: HttpCall, response: Response, controller: AbortController): Promise<HttpAnswer> {
  const limit = response.ok ? call.maxBytes : Math.min(call.maxBytes, MAX_ERROR_BODY_BYTES);
  const body = await readBody(response, limit);
  if (body === null && response.ok) {
    controller.abort();
    return { ok: false, reason: "body too large" };
  }
  return { ok: true, status: response.status, headers: response.headers, body: body ?? new Uint8Array() };
}

const baseOf = ({ url }: HomeserverAddress): string => url.replace(/\/$/, "");

function send(address: HomeserverAddress, call: HttpCall, url: string, signal: AbortSignal): Promise<Response> {
  return fetch(url, {
    method: call.method,
    headers: call.headers,
    body: call.body,
    redirect: "manual",
    signal,
    // Deadlines are ours to set: the runtime's own would cut a long first sync.
    timeout: false,
    ...(address.socketPath === null ? {} : { unix: address.socketPath }),
  });
}

const isRedirect = (response: Response): boolean =>
  response.status >= 300 && response.status < 400 && response.headers.has("location");

/** The answer after redirects; null when one leads elsewhere, because the token must not go there. */
async function follow(
  address: HomeserverAddress,
  call: HttpCall,
  first: Response,
  signal: AbortSignal,
): Promise<Response | null> {
  let url = `${baseOf(address)}${call.path}`;
  let response = first;
  for (let redirects = 0; isRedirect(response); redirects++) {
    const location = response.headers.get("location") ?? "";
    await response.body?.cancel();
    if (redirects >= MAX_REDIRECTS || !URL.canParse(location, url)) return null;
    const target = new URL(location, url);
    if (target.origin !== new URL(address.url).origin || call.method !== "GET") return null;
    url = target.href;
    response = await send(address, call, url, signal);
  }
  return response;
}

/** The whole body; null when it is longer than `maxBytes`. */
async function readBody(response: Response, maxBytes: number): Promise<Uint8Array<ArrayBuffer> | null> {
  const declared = response.headers.get("content-length");
  // A length that counts compressed bytes says nothing about what they become.
  const isPlain = response.headers.get("content-encoding") === null;
  if (isPlain && declared !== null && Number(declared) > maxBytes) {
    await response.body?.cancel();
    return null;
  }
  if (isPlain && declared !== null) return response.bytes();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) return null;
    chunks.push(chunk);
  }
  return concat(chunks, length);
}

function concat(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

/** A short name such as `ECONNREFUSED`; messages may hold URLs, so they stay out. */
function failureName(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  const { code } = error as Error & { code?: unknown };
  return typeof code === "string" ? code : error.name;
}
