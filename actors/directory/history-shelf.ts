import type { OlderEvents } from "#src/protocol/engine/older-events.ts";
import type { RoomNid } from "#src/protocol/ids.ts";

/** Events carry counts of reactions and the like, which grow old. */
const FRESH_MS = 5 * 60_000;
/** What an entry and each event costs beside its bytes, roughly. */
const OVERHEAD_BYTES = 400;

/** A read that is under way, or what it brought. */
interface Entry {
  nid: RoomNid;
  reading: Promise<OlderEvents | null>;
  /** null = not there yet. */
  older: OlderEvents | null;
  bytes: number;
  untilMs: number;
}

/**
 * Parts of rooms' histories that the homeserver told users of this host lately, within a budget of bytes. They are outside the stream:
 * what changes them is not applied to them, but makes the whole room's go.
 */
export class HistoryShelf {
  readonly #budgetBytes: number;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #keys = new Map<RoomNid, Set<string>>();
  #bytes = 0;

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What is at hand; null = nothing, or nothing yet. */
  get(key: string, nowMs: number): OlderEvents | null {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.older === null) return null;
    if (nowMs >= entry.untilMs) {
      this.#delete(key, entry);
      return null;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.older;
  }

  /** The read of it that is under way. */
  reading(key: string): Promise<OlderEvents | null> | null {
    const entry = this.#entries.get(key);
    return entry === undefined || entry.older !== null ? null : entry.reading;
  }

  /** Takes a read that begins; what it brings is kept unless the room changes meanwhile. It must not reject. */
  begin(key: string, nid: RoomNid, reading: Promise<OlderEvents | null>, nowMs: () => number): void {
    const entry: Entry = { nid, reading, older: null, bytes: 0, untilMs: 0 };
    const before = this.#entries.get(key);
    if (before !== undefined) this.#delete(key, before);
    this.#entries.set(key, entry);
    const keys = this.#keys.get(nid);
    if (keys === undefined) this.#keys.set(nid, new Set([key]));
    else keys.add(key);
    void this.#until(key, entry, nowMs);
  }

  /** Something in the room's history is not as it was. */
  drop(nid: RoomNid): void {
    for (const key of this.#keys.get(nid) ?? []) {
      const entry = this.#entries.get(key);
      if (entry !== undefined) this.#delete(key, entry);
    }
  }

  async #until(key: string, entry: Entry, nowMs: () => number): Promise<void> {
    const older = await entry.reading;
    if (this.#entries.get(key) !== entry) return;
    if (older === null) this.#delete(key, entry);
    else this.#keep(entry, older, nowMs());
  }

  #keep(entry: Entry, older: OlderEvents, nowMs: number): void {
    entry.older = older;
    entry.untilMs = nowMs + FRESH_MS;
    entry.bytes = older.events.reduce((sum, { json }) => sum + json.length + OVERHEAD_BYTES, OVERHEAD_BYTES);
    this.#bytes += entry.bytes;
    for (const [key, oldest] of this.#entries) {
      if (this.#bytes <= this.#budgetBytes) return;
      // One that is under way costs nothing yet.
      if (oldest.older !== null) this.#delete(key, oldest);
    }
  }

  #delete(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    const keys = this.#keys.get(entry.nid);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(entry.nid);
  }
}
