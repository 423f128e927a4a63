import type { RoomWish, WireAnswer, WireEvent, Wish } from "./simplified-connection.ts";
import { type Place, SimplifiedConnection, START } from "./simplified-connection.ts";

const FIRST_END = 19;
const BATCH = 100;
const POLL_MS = 30_000;
const BACKOFF_MS = 100;

/** What the room list asks for of each room. */
export const ROOM_LIST_STATE: RoomWish["required_state"] = [
  ["m.room.name", ""],
  ["m.room.encryption", ""],
  ["m.room.member", "$LAZY"],
  ["m.room.member", "$ME"],
  ["m.room.topic", ""],
  ["m.room.avatar", ""],
  ["m.room.canonical_alias", ""],
  ["m.room.power_levels", ""],
  ["org.matrix.msc3401.call.member", "*"],
  ["m.room.join_rules", ""],
  ["m.room.tombstone", ""],
  ["m.room.create", ""],
  ["m.room.history_visibility", ""],
  ["io.element.functional_members", ""],
  ["m.space.parent", "*"],
  ["m.space.child", "*"],
  ["org.matrix.msc3672.beacon_info", "*"],
];
const SUBSCRIPTION: RoomWish = {
  timeline_limit: 20,
  required_state: [...ROOM_LIST_STATE, ["m.room.pinned_events", ""]],
};

/** What outlives the app: positions, and what the crypto store has processed. */
export interface Disk {
  roomList: Place;
  encryption: Place;
}

/** What the app knows of a room; `null` in its events is a gap. */
interface KnownRoom {
  name: string | undefined;
  events: (WireEvent | null)[];
}

/** One request of the room list: what it asked for, and what came of it. */
export interface RoomListRequest {
  end: number;
  timeoutMs: number;
  pos: string | null;
  status: number;
  rooms: number;
  count: number;
}

type Loading = "init" | "growing" | "full" | "recovering";

/** A disk before the first run. */
export const emptyDisk = (): Disk => ({
  roomList: START,
  encryption: START,
});

/** The sync of Element X: its connections, its windows, and how it cancels and sends again. */
export class ElementX {
  readonly rooms = new Map<string, KnownRoom>();
  readonly requests: RoomListRequest[] = [];
  readonly toDevice: string[] = [];
  /** Every answer that was an error; errors of the network are none. */
  readonly errors: string[] = [];
  count = 0;
  readonly #disk: Disk;
  readonly #roomList: SimplifiedConnection;
  readonly #encryption: SimplifiedConnection;
  #loading: Loading = "init";
  #end = FIRST_END;
  #opened: readonly string[] = [];
  #resend = new AbortController();
  #running: { stop: AbortController; ended: Promise<unknown> } | null = null;

  constructor(origin: string, accessToken: string, disk: Disk) {
    this.#disk = disk;
    this.#roomList = new SimplifiedConnection(origin, accessToken, "room-list");
    this.#encryption = new SimplifiedConnection(origin, accessToken, "encryption");
  }

