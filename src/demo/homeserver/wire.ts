/** A JSON object of the client-server API. */
export type Json = Record<string, unknown>;

/** An event as clients see it, without the `unsigned` that depends on who looks. */
export interface ClientEvent {
  event_id: string;
  type: string;
  room_id: string;
  sender: string;
  origin_server_ts: number;
  content: Json;
  state_key?: string;
  redacts?: string;
}

/** What a client made wrong: becomes the standard error body. */
export class MatrixError extends Error {
  override readonly name = "MatrixError";
  readonly status: number;
  readonly errcode: string;
  readonly extra: Json;

  constructor(status: number, errcode: string, message: string, extra: Json = {}) {
    super(message);
    this.status = status;
    this.errcode = errcode;
    this.extra = extra;
  }
}

/** 403 `M_FORBIDDEN`. */
export const forbidden = (message: string): MatrixError => new MatrixError(403, "M_FORBIDDEN", message);
/** 404 `M_NOT_FOUND`. */
export const notFound = (message: string): MatrixError => new MatrixError(404, "M_NOT_FOUND", message);
/** 400 `M_INVALID_PARAM`. */
export const invalidParam = (message: string): MatrixError => new MatrixError(400, "M_INVALID_PARAM", message);

/** True for a JSON object that is neither null nor an array. */
export function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `value` where it is an object, else an empty one. */
export function asJson(value: unknown): Json {
  return isJson(value) ? value : {};
}

/** `value` where it is a string, else undefined. */
export function asString(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** `value` where it is a number, else `fallback`. */
export function asNumber(value: unknown, fallback: number): number {
  return typeof value === "number" && Number.isFinite(value) ? value : fallback;
}

/** The strings of an array; nothing for anything else. */
export function asStrings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}
