import { SyncError } from "#src/errors.ts";

/** SQLSTATE classes in which the statement's own text or data are not at fault. */
const UNAVAILABLE_CLASSES = new Set(["08", "28", "3D", "53", "57", "58"]);
const UNAVAILABLE_CODES = new Set([
  "25006", // read-only transaction: a standby
  "40001", // serialization failure
  "40P01", // deadlock
  "55P03", // lock not available
]);
/** Every one of them has a digit; `EPIPE` and its like have five letters too. */
const SQLSTATE = /^(?=.*\d)[0-9A-Z]{5}$/;
/** Messages of these classes quote the data (22 data exception, 23 integrity constraint violation). */
const QUOTING_CLASSES = new Set(["22", "23"]);

const textAt = (error: object, field: string): string | null => {
  const value: unknown = Reflect.get(error, field);
  return typeof value === "string" && value !== "" ? value : null;
};

/** SQLSTATE or Node error code; null when the error has none. */
export function driverCode(error: unknown): string | null {
  return typeof error === "object" && error !== null ? textAt(error, "code") : null;
}

/** The driver's error without statement, parameters and data, which it carries along. */
function cleanCause(error: unknown): Error {
  if (!(error instanceof Error)) return new Error("the driver threw something that is not an error");
  const code = driverCode(error);
  const isQuoting = code !== null && SQLSTATE.test(code) && QUOTING_CLASSES.has(code.slice(0, 2));
  const places = ["routine", "table_name", "constraint_name"].flatMap((field) => textAt(error, field) ?? []);
  // Messages of the network hold their code themselves.
  const isSaid = code !== null && !isQuoting && error.message.includes(code);
  const cause = new Error(
    [isSaid ? null : code, isQuoting ? null : error.message, ...places].filter((part) => part !== null).join(" "),
  );
  cause.name = "DatabaseError";
  return cause;
}

/** What callers see of a failure of the driver or the server. */
export function translateDriverError(error: unknown): SyncError {
  if (error instanceof SyncError) return error;
  const code = driverCode(error);
  const cause = cleanCause(error);
  const isStatement = code !== null && SQLSTATE.test(code);
  const isUnavailable = isStatement
    ? UNAVAILABLE_CLASSES.has(code.slice(0, 2)) || UNAVAILABLE_CODES.has(code)
    : code !== null; // ECONNREFUSED, CONNECTION_CLOSED, …
  return isUnavailable
    ? new SyncError("storage_unavailable", `the database cannot be used: ${cause.message}`, { cause })
    : new SyncError("internal", `the database refused a statement: ${cause.message}`, { cause });
}
