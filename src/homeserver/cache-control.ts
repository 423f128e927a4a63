/** How long an answer may be told again (RFC 9111). */
export interface Freshness {
  /** May it be kept at all? */
  isStorable: boolean;
  /** Is it for who asked alone? */
  isPrivate: boolean;
  freshMs: number;
  /** May it be told when it is old and the server cannot be asked? */
  isGoodWhenStale: boolean;
}

/** Longer than this nothing is believed, whatever its server says. */
const LONGEST_FRESH_MS = 60 * 60_000;

/** Reads `Cache-Control`, `Vary` and `Age`, as who keeps the answer for its asker alone may: `max-age` counts before `s-maxage`. */
export function readFreshness(headers: Pick<Headers, "get">): Freshness {
  const directives = readDirectives(headers.get("cache-control") ?? "");
  const varies = (headers.get("vary") ?? "").split(",").map((name) => name.trim().toLowerCase());
  const seconds = directives.get("max-age") ?? directives.get("s-maxage") ?? "0";
  const ageSecs = Number(headers.get("age") ?? 0);
  const lifeSecs = directives.has("no-cache") || !/^\d+$/.test(seconds) ? 0 : Number(seconds);
  const freshMs = 1000 * Math.max(0, lifeSecs - (Number.isFinite(ageSecs) ? ageSecs : 0));
  return {
    isStorable: !directives.has("no-store") && !varies.includes("*"),
    isPrivate: directives.has("private"),
    freshMs: Math.min(freshMs, LONGEST_FRESH_MS),
    isGoodWhenStale: !directives.has("must-revalidate") && !directives.has("proxy-revalidate"),
  };
}

function readDirectives(text: string): ReadonlyMap<string, string> {
  const directives = new Map<string, string>();
  for (const part of text.split(",")) {
    const [name = "", value = ""] = part.trim().split("=", 2);
    if (name !== "") directives.set(name.toLowerCase(), value.replaceAll('"', ""));
  }
  return directives;
}
