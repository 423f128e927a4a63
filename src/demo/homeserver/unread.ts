import type { Room, StoredEvent } from "./room.ts";
import { asString } from "./wire.ts";

/** Unread numbers of one user in one room. */
export interface UnreadCounts {
  notification_count: number;
  highlight_count: number;
}

interface Tally extends UnreadCounts {
  /** Everything at or below is read. */
  readPos: number;
  /** Log index up to which events are counted. */
  countedTo: number;
}

function notifies(stored: StoredEvent): boolean {
  const { type, state_key: stateKey } = stored.event;
  return stateKey === undefined && (type === "m.room.message" || type === "m.room.encrypted");
}

/** Unread counters of one room; each event is counted once per reader, however often they are asked for. */
export class UnreadCounters {
  readonly #room: Room;
  readonly #tallies = new Map<string, Tally>();

  constructor(room: Room) {
    this.#room = room;
  }

  /** The user has read up to and including the event at `pos`; an older receipt changes nothing. */
  markRead(userId: string, pos: number): void {
    const readPos = this.#tallies.get(userId)?.readPos ?? 0;
    if (pos <= readPos) return;
    this.#tallies.set(userId, {
      readPos: pos,
      countedTo: this.#room.indexAfter(pos),
      notification_count: 0,
      highlight_count: 0,
    });
  }

  /** Messages of others since the user's own receipt, message or join; highlights are those that hold the localpart. */
  counts(userId: string, localpart: string): UnreadCounts {
    if (!this.#tallies.has(userId)) this.markRead(userId, this.#room.member(userId)?.pos ?? 0);
    const tally = this.#tallies.get(userId) ?? {
      readPos: 0,
      countedTo: 0,
      notification_count: 0,
      highlight_count: 0,
    };
    let { notification_count, highlight_count } = tally;
    for (let index = tally.countedTo; index < this.#room.length; index += 1) {
      const stored = this.#room.at(index);
      if (stored === undefined || !notifies(stored) || stored.event.sender === userId) continue;
      notification_count += 1;
      const body = asString(stored.event.content["body"]);
      if (body?.toLowerCase().includes(localpart.toLowerCase()) === true) highlight_count += 1;
    }
    this.#tallies.set(userId, {
      readPos: tally.readPos,
      countedTo: this.#room.length,
      notification_count,
      highlight_count,
    });
    return { notification_count, highlight_count };
  }
}
