/** Shapes of secrets inside texts of others: error messages of drivers, URLs. */
const SECRETS: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/(access_token=)[^&\s"']+/gi, "$1[redacted]"],
  [/\b(bearer|basic)\s+[\w.~+/=:-]+/gi, "$1 [redacted]"],
  [/\b(syt|syr|mat|mct|mcr)_[\w-]{4,}/g, "[redacted]"],
  [/(\/\/[^\s:/@]*:)[^\s/@]+@/g, "$1[redacted]@"],
  [/\b(password\s*=\s*)('[^']*'|\S+)/gi, "$1[redacted]"],
];

/** Cheap test for whether any of the above can match at all: most texts have none of it. */
const SUSPECT = /access_token|bearer|basic|syt_|syr_|mat_|mct_|mcr_|:\/\/|password/i;

/** The text without what looks like a secret. */
export function scrub(text: string): string {
  if (!SUSPECT.test(text)) return text;
  return SECRETS.reduce((scrubbed, [pattern, replacement]) => scrubbed.replace(pattern, replacement), text);
}
