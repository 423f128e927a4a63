import type { SyncError } from "#src/errors.ts";
import { type ErrorText, matrixError, toldError } from "./matrix-error.ts";

/** On every reply, errors included: browsers show a page nothing of a reply without them. */
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
  "access-control-allow-headers":
    "Origin, X-Requested-With, Content-Type, Accept, Authorization, traceparent, tracestate",
  "access-control-expose-headers": "Retry-After",
} as const;

const JSON_HEADERS = { ...CORS, "content-type": "application/json" } as const;

/** Made once: it is the same for every successful sync. */
const SYNC_OK = { status: 200, headers: JSON_HEADERS };

/** Browsers may keep the answer to a preflight for a day (they cap it themselves). */
const PREFLIGHT_HEADERS = { ...CORS, "access-control-max-age": "86400" } as const;

/** The finished body of a sync, as it is. */
export const syncReply = (body: Uint8Array<ArrayBuffer>): Response => new Response(body, SYNC_OK);

/** Any other JSON reply. */
export function jsonReply(status: number, value: unknown): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { ...JSON_HEADERS, "cache-control": "no-cache" },
  });
}

/** A reply that the homeserver wrote, with these of its headers. */
export const textReply = (status: number, headers: Readonly<Record<string, string>>, body: string): Response =>
  new Response(body, { status, headers: { ...JSON_HEADERS, ...headers } });

/** Anything else, with headers of its own. */
export const plainReply = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array<ArrayBuffer> | string | null,
): Response => new Response(body, { status, headers: { ...CORS, ...headers } });

/** A failure as a Matrix error: that of the homeserver, where it was one and the client's dialect has it so. */
export function errorReply(
  error: Pick<SyncError, "code" | "message"> & { cause?: unknown },
  style: ErrorText = "plain",
): Response {
  const told = style === "plain" ? toldError(error.cause) : null;
  const { status, body, retryAfterSecs } = told ?? matrixError(error.code, error.message, style);
  const headers = retryAfterSecs === null ? JSON_HEADERS : { ...JSON_HEADERS, "retry-after": String(retryAfterSecs) };
  return new Response(body, { status, headers });
}

/** To requests that come while we end: another connection, soon, will find us anew. */
export function goingAwayReply(): Response {
  const { status, body } = matrixError("actor_stopped", "shutting down");
  return new Response(body, { status, headers: { ...JSON_HEADERS, "retry-after": "2", connection: "close" } });
}

/** The reply to any `OPTIONS`. */
export const preflightReply = (): Response => new Response(null, { status: 200, headers: PREFLIGHT_HEADERS });

/** The message of whatever was thrown, for the log. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
