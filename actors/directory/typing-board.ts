import type { RoomNid } from "#src/protocol/ids.ts";

/** Rooms whose typing is remembered; of those that were quiet for longest it is forgotten. */
const MAX_ROOMS = 10_000;

/** The `m.typing` event of a room, and whom it names. */
export interface Typing {
  json: Uint8Array;
  userIds: readonly string[];
}

/** Who types in which room, as last told: it is in no database, so it is kept for rooms that nobody here has in view too. */
export class TypingBoard {
  readonly #rooms = new Map<RoomNid, Typing>();

  /** null = nobody was ever seen typing. */
  of(nid: RoomNid): Typing | null {
    return this.#rooms.get(nid) ?? null;
  }

  /** `json` is copied: it outlives the message it came in. */
  set(nid: RoomNid, { json, userIds }: Typing): void {
    this.#rooms.delete(nid);
    this.#rooms.set(nid, { json: json.slice(), userIds });
    if (this.#rooms.size > MAX_ROOMS) this.#rooms.delete(this.#rooms.keys().next().value as RoomNid);
  }

  /** What was told before this host began; what it was told itself is newer. */
  recall(nid: RoomNid, typing: Typing): void {
    if (!this.#rooms.has(nid)) this.set(nid, typing);
  }
}
