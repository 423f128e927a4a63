import type { RoomNid, StreamPos } from "#src/protocol/ids.ts";

/** Rooms with held events; a user who sends to more at once is a program without local echoes. */
const MAX_ROOMS = 16;
/** Held events of one room. */
const MAX_EVENTS = 100;

interface HeldEvent {
  eventId: string;
  pos: StreamPos;
  untilMs: number;
}

/** A user's own events that wait for their transaction ids; with them wait later events of the same room, and nothing else. */
export class HeldEvents {
  readonly #rooms = new Map<RoomNid, HeldEvent[]>();

  /** The first position of a room that is not shown yet; null when all is. */
  from(nid: RoomNid): StreamPos | null {
    return this.#rooms.get(nid)?.[0]?.pos ?? null;
  }

  /** When the next event has waited long enough; null when none waits. */
  get nextMs(): number | null {
    let next: number | null = null;
    for (const [first] of this.#rooms.values()) {
      if (first !== undefined && (next === null || first.untilMs < next)) next = first.untilMs;
    }
    return next;
  }

  /** Positions of one room come in ascending order. */
  hold(nid: RoomNid, event: HeldEvent): void {
    const held = this.#rooms.get(nid);
    if (held === undefined) {
      if (this.#rooms.size < MAX_ROOMS) this.#rooms.set(nid, [event]);
    } else if (held.length < MAX_EVENTS) held.push(event);
  }

  /** These events wait no longer; the rooms of which more can be shown now. */
  release(eventIds: ReadonlySet<string>): RoomNid[] {
    return eventIds.size === 0 ? [] : this.#keep(({ eventId }) => !eventIds.has(eventId));
  }

  /** Lets go what has waited long enough. */
  releaseDue(nowMs: number): RoomNid[] {
    return this.#keep(({ untilMs }) => untilMs > nowMs);
  }

  /** The user left: nothing more of the room is to come, and what there is need not wait. */
  releaseRoom(nid: RoomNid): void {
    this.#rooms.delete(nid);
  }

  clear(): void {
    this.#rooms.clear();
  }

  #keep(isHeld: (event: HeldEvent) => boolean): RoomNid[] {
    const moved: RoomNid[] = [];
    for (const [nid, events] of this.#rooms) {
      const kept = events.filter(isHeld);
      if (kept.length === events.length) continue;
      if (kept[0] !== events[0]) moved.push(nid);
      if (kept.length === 0) this.#rooms.delete(nid);
      else this.#rooms.set(nid, kept);
    }
    return moved;
  }
}
