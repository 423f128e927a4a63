import type { EventFields } from "#src/protocol/events.ts";
import type { RoomNid, StreamPos } from "#src/protocol/ids.ts";
import { type Stickiness, type StickyEvent, stickyUntil } from "#src/protocol/sticky-events.ts";
import type { IngestContext, KnownSticky } from "./ingest-context.ts";
import type { IngestTransaction } from "./ingest-transaction.ts";

/** Sticky events kept of one room at a time, all senders together: anybody may send them, and they come to everybody. */
export const STICKY_PER_ROOM = 1000;
/** The same for one sender, so that nobody takes the places of all. */
export const STICKY_PER_SENDER = 100;
/** The same for their bytes. */
export const STICKY_BYTES_PER_ROOM = 4 * 1024 * 1024;

const NOTHING_LEFT = new Uint8Array(0);

interface RoomSticky {
  known: Map<string, KnownSticky>;
  news: Map<string, StickyEvent>;
  sizeBytes: number;
  countBySender: Map<string, number>;
}

/** Sticky events of the rooms that a group has to do with. */
export class StickyDrafts {
  readonly #context: IngestContext;
  readonly #nextPos: () => StreamPos;
  readonly #rooms = new Map<RoomNid, RoomSticky>();
  /** Redacted by this group: they do not become sticky any more. */
  readonly #redacted = new Set<string>();

  constructor(context: IngestContext, nextPos: () => StreamPos) {
    this.#context = context;
    this.#nextPos = nextPos;
  }

  /** Takes an event that is sticky, unless it is known or expired already; why it is refused, null = it is not. */
  add(nid: RoomNid, event: EventFields, stickiness: Stickiness): string | null {
    const { nowMs } = this.#context;
    const expiresMs = stickyUntil(stickiness, event.ts, nowMs);
    if (expiresMs <= nowMs || this.#redacted.has(`${nid} ${event.id}`)) return null;
    const room = this.#room(nid);
    if (room.known.has(event.id)) return null;
    const ofSender = room.countBySender.get(event.sender) ?? 0;
    const sizeBytes = event.json.length;
    if (room.known.size >= STICKY_PER_ROOM || room.sizeBytes + sizeBytes > STICKY_BYTES_PER_ROOM)
      return "too many sticky events in the room";
    if (ofSender >= STICKY_PER_SENDER) return "too many sticky events of one sender";
    const { id, sender, json } = event;
    note(room, id, { sender, expiresMs, sizeBytes });
    room.news.set(id, { nid, id, sender, pos: this.#nextPos(), expiresMs, json });
    return null;
  }

  /** An event is redacted: from then on it is not sticky. */
  redact(nid: RoomNid, target: string): void {
    this.#redacted.add(`${nid} ${target}`);
    const room = this.#rooms.get(nid) ?? (this.#context.sticky(nid).size === 0 ? null : this.#room(nid));
    const known = room?.known.get(target);
    if (room == null || known === undefined) return;
    const { sender, expiresMs } = known;
    const id = target as StickyEvent["id"];
    const pos = room.news.get(target)?.pos ?? this.#nextPos();
    room.news.set(id, { nid, id, sender, pos, expiresMs, json: NOTHING_LEFT });
  }

  /** What is new of a room; it is stored. */
  finish(tx: IngestTransaction, nid: RoomNid): StickyEvent[] {
    const news = [...(this.#rooms.get(nid)?.news.values() ?? [])].sort((a, b) => a.pos - b.pos);
    tx.sticky.push(...news);
    return news;
  }

  #room(nid: RoomNid): RoomSticky {
    let room = this.#rooms.get(nid);
    if (room === undefined) {
      room = { known: new Map(), news: new Map(), sizeBytes: 0, countBySender: new Map() };
      for (const [id, known] of this.#context.sticky(nid)) note(room, id, known);
      this.#rooms.set(nid, room);
    }
    return room;
  }
}

function note(room: RoomSticky, id: string, known: KnownSticky): void {
  room.known.set(id, known);
  room.sizeBytes += known.sizeBytes;
  room.countBySender.set(known.sender, (room.countBySender.get(known.sender) ?? 0) + 1);
}
