/** Closed set of expected failures: adding a code fails to compile until `src/http/matrix-error.ts` maps it. */
export type ErrorCode =
  | "bad_json"
  | "not_json"
  | "invalid_param"
  | "missing_param"
  | "missing_token"
  | "unknown_token"
  | "soft_logout"
  | "forbidden"
  | "unknown_pos"
  | "unrecognized"
  | "not_found"
  | "method_not_allowed"
  | "malformed_request"
  | "upgrade_refused"
  | "headers_too_large"
  | "forwarding_loop"
  | "too_large"
  | "limit_exceeded"
  | "client_gone"
  | "homeserver_unreachable"
  | "storage_unavailable"
  /** What operators have set up cannot be used as it is: starting again would not help. */
  | "unusable_setup"
  | "mailbox_full"
  | "ask_timeout"
  | "actor_stopped"
  | "internal";

/** An expected failure. Switch on `code`, never on the class: the class does not survive a Worker hop. */
export class SyncError extends Error {
  override readonly name = "SyncError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The cause of a failure that the homeserver told in its own words: what it answered. */
export interface ToldByHomeserver {
  toldStatus: number;
  toldBody: string;
}

/** Throws when a thing that must hold does not: a bug, which crashes the actor and is restarted from storage. */
export function invariant(condition: unknown, expectation: string): asserts condition {
  if (!condition) throw new SyncError("internal", `invariant broken: ${expectation}`);
}
