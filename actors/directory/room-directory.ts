import { invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { StateNeed } from "#src/protocol/engine/room-entries.ts";
import type { RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta } from "#src/protocol/room-meta.ts";
import type { RoomUpdate, UpdateBatch, UserUpdate } from "#src/protocol/update.ts";
import type { RoomReader, StateQuery } from "#src/ports/stores.ts";
import { RoomCache } from "./room-cache.ts";

/** Timelines are read at least this deep: the next client asks for no fewer. */
const MIN_TIMELINE_READ = 20;
/** Updates with more bytes than this are not kept alive for the few events that stay in memory. */
const PINNED_UPDATE_BYTES = 64 * 1024;

/** The budget is checked once in so many reads: the check looks at every room that holds something. */
const LOADS_PER_SWEEP = 16;

/** How the directory reaches a user that is active in this host. */
export interface DirectoryUser {
  readonly userId: UserId;
  /** Called within the turn that applies a commit: rooms the user is in, and what concerns the user alone. */
  feed(toPos: StreamPos, rooms: readonly RoomUpdate[], user: UserUpdate | null): void;
}

/** Rooms of the users that are active in one sync host, kept up to date by commits. One for each host. */
export class RoomDirectory {
  readonly #reader: RoomReader;
  readonly #budgetBytes: number;
  readonly #rooms = new Map<RoomNid, RoomCache>();
  readonly #members = new Map<RoomNid, Set<DirectoryUser>>();
  readonly #users = new Map<UserId, DirectoryUser>();
  /** Commits applied while a user is being read from storage, which may be of an earlier or later position. */
  #log: UpdateBatch[] = [];
  #loading = 0;
  /** Rooms with droppable content, least recently used first. */
  readonly #recent = new Map<RoomNid, RoomCache>();
  #head: StreamPos = 0;
  #isPrimed = false;
  #useCount = 0;
  #loadsSinceSweep = 0;
  readonly #holds = new Set<{ fromUse: number }>();
  #waiting: { pos: StreamPos; callback: () => void }[] = [];

  constructor(reader: RoomReader, budgetBytes: number) {
    this.#reader = reader;
    this.#budgetBytes = budgetBytes;
  }

  /** Every commit up to here is applied. */
  get head(): StreamPos {
    return this.#head;
  }

  get roomCount(): number {
    return this.#rooms.size;
  }

  room(nid: RoomNid): RoomCache | undefined {
    return this.#rooms.get(nid);
  }

  /** At start of the host: what was committed before it listened needs no applying, for nobody is read yet. */
  prime(head: StreamPos): void {
    this.#isPrimed = true;
    this.#advance(Math.max(this.#head, head));
  }

  /** Calls back once every commit up to `pos` is applied: at once, or within a later `apply`. */
  whenAt(pos: StreamPos, callback: () => void): void {
    if (this.#head >= pos) callback();
    else this.#waiting.push({ pos, callback });
  }

  /** From here on commits are remembered until `endLoad`, so that none falls between a read and its use. */
  beginLoad(): void {
    this.#loading += 1;
  }

  endLoad(): void {
    this.#loading -= 1;
    if (this.#loading === 0) this.#log = [];
  }

  /** Takes up a user read from storage as of `head`, which is applied; returns the commits since then that the read lacks. */
  addUser(
    user: DirectoryUser,
    head: StreamPos,
    rooms: readonly { nid: RoomNid; isJoined: boolean; meta: RoomMeta }[],
  ): readonly UpdateBatch[] {
    this.#forget(this.#users.get(user.userId));
    this.#users.set(user.userId, user);
    const added = new Set<RoomNid>();
    for (const { nid, isJoined, meta } of rooms) {
      if (!this.#rooms.has(nid)) {
        this.#rooms.set(nid, new RoomCache(meta, head));
        added.add(nid);
      }
      if (isJoined) this.#join(nid, user);
    }
    const missed = this.#log.filter((batch) => batch.toPos > head);
    for (const batch of missed) {
      for (const update of batch.rooms)
        if (added.has(update.nid)) this.#rooms.get(update.nid)?.apply(update, copyEvent);
    }
    return missed;
  }

  /** The user is idle: its rooms go unless others are in them. */
  removeUser(user: DirectoryUser, nids: Iterable<RoomNid>): void {
    if (this.#users.get(user.userId) === user) this.#users.delete(user.userId);
    for (const nid of nids) {
      this.leave(nid, user);
      if (this.#members.has(nid)) continue;
      this.#rooms.delete(nid);
      this.#recent.delete(nid);
    }
  }

  /** Applies one commit and feeds the users it concerns. Throws when one before it never arrived: all in memory is of the past. */
  apply(batch: UpdateBatch, sizeBytes: number): void {
    invariant(!this.#isPrimed || batch.fromPos <= this.#head, "every commit reaches the directory");
    if (this.#loading > 0) this.#log.push(batch);
    const keep = sizeBytes > PINNED_UPDATE_BYTES ? copyEvent : keepEvent;
    const updates = new Map(batch.rooms.map((room) => [room.nid, room]));
    const fed = new Map<DirectoryUser, { rooms: RoomUpdate[]; user: UserUpdate | null }>();
    for (const update of batch.users) {
      const user = this.#users.get(update.userId);
      if (user === undefined) continue;
      fed.set(user, { rooms: [], user: update });
      for (const standing of update.rooms) {
        const room = updates.get(standing.nid);
        if (!this.#rooms.has(standing.nid) && room !== undefined) {
          this.#rooms.set(standing.nid, new RoomCache(room.meta, batch.fromPos));
        }
        if (standing.membership === "join") this.#join(standing.nid, user);
      }
    }
    for (const update of batch.rooms) {
      const room = this.#rooms.get(update.nid);
      if (room === undefined) continue;
      room.apply(update, keep);
      for (const user of this.#members.get(update.nid) ?? []) {
        const feed = fed.get(user) ?? { rooms: [], user: null };
        feed.rooms.push(update);
        fed.set(user, feed);
      }
    }
    for (const [user, feed] of fed) user.feed(batch.toPos, feed.rooms, feed.user);
    this.#advance(Math.max(this.#head, batch.toPos));
  }

  /** What is used from here on stays in memory, whatever the budget says, until the returned function is called. */
  hold(): () => void {
    const hold = { fromUse: this.#useCount };
    this.#holds.add(hold);
    return () => {
      this.#holds.delete(hold);
      this.#enforceBudget();
    };
  }

  /** The user is no longer in the room; call after its leave was delivered. */
  leave(nid: RoomNid, user: DirectoryUser): void {
    const members = this.#members.get(nid);
    if (members === undefined) return;
    members.delete(user);
    if (members.size === 0) this.#members.delete(nid);
  }

  /** Brings timelines into memory; null when they are there already. */
  ensureTimelines(needs: readonly { nid: RoomNid; limit: number; since: StreamPos | null }[]): Promise<void> | null {
    const missing = needs.filter(({ nid, limit, since }) => {
      const room = this.#use(nid);
      if (room === undefined) return false;
      return since === null ? !room.hasTimeline(limit) : !room.covers(since);
    });
    if (missing.length === 0) return null;
    return this.#readTimelines(
      missing.map(({ nid, limit, since }) => ({
        nid,
        upTo: Number.MAX_SAFE_INTEGER,
        limit: Math.max(limit, since === null ? MIN_TIMELINE_READ : DELTA_READ),
      })),
    );
  }

  /** Brings selected state and members into memory; null when they are there already. */
  ensureState(needs: readonly StateNeed[]): Promise<void> | null {
    const queries: { nid: RoomNid; entries: (readonly [string, string])[] }[] = [];
    for (const { nid, selection, members } of needs) {
      const room = this.#use(nid);
      if (room === undefined) continue;
      const entries: (readonly [string, string])[] = [];
      if (selection !== null && !room.hasState(selection)) entries.push(...selection.entries);
      for (const member of members) if (!room.hasMember(member)) entries.push(["m.room.member", member]);
      if (entries.length > 0) queries.push({ nid, entries });
    }
    if (queries.length === 0) return null;
    return this.#readState(queries);
  }

  /** Brings receipts into memory; null when they are there already. */
  ensureReceipts(nids: readonly RoomNid[]): Promise<void> | null {
    const missing = nids.filter((nid) => this.#use(nid)?.hasReceipts === false);
    if (missing.length === 0) return null;
    return this.#readReceipts(missing);
  }

  async #readTimelines(queries: Parameters<RoomReader["loadTimelines"]>[0]): Promise<void> {
    for (const chunk of await this.#reader.loadTimelines(queries)) this.#rooms.get(chunk.nid)?.setTimeline(chunk);
    this.#enforceBudget();
  }

  async #readState(queries: readonly StateQuery[]): Promise<void> {
    const byRoom = Map.groupBy(await this.#reader.loadState(queries), (event) => event.nid);
    for (const { nid, entries } of queries) this.#rooms.get(nid)?.setState(entries, byRoom.get(nid) ?? []);
    this.#enforceBudget();
  }

  async #readReceipts(nids: readonly RoomNid[]): Promise<void> {
    const byRoom = Map.groupBy(await this.#reader.loadReceipts(nids), (receipt) => receipt.nid);
    for (const nid of nids) this.#rooms.get(nid)?.setReceipts(byRoom.get(nid) ?? []);
    this.#enforceBudget();
  }

  /** An earlier incarnation of a user actor that crashed gets no more feeds. */
  #forget(user: DirectoryUser | undefined): void {
    if (user === undefined) return;
    for (const nid of this.#members.keys()) this.leave(nid, user);
  }

  #advance(head: StreamPos): void {
    this.#head = head;
    const ready = this.#waiting.filter(({ pos }) => pos <= head);
    if (ready.length === 0) return;
    this.#waiting = this.#waiting.filter(({ pos }) => pos > head);
    for (const { callback } of ready) callback();
  }

  #join(nid: RoomNid, user: DirectoryUser): void {
    const members = this.#members.get(nid);
    if (members === undefined) this.#members.set(nid, new Set([user]));
    else members.add(user);
  }

  #use(nid: RoomNid): RoomCache | undefined {
    const room = this.#rooms.get(nid);
    if (room === undefined) return undefined;
    this.#useCount += 1;
    room.lastUse = this.#useCount;
    this.#recent.delete(nid);
    this.#recent.set(nid, room);
    return room;
  }

  #enforceBudget(): void {
    this.#loadsSinceSweep += 1;
    if (this.#loadsSinceSweep < LOADS_PER_SWEEP) return;
    this.#loadsSinceSweep = 0;
    const heldFrom = Math.min(...[...this.#holds].map(({ fromUse }) => fromUse));
    let total = 0;
    for (const room of this.#recent.values()) total += room.bytes;
    for (const [nid, room] of this.#recent) {
      if (total <= this.#budgetBytes || room.lastUse > heldFrom) return;
      total -= room.bytes;
      room.drop(this.#head);
      this.#recent.delete(nid);
    }
  }
}

/** Deep enough to tell "too much was missed" from "here is all of it". */
const DELTA_READ = 101;

const keepEvent = (event: StoredEvent): StoredEvent => event;
const copyEvent = (event: StoredEvent): StoredEvent => ({ ...event, json: event.json.slice() });
