/** Levels an operator can choose. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Where a listener listens. */
export type BindAddress = { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };

/** The homeserver: as configured, and how it is reached. */
export interface ServerAddress {
  /** Base URL without a slash at its end; `http://unix` for a socket. */
  url: string;
  socketPath: string | null;
}

/** A value, or what to do about the one that was given. */
export type Parsed<T> = { value: T } | { advice: string };

/** `host:port`, `[v6]:port`, `:port`, or the path of a unix socket. */
export function parseBindAddress(text: string): Parsed<BindAddress> {
  if (text.startsWith("/")) return { value: { kind: "unix", path: text } };
  const match = /^(?:\[([0-9a-f:.%]+)\]|([^:[\]\s/]*)):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    return { advice: "write host:port, [ipv6]:port, :port, or the path of a unix socket, for example 127.0.0.1:8008" };
  }
  const host = match[1] ?? (match[2] === "" ? "0.0.0.0" : (match[2] ?? ""));
  return { value: { kind: "tcp", host, port } };
}

/** An http(s) URL, or the path of a unix socket. */
export function parseServer(text: string): Parsed<ServerAddress> {
  if (text.startsWith("/")) return { value: { url: "http://unix", socketPath: text } };
  const url = parseHttpUrl(text);
  return "advice" in url ? url : { value: { url: url.value, socketPath: null } };
}

/** A base URL: scheme, host, perhaps a path; no slash at its end. */
export function parseHttpUrl(text: string): Parsed<string> {
  if (!URL.canParse(text) || !/^https?:\/\//i.test(text)) {
    return { advice: `write a URL with http:// or https://, for example https://${hostOf(text)}` };
  }
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") return { advice: "leave user name and password out of the URL" };
  if (url.search !== "" || url.hash !== "") return { advice: "leave everything from ? or # on out of the URL" };
  return { value: text.replace(/\/+$/, "") };
}

/** What looks like a host name in a URL without scheme. */
function hostOf(text: string): string {
  return /^[a-z0-9.-]+\.[a-z0-9-]+(?::\d+)?$/i.test(text) ? text : "matrix.example.org";
}

/** A whole number within bounds. */
export function parseInteger(text: string, least: number, most: number): Parsed<number> {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < least || value > most) {
    return { advice: `write a whole number from ${least} to ${most}` };
  }
  return { value };
}

/** `1` or `0`, or what people write for it. */
export function parseSwitch(text: string): Parsed<boolean> {
  if (/^(1|true|on|yes)$/i.test(text)) return { value: true };
  return /^(0|false|off|no)$/i.test(text) ? { value: false } : { advice: "write 1 or 0" };
}

/** Below this a token can be guessed. */
const TOKEN_CHARS = 16;

/** A secret that is sent in a header. */
export function parseToken(text: string): Parsed<string> {
  const isUsable = text.length >= TOKEN_CHARS && /^[\x21-\x7e]+$/.test(text);
  return isUsable
    ? { value: text }
    : { advice: `write ${TOKEN_CHARS} characters at least, without spaces; openssl rand -hex 32 makes one` };
}

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30m`, `12h`, `7d`; null for `never`. */
export function parseIdleTime(text: string): Parsed<number | null> {
  if (text === "never") return { value: null };
  const match = /^(\d{1,5})([mhd])$/.exec(text);
  const idleMs = Number(match?.[1]) * (UNIT_MS[match?.[2] ?? ""] ?? 0);
  // Pollers hear of their device's requests once a minute: they must outlast a few of those.
  if (match === null || idleMs < 5 * 60_000) {
    return { advice: "write a number with m, h or d (minutes, hours, days), at least 5m, for example 3d; or never" };
  }
  return { value: idleMs };
}

/** How many are kept; null for `all`. Fewer than this would be missed: it is more than is ever polled or sent at once. */
export function parseKept(text: string): Parsed<number | null> {
  if (text === "all") return { value: null };
  const count = parseInteger(text, 500, 999_999_999);
  return "value" in count ? count : { advice: "write a whole number of at least 500, or all" };
}

/** What PostgreSQL's own tools take: a URL, or settings. */
export function parseDatabase(text: string): Parsed<string> {
  if (/^postgres(ql)?:\/\//i.test(text)) return { value: text };
  if (!text.includes("://") && /^\s*\w+\s*=/.test(text)) return { value: text };
  return {
    advice:
      "write a URL (postgres://user:password@host/name) or libpq settings (host=… user=… dbname=…), " +
      "or leave it out to use the embedded database",
  };
}
