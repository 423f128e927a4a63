import type { OutsideAnswer } from "./outside.ts";
import { headerOf } from "./outside.ts";

/** Reverse proxies in whose words advice is given. */
export const PROXY_KINDS = ["nginx", "caddy", "haproxy", "apache"] as const;
export type ProxyKind = (typeof PROXY_KINDS)[number];

/** Which reverse proxy has written something of this answer; null when none says so. */
export function proxyOf(answer: Pick<OutsideAnswer, "headers" | "text">): ProxyKind | null {
  const server = (headerOf(answer, "server") ?? "").toLowerCase();
  const via = (answer.headers.get("via") ?? []).join(", ").toLowerCase();
  if (server.includes("nginx") || server.includes("openresty")) return "nginx";
  if (server.startsWith("caddy") || via.includes("caddy")) return "caddy";
  if (server.startsWith("apache")) return "apache";
  // It names itself nowhere but in what it writes when it has nobody to ask.
  if (HAPROXY_PAGE.test(answer.text)) return "haproxy";
  return null;
}

const HAPROXY_PAGE =
  /^<html><body><h1>\d{3} [^<]+<\/h1>\n(?:No server is available|The server didn't respond|Request forbidden|Your browser sent|The server returned)/;
