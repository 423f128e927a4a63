import { SyncError } from "../errors.ts";

/** What may be a number with a fraction or an exponent; found in a text that looks like one, too, where it does no harm. */
const MAYBE_FRACTION = /[:,[\s]-?[0-9]+[.eE]/;

/** A request body that is JSON and nothing else; a number written with a fraction or an exponent becomes NaN: it is no integer. */
export function parseStrictJson(text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw notJson(error);
  }
}

/**
 * A request body as clients of MSC3575 were used to it being read: numbers as above, what follows the first value is ignored, and
 * `null` is an empty request.
 */
export function parseRequestJson(text: string): unknown {
  try {
    return parse(text) ?? {};
  } catch (error) {
    const first = firstValue(text);
    if (first !== null) return parseFirst(first, error) ?? {};
    throw notJson(error);
  }
}

const notJson = (cause: unknown): SyncError => new SyncError("not_json", "request body is not JSON", { cause });

function parseFirst(text: string, problem: unknown): unknown {
  try {
    return parse(text);
  } catch {
    throw notJson(problem);
  }
}

const parse = (text: string): unknown =>
  MAYBE_FRACTION.test(text) ? (JSON.parse(text, withoutFractions) as unknown) : (JSON.parse(text) as unknown);

function withoutFractions(_key: string, value: unknown, written?: { source?: string }): unknown {
  return typeof value === "number" && /[.eE]/.test(written?.source ?? "") ? Number.NaN : value;
}

/** The text of the first object or `null` of a text that goes on behind it; null when there is none. */
function firstValue(text: string): string | null {
  const start = text.search(/\S/);
  if (start < 0) return null;
  if (text.startsWith("null", start)) return "null";
  if (text[start] !== "{") return null;
  let depth = 0;
  let isInString = false;
  for (let at = start; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (isInString) {
      if (char === BACKSLASH) at += 1;
      else if (char === QUOTE) isInString = false;
    } else if (char === QUOTE) isInString = true;
    else if (char === OPEN) depth += 1;
    else if (char === CLOSE) {
      depth -= 1;
      if (depth === 0) return at + 1 < text.length ? text.slice(start, at + 1) : null;
    }
  }
  return null;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
