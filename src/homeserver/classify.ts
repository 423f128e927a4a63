import type { UpstreamFailure } from "#src/ports/homeserver.ts";

/** An answer that is not a success, as far as it matters for what to do about it. */
export interface FailedAnswer {
  status: number;
  /** `Retry-After`; null when absent. */
  retryAfter: string | null;
  /** Beginning of the body. */
  body: string;
}

/** Longest `Retry-After` believed: a typing error at the homeserver must not silence a device for days. */
export const MAX_RETRY_AFTER_MS = 15 * 60_000;

/** Body text kept for the client of a failure that is not ours. */
const MAX_TOLD_BODY_CHARS = 4096;

/** Statuses that say nothing about the request itself: timeout, too early, too many requests. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429]);

interface MatrixErrorBody {
  errcode: string | null;
  softLogout: boolean;
  retryAfterMs: number | null;
}

/** Decides once how an upstream call failed. `isSync`: only there does a 403 mean that the token is dead. */
export function classifyAnswer(answer: FailedAnswer, isSync: boolean, nowMs: number): UpstreamFailure {
  const { status } = answer;
  const error = readErrorBody(answer.body);
  const body = answer.body.slice(0, MAX_TOLD_BODY_CHARS);
  if (status === 401 || (status === 403 && isSync)) return { kind: "auth", softLogout: error.softLogout, status, body };
  const reason = error.errcode === null ? `status ${status}` : `status ${status} ${error.errcode}`;
  const isLimited = error.errcode === "M_LIMIT_EXCEEDED";
  if (status >= 500 || PASSING_STATUSES.has(status) || isLimited) {
    const wanted = parseRetryAfter(answer.retryAfter, nowMs) ?? error.retryAfterMs ?? 0;
    return { kind: "transient", status, retryAfterMs: Math.min(wanted, MAX_RETRY_AFTER_MS), reason };
  }
  return { kind: "refused", status, errcode: error.errcode, reason, body };
}

/** A call that brought no usable answer: network, deadline, garbage. */
export function classifyNoAnswer(reason: string, status = 0): UpstreamFailure {
  return { kind: "transient", status, retryAfterMs: 0, reason };
}

/** `Retry-After` in milliseconds from now, as seconds or as an HTTP date; null when it says nothing. */
export function parseRetryAfter(value: string | null, nowMs: number): number | null {
  const text = value?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(text)) return Math.ceil(Number(text) * 1000);
  const date = /^[A-Za-z]{3},/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}

function readErrorBody(body: string): MatrixErrorBody {
  const members = parseObject(body);
  const { errcode, soft_logout: softLogout, retry_after_ms: retryAfterMs } = members;
  return {
    // It goes into logs, so only what looks like one is taken.
    errcode: typeof errcode === "string" && /^[A-Za-z0-9_.]{1,100}$/.test(errcode) ? errcode : null,
    softLogout: softLogout === true,
    retryAfterMs: typeof retryAfterMs === "number" && retryAfterMs >= 0 ? Math.ceil(retryAfterMs) : null,
  };
}

/** The members of a JSON object; none for anything else. */
export function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
