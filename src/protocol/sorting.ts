import type { SortKey } from "./room-order.ts";

/** What of a room decides its place in a list. */
export interface SortView {
  roomId: string;
  /** When something interesting last happened, in ms. */
  recencyTs: number;
  name: string;
  highlightCount: number;
  notificationCount: number;
  isEncrypted: boolean;
}

type SortPart = (view: SortView) => number | string;

const SORTS: ReadonlyMap<string, SortPart> = new Map<string, SortPart>([
  ["by_recency", (view) => -view.recencyTs],
  ["by_name", (view) => nameKey(view.name)],
  ["by_notification_level", notificationLevel],
  ["by_highlight_count", (view) => -view.highlightCount],
  ["by_notification_count", (view) => -view.notificationCount],
]);

/** The room's place under these sorts; rooms that tie are ordered by room id. */
export function sortKey(sorts: readonly string[], view: SortView): SortKey {
  const key: (number | string)[] = [];
  for (const sort of sorts) {
    const part = SORTS.get(sort);
    if (part !== undefined) key.push(part(view));
  }
  key.push(view.roomId);
  return key;
}

/** The first sort nobody knows; null when all are known. */
export function unknownSort(sorts: readonly string[]): string | null {
  return sorts.find((sort) => !SORTS.has(sort)) ?? null;
}

function notificationLevel(view: SortView): number {
  if (view.highlightCount > 0) return 0;
  if (view.notificationCount > 0) return view.isEncrypted ? 1 : 2;
  return 3;
}

const SIGNS = "#!():_@";
const BEYOND_BYTE_ORDER = /[\uD800-\uFFFF]/;

/** Names sort without the signs around them, whatever their case, by the bytes of their UTF-8. */
function nameKey(name: string): string {
  const bare = trimSigns(name).toLowerCase();
  return BEYOND_BYTE_ORDER.test(bare) ? inByteOrder(bare) : bare;
}

function trimSigns(name: string): string {
  let start = 0;
  let end = name.length;
  while (start < end && SIGNS.includes(name.charAt(start))) start += 1;
  while (end > start && SIGNS.includes(name.charAt(end - 1))) end -= 1;
  return name.slice(start, end);
}

/**
 * JavaScript compares UTF-16 units, where the surrogates of U+10000 and above lie below U+E000…U+FFFF.
 * Swapping the two blocks makes the comparison follow code points, which is the order of UTF-8 bytes.
 */
function inByteOrder(text: string): string {
  let swapped = "";
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= 0xe000) swapped += String.fromCharCode(unit - 0x800);
    else swapped += unit >= 0xd800 ? String.fromCharCode(unit + 0x2000) : text.charAt(index);
  }
  return swapped;
}
