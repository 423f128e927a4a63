import { nowUs } from "./marker.ts";
import type { Topology } from "./topology.ts";
import { roomIdOf, roomsOfUsers, usersOfRoom } from "./topology.ts";
import { liveJoin, liveMessage, roomStart } from "./upstream-events.ts";

const KEY_COUNTS =
  '"device_one_time_keys_count":{"signed_curve25519":50},"device_unused_fallback_key_types":["signed_curve25519"]';
/** Events that can be read back by `since`; far more than any workload sends. */
const MAX_LOG = 1_000_000;

/** Live events of one room that a poll brings; the same object for everybody, so that its text is made once. */
type Piece = { readonly room: number; readonly event: string };
type Waiter = { readonly since: number; readonly answer: (body: Uint8Array) => void; readonly timer: Timer };

/** A classic homeserver reduced to what costs nothing: all text is made when it is sent, not when it is asked for. */
export class MadeUpHomeserver {
  readonly #topology: Topology;
  readonly #roomsOf: readonly (readonly number[])[];
  readonly #starts: Buffer[] = [];
  readonly #log: Piece[] = [];
  /** For each account the positions in the log that concern it, ascending. */
  readonly #positionsOf: number[][];
  readonly #waiters = new Map<number, Waiter>();
  #sharedKey = "";
  #sharedBody: Uint8Array = new Uint8Array();

  constructor(topology: Topology) {
    this.#topology = topology;
    this.#roomsOf = roomsOfUsers(topology);
    this.#positionsOf = this.#roomsOf.map(() => []);
    for (let room = 0; room < topology.rooms; room += 1) {
      const { state, history } = roomStart(topology, room);
      this.#starts.push(
        Buffer.from(
          `"${roomIdOf(room)}":{"timeline":{"events":[${history.join(",")}],"limited":true,"prev_batch":"p${room}"},` +
            `"state":{"events":[${state.join(",")}]},"account_data":{"events":[]},"ephemeral":{"events":[]},` +
            '"unread_notifications":{"notification_count":1,"highlight_count":0},"summary":{}}',
        ),
      );
    }
  }

  get waitingCount(): number {
    return this.#waiters.size;
  }

  /** One message in each of the rooms, numbered from `first`, all visible at once. */
  sendMessages(rooms: readonly number[], first: number): void {
    this.#send(
      rooms.map((room, index) => ({ room, event: liveMessage(this.#topology, room, first + index, nowUs()) })),
    );
  }

  /** New members in one room, numbered from `first`, all visible at once. */
  sendJoins(room: number, count: number, first: number): void {
    this.#send(Array.from({ length: count }, (_, index) => ({ room, event: liveJoin(first + index, nowUs()) })));
  }

  #send(pieces: readonly Piece[]): void {
    if (this.#log.length + pieces.length > MAX_LOG) throw new Error("the made-up homeserver keeps no more events");
    const concerned = new Set<number>();
    for (const piece of pieces) {
      this.#log.push(piece);
      for (const user of usersOfRoom(this.#topology, piece.room)) {
        this.#positionsOf[user]?.push(this.#log.length);
        concerned.add(user);
      }
    }
    for (const user of concerned) {
      const waiter = this.#waiters.get(user);
      if (waiter === undefined) continue;
      clearTimeout(waiter.timer);
      this.#waiters.delete(user);
      waiter.answer(this.#bodySince(user, waiter.since));
    }
  }

  /** A classic sync; `since` null is the first one. */
  sync(user: number, since: number | null, timeoutMs: number): Uint8Array | Promise<Uint8Array> {
    if (since === null) return this.#firstBody(user);
    const newest = this.#positionsOf[user]?.at(-1) ?? 0;
    if (newest > since || timeoutMs <= 0) return this.#bodySince(user, since);
    // A device has one poll at a time; a second one takes the place of the first.
    const before = this.#waiters.get(user);
    if (before !== undefined) {
      clearTimeout(before.timer);
      before.answer(this.#emptyBody());
    }
    return new Promise((answer) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(user);
        answer(this.#emptyBody());
      }, timeoutMs);
      this.#waiters.set(user, { since, answer, timer });
    });
  }

  #emptyBody(): Uint8Array {
    return Buffer.from(`{"next_batch":"s${this.#log.length}",${KEY_COUNTS}}`);
  }

  #firstBody(user: number): Uint8Array {
    const parts: Buffer[] = [Buffer.from(`{"next_batch":"s0",${KEY_COUNTS},"rooms":{"join":{`)];
    for (const [index, room] of (this.#roomsOf[user] ?? []).entries()) {
      if (index > 0) parts.push(Buffer.from(","));
      parts.push(this.#starts[room] ?? Buffer.alloc(0));
    }
    // Events already sent are fetched by the next poll: `next_batch` is the position before all of them.
    parts.push(Buffer.from("}}}"));
    return Buffer.concat(parts);
  }

  #bodySince(user: number, since: number): Uint8Array {
    const positions = this.#positionsOf[user] ?? [];
    let start = positions.length;
    while (start > 0 && (positions[start - 1] ?? 0) > since) start -= 1;
    const news = positions.slice(start);
    if (news.length === 0) return this.#emptyBody();
    const key = `${this.#log.length}:${news.join(",")}`;
    if (key === this.#sharedKey) return this.#sharedBody;

    const byRoom = new Map<number, string[]>();
    for (const position of news) {
      const piece = this.#log[position - 1];
      if (piece === undefined) continue;
      const events = byRoom.get(piece.room);
      if (events === undefined) byRoom.set(piece.room, [piece.event]);
      else events.push(piece.event);
    }
    const rooms = [...byRoom].map(
      ([room, events]) =>
        `"${roomIdOf(room)}":{"timeline":{"events":[${events.join(",")}],"limited":false,"prev_batch":"p${room}_${news[0]}"},` +
        '"state":{"events":[]},"account_data":{"events":[]},"ephemeral":{"events":[]},' +
        '"unread_notifications":{"notification_count":1,"highlight_count":0},"summary":{}}',
    );
    this.#sharedKey = key;
    this.#sharedBody = Buffer.from(
      `{"next_batch":"s${this.#log.length}",${KEY_COUNTS},"rooms":{"join":{${rooms.join(",")}}}}`,
    );
    return this.#sharedBody;
  }
}