  /** Begins to sync; after half an hour's sleep with a small window. */
  start(): void {
    const stop = new AbortController();
    this.#running = {
      stop,
      ended: Promise.all([
        this.#repeat(stop, () => this.#syncRooms(stop)),
        this.#repeat(stop, () => this.#syncKeys(stop)),
      ]),
    };
  }

  /** Drops what is on its way; what has come is on disk. */
  async stop(): Promise<void> {
    this.#running?.stop.abort();
    this.#resend.abort();
    await this.#running?.ended;
    this.#running = null;
  }

  /** Nothing for so long that the list is not trusted to be small any more. */
  async sleepForHalfAnHour(): Promise<void> {
    await this.stop();
    this.#loading = "recovering";
    this.#end = FIRST_END;
  }

  /** Other rooms are on the screen: the request on its way is dropped, and sent anew from the same place. */
  show(roomIds: readonly string[]): void {
    this.#opened = roomIds;
    this.#resend.abort();
  }

  get isLoaded(): boolean {
    return this.#loading === "full";
  }

  /** Ids of a room's events, those before a gap included. */
  eventIds(roomId: string): string[] {
    return (this.rooms.get(roomId)?.events ?? []).flatMap((event) => event?.event_id ?? []);
  }

  async #repeat(stop: AbortController, once: () => Promise<void>): Promise<void> {
    while (!stop.signal.aborted)
      await once().catch(async (error: unknown) => {
        if (stop.signal.aborted || (error as Error).name === "AbortError") return;
        await Bun.sleep(BACKOFF_MS);
      });
  }

  async #syncRooms(stop: AbortController): Promise<void> {
    this.#resend = new AbortController();
    const end = this.#end;
    const timeoutMs = this.#loading === "full" ? POLL_MS : 0;
    const wish: Partial<Wish> = {
      lists: { all_rooms: { ranges: [[0, end]], timeline_limit: 1, required_state: ROOM_LIST_STATE, filters: {} } },
      room_subscriptions: Object.fromEntries(this.#opened.map((roomId) => [roomId, SUBSCRIPTION])),
      extensions: {
        account_data: { enabled: true },
        receipts: { enabled: true, rooms: ["*"] },
        typing: { enabled: true },
      },
    };
    const from = this.#disk.roomList;
    const signal = AbortSignal.any([stop.signal, this.#resend.signal]);
    const { status, errcode, answer } = await this.#roomList.sync(wish, { from, timeoutMs, signal });
    const count = answer?.lists?.["all_rooms"]?.count ?? -1;
    this.requests.push({
      end,
      timeoutMs,
      pos: from.pos,
      status,
      count,
      rooms: Object.keys(answer?.rooms ?? {}).length,
    });
    if (answer === null) return this.#failed(status, errcode);
    this.#disk.roomList = this.#roomList.place;
    this.#apply(answer);
    this.#grow(count);
  }

  #grow(count: number): void {
    this.count = count;
    const wasFirst = this.#loading === "init" || this.#loading === "recovering";
    if (!wasFirst && this.#end >= count - 1) this.#loading = "full";
    else this.#loading = "growing";
    if (wasFirst) this.#end = Math.max(0, Math.min(BATCH, count) - 1);
    else this.#end = Math.max(0, this.#loading === "full" ? count - 1 : Math.min(this.#end + BATCH, count - 1));
  }

  #apply({ rooms }: WireAnswer): void {
    for (const [roomId, entry] of Object.entries(rooms)) {
      const room = this.rooms.get(roomId) ?? { name: undefined, events: [] };
      this.rooms.set(roomId, room);
      const name = entry.required_state?.find(({ type }) => type === "m.room.name");
      if (name !== undefined) room.name = String(name.content["name"]);
      if (entry["unstable_expanded_timeline"] === true) {
        // The same events again with older ones before them: they move to where they are told now.
        const again = new Set((entry.timeline ?? []).map(({ event_id: id }) => id));
        room.events = room.events.filter((event) => event === null || !again.has(event.event_id));
      }
      const known = new Set(this.eventIds(roomId));
      if (entry.limited === true && room.events.length > 0) room.events.push(null);
      room.events.push(...(entry.timeline ?? []).filter(({ event_id: id }) => id === undefined || !known.has(id)));
    }
  }

  async #syncKeys(stop: AbortController): Promise<void> {
    const from = this.#disk.encryption;
    const result = await this.#encryption.sync(keysWish(), { from, timeoutMs: POLL_MS, signal: stop.signal });
    if (result.answer === null) return this.#failed(result.status, result.errcode);
    this.#disk.encryption = this.#encryption.place;
    this.toDevice.push(...textsOf(result.answer));
  }

  async #failed(status: number, errcode: string | null): Promise<void> {
    this.errors.push(`${status} ${errcode}`);
    if (errcode === "M_UNKNOWN_POS") {
      this.#disk.roomList = START;
      this.#disk.encryption = { pos: null, since: this.#disk.encryption.since };
      this.#loading = "init";
      this.#end = FIRST_END;
      this.#opened = [];
    }
    await Bun.sleep(BACKOFF_MS);
  }
}

/** What the process that is woken by a push does: three short looks at rooms, two at keys, and it is gone. */
export async function wakeForPush(
  origin: string,
  accessToken: string,
  disk: Disk,
  pushed: { roomId: string; eventId: string },
): Promise<{ errors: string[]; eventIds: string[]; toDevice: string[] }> {
  const found = { errors: [] as string[], eventIds: [] as string[], toDevice: [] as string[] };
  const keys = new SimplifiedConnection(origin, accessToken, "encryption");
  keys.place = { pos: null, since: disk.encryption.since };
  for (let turn = 0; turn < 2; turn += 1) {
    const { status, errcode, answer } = await keys.sync(keysWish(), { timeoutMs: turn === 0 ? 3000 : 0 });
    if (answer === null) found.errors.push(`${status} ${errcode}`);
    else found.toDevice.push(...textsOf(answer));
    disk.encryption = { ...disk.encryption, since: keys.place.since };
  }
  const rooms = new SimplifiedConnection(origin, accessToken, "notifications");
  for (let turn = 0; turn < 3; turn += 1) {
    const wish: Partial<Wish> = {
      lists: {
        invites: {
          ranges: [[0, 16]],
          timeline_limit: 8,
          required_state: ROOM_LIST_STATE,
          filters: { is_invite: true },
        },
      },
      room_subscriptions: { [pushed.roomId]: { timeline_limit: 16, required_state: ROOM_LIST_STATE } },
      extensions: { account_data: { enabled: true } },
    };
    const { status, errcode, answer } = await rooms.sync(wish, { timeoutMs: 1000 });
    if (answer === null) found.errors.push(`${status} ${errcode}`);
    for (const { timeline } of Object.values(answer?.rooms ?? {}))
      found.eventIds.push(...(timeline ?? []).flatMap(({ event_id: id }) => id ?? []));
    if (found.eventIds.includes(pushed.eventId)) break;
  }
  return found;
}

const keysWish = (): Partial<Wish> => ({ extensions: { to_device: { enabled: true }, e2ee: { enabled: true } } });

const textsOf = (answer: WireAnswer): string[] =>
  ((answer.extensions["to_device"]?.["events"] ?? []) as WireEvent[]).map(({ content }) => String(content["text"]));
