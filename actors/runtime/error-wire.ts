import { type ErrorCode, SyncError } from "#src/errors.ts";

/** A `SyncError` as plain data: its class does not survive a Worker hop. */
export interface WireError {
  code: ErrorCode;
  message: string;
}

/** Total, so that a new code fails to compile here until it can cross. */
const CODES: Record<ErrorCode, true> = {
  bad_json: true,
  not_json: true,
  invalid_param: true,
  missing_param: true,
  missing_token: true,
  unknown_token: true,
  soft_logout: true,
  forbidden: true,
  unknown_pos: true,
  unrecognized: true,
  not_found: true,
  method_not_allowed: true,
  malformed_request: true,
  upgrade_refused: true,
  headers_too_large: true,
  forwarding_loop: true,
  too_large: true,
  limit_exceeded: true,
  homeserver_unreachable: true,
  storage_unavailable: true,
  unusable_setup: true,
  mailbox_full: true,
  ask_timeout: true,
  actor_stopped: true,
  client_gone: true,
  internal: true,
};

const isErrorCode = (value: unknown): value is ErrorCode => typeof value === "string" && Object.hasOwn(CODES, value);

/** What may cross of an error: a `SyncError` keeps code and message; of anything else the text stays where it was thrown. */
export function errorToWire(error: unknown): WireError {
  if (error instanceof SyncError) return { code: error.code, message: error.message };
  return { code: "internal", message: "internal error" };
}

/** The error at the asking side; anything malformed is `internal`. */
export function errorFromWire(wire: unknown): SyncError {
  if (typeof wire === "object" && wire !== null && "code" in wire && "message" in wire && isErrorCode(wire.code)) {
    return new SyncError(wire.code, String(wire.message));
  }
  return new SyncError("internal", "internal error");
}

/** Makes any thrown thing a `SyncError`, the original as its cause. */
export function toSyncError(error: unknown, what: string): SyncError {
  return error instanceof SyncError ? error : new SyncError("internal", what, { cause: error });
}
