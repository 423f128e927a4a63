import type { RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import { TXN_WAIT_MS } from "#src/protocol/txn-wait.ts";
import type { UserUpdate } from "#src/protocol/update.ts";

/** More than this within the time one waits: the oldest wait no longer. */
const MAX_EVENTS = 1000;

/** An own event that waits for its transaction id. */
export interface AwaitedEvent {
  userId: UserId;
  nid: RoomNid;
  eventId: string;
  pos: StreamPos;
  untilMs: number;
}

/** Own events that wait, of all users: whoever becomes active meanwhile must not be shown them yet. */
export class AwaitedBoard {
  /** By event, oldest first. */
  readonly #events = new Map<string, AwaitedEvent>();

  note(users: readonly UserUpdate[], nowMs: number): void {
    for (const { userId, awaited, txns, cleared } of users) {
      for (const { eventId } of txns) this.#events.delete(eventId);
      for (const eventId of cleared) this.#events.delete(eventId);
      for (const event of awaited) this.#events.set(event.eventId, { ...event, userId, untilMs: nowMs + TXN_WAIT_MS });
    }
    for (const [eventId, { untilMs }] of this.#events) {
      if (untilMs > nowMs && this.#events.size <= MAX_EVENTS) return;
      this.#events.delete(eventId);
    }
  }

  /** Those of one user that still wait, in the order of their positions. */
  of(userId: UserId, nowMs: number): AwaitedEvent[] {
    const events = [...this.#events.values()].filter((event) => event.userId === userId && event.untilMs > nowMs);
    return events.sort((a, b) => a.pos - b.pos);
  }
}
