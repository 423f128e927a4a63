/** A JSON object as parsed: nothing is known of its values. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The value as an object; null for arrays, null and everything else. */
export function asObject(value: unknown): JsonObject | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : null;
}

/** An own member of an object: names such as `constructor` are not found on every object. */
export function member(object: JsonObject | null, key: string): unknown {
  return object !== null && Object.hasOwn(object, key) ? object[key] : undefined;
}

/** The value as a string with something in it; null for everything else. */
export function asText(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
