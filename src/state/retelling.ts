import type { StoredEvent } from "#src/protocol/events.ts";
import type { StreamPos } from "#src/protocol/ids.ts";
import type { GroupDraft } from "./group-draft.ts";
import type { RoomDraft } from "./room-draft.ts";

/**
 * The end of a room's timeline, told anew because something has turned up that belongs before it: its events are stored again behind
 * that, and what names their places follows them.
 */
export class Retelling {
  readonly #group: GroupDraft;
  readonly #room: RoomDraft;
  readonly #moves = new Map<StreamPos, StreamPos>();

  constructor(group: GroupDraft, room: RoomDraft) {
    this.#group = group;
    this.#room = room;
  }

  /** The next event of the end, in its order. */
  add(event: StoredEvent): void {
    const copy = this.#group.move(this.#room, event);
    this.#moves.set(event.pos, copy.pos);
    this.#room.retell(event, copy);
  }

  /** Behind the last of them. */
  finish(): void {
    this.#group.users.moveStays(this.#room.nid, this.#moves, this.#group.head + 1);
  }
}
