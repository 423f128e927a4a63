import type { ErrorCode, ToldByHomeserver } from "#src/errors.ts";
import { asObject } from "#src/protocol/json-value.ts";

/** How one kind of failure is told to a client. */
interface ErrorShape {
  status: number;
  errcode: string;
  /** Said instead of the error's own message; null = the message was written for the client. */
  text: string | null;
  /** Seconds after which a repetition makes sense. */
  retryAfterSecs?: number;
  softLogout?: true;
}

/** 5xx texts say nothing of our inside: that goes to the log, with the trace id (E4). */
const INTERNAL_TEXT = "Internal server error";

/** Total by type: a new `ErrorCode` fails to compile until it is placed here. No other file writes an `errcode`. */
const SHAPES: Readonly<Record<ErrorCode, ErrorShape>> = {
  bad_json: { status: 400, errcode: "M_BAD_JSON", text: null },
  not_json: { status: 400, errcode: "M_NOT_JSON", text: null },
  invalid_param: { status: 400, errcode: "M_INVALID_PARAM", text: null },
  missing_param: { status: 400, errcode: "M_MISSING_PARAM", text: null },
  missing_token: { status: 401, errcode: "M_MISSING_TOKEN", text: null },
  unknown_token: { status: 401, errcode: "M_UNKNOWN_TOKEN", text: null },
  soft_logout: { status: 401, errcode: "M_UNKNOWN_TOKEN", text: null, softLogout: true },
  forbidden: { status: 403, errcode: "M_FORBIDDEN", text: null },
  unknown_pos: { status: 400, errcode: "M_UNKNOWN_POS", text: "session expired" },
  unrecognized: { status: 404, errcode: "M_UNRECOGNIZED", text: null },
  not_found: { status: 404, errcode: "M_NOT_FOUND", text: null },
  method_not_allowed: { status: 405, errcode: "M_UNRECOGNIZED", text: null },
  malformed_request: { status: 400, errcode: "M_UNRECOGNIZED", text: null },
  upgrade_refused: { status: 501, errcode: "M_UNRECOGNIZED", text: null },
  headers_too_large: { status: 431, errcode: "M_TOO_LARGE", text: null },
  // The operator has to read it, through whatever lies in between.
  forwarding_loop: { status: 508, errcode: "M_UNKNOWN", text: null },
  too_large: { status: 413, errcode: "M_TOO_LARGE", text: null },
  limit_exceeded: { status: 429, errcode: "M_LIMIT_EXCEEDED", text: null, retryAfterSecs: 2 },
  // nginx's number for it; nobody is there to read it but the request log.
  client_gone: { status: 499, errcode: "M_UNKNOWN", text: "client closed the request" },
  // The one 5xx whose text is ours to tell: which upstream call failed, and with what status.
  homeserver_unreachable: { status: 502, errcode: "M_UNKNOWN", text: null },
  storage_unavailable: { status: 503, errcode: "M_UNKNOWN", text: INTERNAL_TEXT, retryAfterSecs: 5 },
  unusable_setup: { status: 500, errcode: "M_UNKNOWN", text: INTERNAL_TEXT },
  mailbox_full: { status: 503, errcode: "M_UNKNOWN", text: INTERNAL_TEXT, retryAfterSecs: 2 },
  ask_timeout: { status: 503, errcode: "M_UNKNOWN", text: INTERNAL_TEXT, retryAfterSecs: 2 },
  actor_stopped: { status: 503, errcode: "M_UNKNOWN", text: INTERNAL_TEXT, retryAfterSecs: 2 },
  internal: { status: 500, errcode: "M_UNKNOWN", text: INTERNAL_TEXT },
};

/** A Matrix error as it goes over the wire. */
export interface MatrixError {
  status: number;
  /** JSON text of the body. */
  body: string;
  /** Value of `Retry-After`. */
  retryAfterSecs: number | null;
}

/** Whether the text begins with the status, as clients of MSC3575 know it: `HTTP 400 : session expired`. */
export type ErrorText = "plain" | "with-status";

/** What the homeserver refused in words of its own, which say more than ours: a locked account is no dead token. */
export function toldError(cause: unknown): MatrixError | null {
  const { toldStatus, toldBody } = (cause ?? {}) as Partial<ToldByHomeserver>;
  if (toldStatus === undefined || toldBody === undefined || toldStatus < 400 || toldStatus > 499) return null;
  const said = parseError(toldBody);
  return said === null ? null : { status: toldStatus, body: said, retryAfterSecs: null };
}

function parseError(text: string): string | null {
  try {
    const error = asObject(JSON.parse(text));
    return typeof error?.["errcode"] === "string" ? JSON.stringify(error) : null;
  } catch {
    return null;
  }
}

/** The Matrix error for a failure. */
export function matrixError(code: ErrorCode, message: string, style: ErrorText = "plain"): MatrixError {
  const shape = SHAPES[code];
  const retryAfterSecs = shape.retryAfterSecs ?? null;
  const text = shape.text ?? message;
  const body = JSON.stringify({
    errcode: shape.errcode,
    error: style === "plain" ? text : `HTTP ${shape.status} : ${text}`,
    ...(shape.softLogout ? { soft_logout: true } : {}),
    ...(retryAfterSecs !== null && shape.status === 429 ? { retry_after_ms: retryAfterSecs * 1000 } : {}),
  });
  return { status: shape.status, body, retryAfterSecs };
}
