import type { BindAddress } from "#src/config/values.ts";

/** Reverse proxies that a configuration is written for. */
export const PROXIES = ["nginx", "caddy", "haproxy", "apache"] as const;
export type ProxyName = (typeof PROXIES)[number];

/** What of a site goes to Glissade. */
export interface Share {
  /** Where it listens. */
  bind: BindAddress;
  /** All of the homeserver's is handed on (`SYNCV3_FORWARD=1`). */
  isForwarding: boolean;
  /** The paths, or what all paths begin with when everything is handed on. */
  paths: readonly string[];
}

/** A whole site: the share, and what is around it. */
export interface Site {
  share: Share;
  /** The name that clients connect to. */
  name: string;
  homeserver: string;
}

/** How one reverse proxy is told. */
export interface Recipe {
  /** Comes before each line of a comment. */
  comment: string;
  /** The piece that sends Glissade its share. */
  snippet(share: Share): string;
  /** A configuration that can be used as it is, but for names, addresses and certificates. */
  site(site: Site): string;
}

/** What a well-known file says. */
export const wellKnownText = (name: string): string => `{"m.homeserver": {"base_url": "https://${name}"}}`;

/** By which address a proxy on the same machine finds the listener. */
export function tcpOf({ host, port }: Extract<BindAddress, { kind: "tcp" }>): string {
  if (host === "0.0.0.0" || host === "::") return `127.0.0.1:${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The text with so many spaces before each line that has something on it. */
export const indented = (text: string, spaces: number, unit = " "): string =>
  text.replaceAll(/^(?=.)/gm, unit.repeat(spaces));
