import { printable } from "#src/printable.ts";

/** How bad something is: `fail` keeps some client from working, `warn` makes it work worse, `skip` could not be looked at. */
export type Level = "ok" | "warn" | "fail" | "skip";

/** What is looked at, in the order of the report. */
export const CHECKS = [
  "well-known",
  "reach",
  "tls",
  "http2",
  "versions",
  "sync-paths",
  "preflight",
  "cors",
  "path-bytes",
  "arrival",
  "request-size",
  "upload-size",
  "streaming",
  "long-polls",
  "clock",
  "homeserver",
  "database",
  "account",
] as const;
export type CheckName = (typeof CHECKS)[number];

/** One thing that was seen, and what to do about it. */
export interface Finding {
  check: CheckName;
  level: Level;
  text: string;
  /** Empty where nothing is to be done. */
  advice: readonly string[];
}

/** A finding; shorter to write. Parts of it are what servers say: nothing in it moves a terminal's cursor. */
export function finding(check: CheckName, level: Level, text: string, ...advice: readonly string[]): Finding {
  return { check, level, text: printable(text), advice: advice.map(printable) };
}

/** What is wrong, or the one sentence that says that nothing is. */
export function orGood(findings: readonly Finding[], check: CheckName, text: string): readonly Finding[] {
  return findings.length > 0 ? findings : [finding(check, "ok", text)];
}
