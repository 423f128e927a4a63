/** Sizes as people say them: `1.2 MB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Durations as people say them: `12 ms`, `3.4 s`, `5 min`. */
export function durationText(ms: number): string {
  if (ms < 999.5) return `${ms < 9.95 && ms > 0 ? ms.toFixed(1).replace(/\.0$/, "") : Math.round(ms)} ms`;
  if (ms < 99_950) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = ms / 60_000;
  if (minutes < 119.5) return `${Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 47.5 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} d`;
}

/** Numbers with their thousands apart. */
export const countText = (count: number): string => count.toLocaleString("en");

/** How long ago, or `never`. */
export const agoText = (atMs: number | null, nowMs: number): string =>
  atMs === null ? "never" : `${durationText(Math.max(0, nowMs - atMs))} ago`;

/** The client's own name of a connection, without what tells the dialects apart; most have none. */
export const connectionName = (connId: string): string =>
  connId.replace(/^(?:org\.matrix\.simplified_msc3575|_matrix\/client\/v4\/sync):/, "") || "no name";

/** A part of a whole in percent, between 0 and 100. */
export const percentOf = (part: number, whole: number): number =>
  whole <= 0 ? 0 : Math.min(100, Math.max(0, (100 * part) / whole));
