import type { Finding } from "../finding.ts";
import { finding } from "../finding.ts";
import type { OutsideAnswer } from "../outside.ts";
import { headerOf, jsonOf } from "../outside.ts";

/** Times as told, and as it was here then. */
export interface ClockSeen {
  /** Of an echo; null without one. */
  echo: OutsideAnswer | null;
  nowMs: number;
}

/** Less is the way from there to here. */
const SKEW_SECS = 30;

/** Whether the servers' clocks agree with this one: certificates, tokens and the order of rooms hang on them. */
export function judgeClock({ echo, nowMs }: ClockSeen): readonly Finding[] {
  if (echo === null) return [finding("clock", "skip", "nobody has told the time")];
  const glissadeMs = Number(jsonOf(echo)?.["now_ms"] ?? Number.NaN);
  const proxyMs = Date.parse(headerOf(echo, "date") ?? "");
  const told: readonly [string, number][] = [
    ["Glissade", glissadeMs],
    ["the reverse proxy", proxyMs],
  ];
  const wrong = told.filter(([, ms]) => Math.abs(ms - nowMs) > SKEW_SECS * 1000);
  if (wrong.length === 0) return [finding("clock", "ok", "clocks agree with the one here")];
  const text = wrong.map(([who, ms]) => `that of ${who} is ${distance(ms - nowMs)}`).join(", ");
  const advice =
    "keep clocks right by NTP (systemctl enable --now systemd-timesyncd, or chrony); it may also be the one here that is wrong";
  return [finding("clock", "warn", `clocks differ from the one here: ${text}`, advice)];
}

const distance = (byMs: number): string => `${Math.round(Math.abs(byMs) / 1000)} s ${byMs > 0 ? "ahead" : "behind"}`;
