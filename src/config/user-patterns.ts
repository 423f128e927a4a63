import type { Parsed } from "./values.ts";

/** Who is served: patterns of user ids (`@a*:example.org`) or of server names (`*.example.org`); plain data. */
export interface UserPatterns {
  /** Nobody else; empty = everybody. */
  readonly allow: readonly string[];
  /** Not these, whatever `allow` says. */
  readonly deny: readonly string[];
}

const SERVER = /^[a-z0-9.*?:[\]-]+$/i;
const USER = /^@[^\s:]*:[^\s]+$/;

/** Patterns separated by commas or spaces. */
export function parseUserPatterns(text: string): Parsed<readonly string[]> {
  const patterns = text.split(/[\s,]+/).filter((pattern) => pattern !== "");
  const wrong = patterns.find((pattern) => !(pattern.startsWith("@") ? USER : SERVER).test(pattern));
  return wrong === undefined
    ? { value: patterns }
    : {
        advice: `write user ids and server names, with * and ? where anything may stand: @alice:example.org, @bot-*:example.org, *.example.org; this is neither: ${wrong}`,
      };
}

/** Whether a user is served. */
export function userFilter({ allow, deny }: UserPatterns): (userId: string) => boolean {
  const [allowed, denied] = [allow.map(matcherOf), deny.map(matcherOf)];
  return (userId) => {
    if (denied.some((matches) => matches(userId))) return false;
    return allowed.length === 0 || allowed.some((matches) => matches(userId));
  };
}

/** A pattern without `@` is of the server, which is what follows the first colon. */
function matcherOf(pattern: string): (userId: string) => boolean {
  const text = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  const whole = new RegExp(`^${text}$`, pattern.startsWith("@") ? "s" : "is");
  return pattern.startsWith("@")
    ? (userId) => whole.test(userId)
    : (userId) => whole.test(userId.slice(userId.indexOf(":") + 1));
}
