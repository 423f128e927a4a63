const decoder = new TextDecoder();

/** A JSON value's object, or an empty one: readers take what is there. */
export function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A non-empty string, or null. */
export function asText(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

/** Parses bytes as JSON; undefined when they are none. */
export function parseJson(json: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(json)) as unknown;
  } catch {
    return undefined;
  }
}

/** `content` of an event; empty when it is missing or not an object. */
export function parseContent(json: Uint8Array): Record<string, unknown> {
  return asObject(asObject(parseJson(json))["content"]);
}
