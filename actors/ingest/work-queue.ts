import type { RoomId } from "#src/protocol/ids.ts";
import { isBulk, type Work } from "./work.ts";

/** A group's bounds: what one transaction, its memory and the hosts it is sent to can take without stalling others. */
const GROUP_BYTES = 4 * 1024 * 1024;
const GROUP_EVENTS = 20_000;
/** What of first syncs goes into a group beside live batches, and without any; one piece goes in any case. */
const BULK_BESIDE_LIVE_BYTES = 512 * 1024;
const BULK_ALONE_BYTES = 2 * 1024 * 1024;

/** Batches that wait to be stored. Live ones go before pieces of first syncs; parts of a failed batch before both, alone. */
export class WorkQueue {
  #alone: Work[] = [];
  #live: Work[] = [];
  #bulk: Work[] = [];

  get size(): number {
    return this.#alone.length + this.#live.length + this.#bulk.length;
  }

  add(work: Work): void {
    (isBulk(work) ? this.#bulk : this.#live).push(work);
  }

  /** Parts of a failed group, to be done next and in this order. */
  addAlone(works: readonly Work[]): void {
    this.#alone = [...works, ...this.#alone];
  }

  /** Takes out a waiting batch with a `since` of the same poller, which a newer one makes pointless. */
  takeSuperseded(poller: string): Work | null {
    const queue = [this.#live, this.#bulk].find((works) => works.some((work) => isFinalOf(work, poller)));
    if (queue === undefined) return null;
    const [work] = queue.splice(
      queue.findIndex((candidate) => isFinalOf(candidate, poller)),
      1,
    );
    return work ?? null;
  }

  has(poller: string): boolean {
    return [this.#alone, this.#live, this.#bulk].some((works) => works.some((work) => work.poller === poller));
  }

  takeAll(): Work[] {
    const all = [...this.#alone, ...this.#live, ...this.#bulk];
    this.#alone = [];
    this.#live = [];
    this.#bulk = [];
    return all;
  }

  /** The next group; empty when nothing waits. */
  takeGroup(): Work[] {
    const alone = this.#alone.shift();
    if (alone !== undefined) return [alone];
    const group: Work[] = [];
    const room = { bytes: GROUP_BYTES, events: GROUP_EVENTS };
    this.#live = takeInto(group, this.#live, room);
    room.bytes = Math.min(room.bytes, group.length > 0 ? BULK_BESIDE_LIVE_BYTES : BULK_ALONE_BYTES);
    this.#bulk = takeInto(group, this.#bulk, room);
    return group;
  }

  /** Pieces of first syncs without these rooms, in their order, when nothing else waits. */
  takeAhead(rooms: ReadonlySet<RoomId>): Work[] {
    if (this.#alone.length + this.#live.length > 0) return [];
    const shared = this.#bulk.findIndex(({ batch }) => batch.rooms.some(({ roomId }) => rooms.has(roomId)));
    const free = shared === -1 ? this.#bulk : this.#bulk.slice(0, shared);
    const group: Work[] = [];
    takeInto(group, free, { bytes: BULK_ALONE_BYTES, events: GROUP_EVENTS });
    this.#bulk = this.#bulk.slice(group.length);
    return group;
  }

  /** Undoes `takeAhead`. */
  putBack(works: readonly Work[]): void {
    this.#bulk = [...works, ...this.#bulk];
  }
}

const isFinalOf = (work: Work, poller: string): boolean => work.poller === poller && work.batch.since !== null;

/** Moves the works that fit into `group`, the first one in any case; returns what stays. */
function takeInto(group: Work[], queue: Work[], room: { bytes: number; events: number }): Work[] {
  let taken = 0;
  for (const work of queue) {
    const fits = work.bytes <= room.bytes && work.events <= room.events;
    if (!fits && taken > 0) break;
    group.push(work);
    room.bytes -= work.bytes;
    room.events -= work.events;
    taken += 1;
  }
  return queue.slice(taken);
}
