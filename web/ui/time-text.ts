const DAY_MS = 86_400_000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const second = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** The time of something of today, else the day; empty where it is not known. */
export function timeText(atMs: number | undefined, nowMs: number): string {
  if (atMs === undefined || !Number.isFinite(atMs)) return "";
  if (Math.abs(nowMs - atMs) < DAY_MS) return clock.format(atMs);
  return (nowMs - atMs < 300 * DAY_MS ? day : year).format(atMs);
}

/** The time of day to the second. */
export const secondText = (atMs: number): string => second.format(atMs);
