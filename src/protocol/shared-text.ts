/** Texts remembered; a power of two. */
const SLOTS = 16_384;
/** A longer one is no id. */
const MAX_CHARS = 255;

/** By a hash of the text; what comes later takes the place. */
const slots: string[] = Array.from({ length: SLOTS }, () => "");

/**
 * The same text, and the very string that was read before where that is still known: a user's id is read with each of their
 * events, rooms and memberships, and would be kept as often.
 */
export function sharedText(text: string): string {
  if (text.length > MAX_CHARS) return text;
  let hash = 0;
  for (let at = 0; at < text.length; at += 1) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0;
  const slot = (hash ^ (hash >>> 14)) & (SLOTS - 1);
  const known = slots[slot];
  if (known === text) return known;
  slots[slot] = text;
  return text;
}
