import type { EventFields } from "#src/protocol/events.ts";

/** What is in a list of events, all of which could be read. */
export interface ReadEvents {
  readonly events: readonly EventFields[];
  readonly first: "taken" | "none";
}

/** Lists kept; what a room's pollers bring at about the same time is what counts. */
const MAX_LISTS = 64;
/** Shorter lists are read as fast as they are looked up. */
const MIN_LIST_BYTES = 200;
/** A list keeps the body it came in: only small ones are kept, as live traffic brings them. */
const MAX_BODY_BYTES = 64 * 1024;

/**
 * Lists of events read lately, by their bytes. What happens in a room reaches a host once for each poller in it, from many
 * homeservers in the very same bytes: it is read once. One for all pollers of a host.
 */
export class EventsMemo {
  /** By hash; oldest first. */
  readonly #lists = new Map<number | bigint, { bytes: Buffer; read: ReadEvents }>();

  /** Whether lists of this size, in such a body, are kept at all. */
  takes(listBytes: number, bodyBytes: number): boolean {
    return listBytes >= MIN_LIST_BYTES && bodyBytes <= MAX_BODY_BYTES;
  }

  /** What was read from the same bytes before; else `read` reads them, and is remembered unless it answers null. */
  recall(bytes: Buffer, read: () => ReadEvents | null): ReadEvents | null {
    const hash = Bun.hash(bytes);
    const known = this.#lists.get(hash);
    if (known !== undefined && known.bytes.equals(bytes)) return known.read;
    const result = read();
    if (result === null) return null;
    this.#lists.set(hash, { bytes, read: result });
    if (this.#lists.size > MAX_LISTS) this.#lists.delete(this.#lists.keys().next().value ?? 0);
    return result;
  }
}
