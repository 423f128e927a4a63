import { invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { StateNeed } from "#src/protocol/engine/room-entry.ts";
import type { TimelineNeed } from "#src/protocol/engine/room-timelines.ts";
import type { RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { RoomUpdate, StoredReceipt, UpdateBatch, UserUpdate } from "#src/protocol/update.ts";
import type { RoomReader, StateQuery } from "#src/ports/stores.ts";
import type { Barrier } from "./barrier.ts";
import { RoomCache, type RoomRead } from "./room-cache.ts";
import { HistoryShelf } from "./history-shelf.ts";
import { AwaitedBoard } from "./awaited-board.ts";
import { TypingBoard } from "./typing-board.ts";
import { SmallSet } from "#src/small-collections.ts";

/** Timelines are read at least this deep: the next client asks for no fewer. */
const MIN_TIMELINE_READ = 20;
/** Updates with more bytes than this are not kept alive for the few events that stay in memory. */
const PINNED_UPDATE_BYTES = 64 * 1024;

/** Histories kept that are older than what is stored. */
const HISTORY_BYTES = 4 * 1024 * 1024;

/** How the directory reaches a user that is active in this host. */
export interface DirectoryUser {
  readonly userId: UserId;
  /** Called within the turn that applies a commit: rooms the user is in, and what concerns the user alone. */
  feed(toPos: StreamPos, rooms: readonly RoomUpdate[], user: UserUpdate | null, barrier: Barrier): void;
}

/** A read of a user from storage, under way. */
export interface UserLoad {
  readonly fromPos: StreamPos;
}

interface ActiveUser {
  user: DirectoryUser;
  /** Rooms with a standing of the user. */
  rooms: SmallSet<RoomNid>;
}

type TimelineQuery = Parameters<RoomReader["loadTimelines"]>[0][number];

/** Rooms of the users that are active in one sync host, kept up to date by commits. One for each host. */
export class RoomDirectory {
  readonly #reader: RoomReader;
  readonly #budgetBytes: number;
  readonly #rooms = new Map<RoomNid, RoomCache>();
  readonly #members = new Map<RoomNid, SmallSet<DirectoryUser>>();
  readonly #users = new Map<UserId, ActiveUser>();
  readonly typing = new TypingBoard();
  readonly awaited = new AwaitedBoard();
  /** What is older than the stream. */
  readonly history = new HistoryShelf(HISTORY_BYTES);
  /** Commits applied while users are being read from storage: none may fall between a read and its use. */
  #log: UpdateBatch[] = [];
  /** Reads of users under way, oldest first, with the position each began at. */
  readonly #loads = new Set<UserLoad>();
  /** Rooms with droppable content, least recently used first. */
  readonly #recent = new Map<RoomNid, RoomCache>();
  /** Rooms of users that are gone, and the reads that began before they went. */
  #left: { nids: SmallSet<RoomNid>; loads: Set<UserLoad> }[] = [];
  #head: StreamPos = 0;
  #isPrimed = false;
  readonly #primed = Promise.withResolvers<void>();
  #useCount = 0;
  #cachedBytes = 0;
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

  /**
   * Resolves when it is known where the stream stands. What a read from before lacks may never arrive, and nobody would notice:
   * users are read behind this.
   */
  get primed(): Promise<void> {
    return this.#primed.promise;
  }

  /** At start of the host: what was committed before it listened needs no applying, for nobody is read yet. */
  prime(head: StreamPos): void {
    // Commits that arrived already say where the stream stands; what lies between the last of them and `head` is on its way.
    if (this.#isPrimed) return;
    this.#begin();
    this.#advance(head);
  }

  /** Calls back once every commit up to `pos` is applied: at once, or within a later `apply`. */
  whenAt(pos: StreamPos, callback: () => void): void {
    if (this.#head >= pos) callback();
    else this.#waiting.push({ pos, callback });
  }

  /** From here on commits are remembered until `endLoad`, so that none falls between a read and its use. */
  beginLoad(): UserLoad {
    const load = { fromPos: this.#head };
    this.#loads.add(load);
    return load;
  }

  endLoad(load: UserLoad): void {
    this.#loads.delete(load);
    this.#sweep(load);
    const oldest = first(this.#loads);
    this.#log = oldest === undefined ? [] : this.#log.filter((batch) => batch.toPos >= oldest.fromPos);
  }

  /**
   * Takes up a user read from storage as of `head`, which is applied; returns the commits since then that the read
   * lacks: for the user to apply, for the directory has.
   */
  addUser(
    user: DirectoryUser,
    head: StreamPos,
    rooms: readonly { nid: RoomNid; isJoined: boolean; meta: RoomMeta | null }[],
  ): readonly UpdateBatch[] {
    const before = this.#users.get(user.userId);
    if (before !== undefined) this.removeUser(before.user);
    const active: ActiveUser = { user, rooms: new SmallSet() };
    this.#users.set(user.userId, active);
    const added = new Set<RoomNid>();
    for (const { nid, isJoined, meta } of rooms) {
      if (!this.#rooms.has(nid)) {
        invariant(meta !== null, "what a load saw here is kept until it ends");
        this.#rooms.set(nid, new RoomCache(meta, head));
        added.add(nid);
      }
      this.#enter(active, nid);
      if (isJoined) this.#join(nid, user);
    }
    const missed = this.#log.filter((batch) => batch.toPos > head);
    for (const batch of missed) {
      const own = batch.users.find(({ userId }) => userId === user.userId)?.rooms ?? [];
      const updates = new Map(batch.rooms.map((room) => [room.nid, room]));
      for (const standing of own) if (this.#take(active, standing, updates, batch)) added.add(standing.nid);
      for (const { nid, membership } of own) if (membership !== "join") this.#leave(nid, user);
      for (const [nid, update] of updates) {
        const room = added.has(nid) ? this.#rooms.get(nid) : undefined;
        if (room !== undefined) this.#applyTo(room, update, copyEvent);
      }
    }
    return missed;
  }

  /** The user is idle: its rooms go unless other active users have a standing in them. */
  removeUser(user: DirectoryUser): void {
    const active = this.#users.get(user.userId);
    if (active?.user !== user) return;
    this.#users.delete(user.userId);
    for (const nid of active.rooms) {
      this.#leave(nid, user);
      const room = this.#rooms.get(nid);
      if (room !== undefined) room.userCount -= 1;
    }
    // A user that is being read may count on them.
    if (this.#loads.size > 0) this.#left.push({ nids: active.rooms, loads: new Set(this.#loads) });
    else this.#dropEmpty(active.rooms);
  }

  #sweep(load: UserLoad): void {
    const ready = this.#left.filter(({ loads }) => loads.delete(load) && loads.size === 0);
    if (ready.length === 0) return;
    this.#left = this.#left.filter(({ loads }) => loads.size > 0);
    for (const { nids } of ready) this.#dropEmpty(nids);
  }

  #dropEmpty(nids: Iterable<RoomNid>): void {
    for (const nid of nids) {
      const room = this.#rooms.get(nid);
      if (room === undefined || room.userCount > 0) continue;
      this.#rooms.delete(nid);
      if (this.#recent.delete(nid)) this.#cachedBytes -= room.bytes;
    }
  }

  /** Applies one commit and feeds the users it concerns. Throws when one before it never arrived: all in memory is of the past. */
  apply(batch: UpdateBatch, sizeBytes: number, barrier: Barrier): void {
    invariant(!this.#isPrimed || batch.fromPos <= this.#head, "every commit reaches the directory");
    // After one that arrived all others do, whether or not the host could read where the stream stood before.
    if (!this.#isPrimed) this.#begin();
    if (this.#loads.size > 0) this.#log.push(batch);
    const keep = sizeBytes > PINNED_UPDATE_BYTES ? copyEvent : keepEvent;
    const updates = new Map(batch.rooms.map((room) => [room.nid, room]));
    const fed = new Map<DirectoryUser, { rooms: RoomUpdate[]; user: UserUpdate | null }>();
    for (const update of batch.users) {
      const active = this.#users.get(update.userId);
      if (active === undefined) continue;
      fed.set(active.user, { rooms: [], user: update });
      for (const standing of update.rooms) this.#take(active, standing, updates, batch);
    }
    for (const update of batch.rooms) {
      if (changesHistory(update)) this.history.drop(update.nid);
      if (update.typing !== null) this.typing.set(update.nid, update.typing);
      const room = this.#rooms.get(update.nid);
      if (room === undefined) continue;
      this.#applyTo(room, update, keep);
      for (const user of this.#members.get(update.nid) ?? []) {
        const feed = fed.get(user);
        if (feed === undefined) fed.set(user, { rooms: [update], user: null });
        else feed.rooms.push(update);
      }
    }
    // Within the turn that applies the leave, and behind it: a rejoin of the next commit must not be taken back later.
    for (const [user, { user: own }] of fed) {
      for (const { nid, membership } of own?.rooms ?? []) if (membership !== "join") this.#leave(nid, user);
    }
    for (const [user, feed] of fed) user.feed(batch.toPos, feed.rooms, feed.user, barrier);
    this.#advance(Math.max(this.#head, batch.toPos));
    this.#enforceBudget();
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

  /** Brings timelines into memory; null when they are there already. */
  ensureTimelines(needs: readonly TimelineNeed[]): Promise<void> | null {
    const queries: TimelineQuery[] = [];
    for (const { nid, limit, since, upTo } of needs) {
      const room = this.#use(nid);
      if (room === undefined) continue;
      if (since !== null && room.covers(since)) continue;
      // Of what came after a position the newest may be enough.
      const isEnough = since === null || limit > 0;
      if (isEnough && room.hasTimeline(limit, upTo)) continue;
      const depth = Math.max(limit, isEnough ? MIN_TIMELINE_READ : DELTA_READ) + room.countAfter(upTo);
      queries.push({ nid, upTo: Number.MAX_SAFE_INTEGER, limit: depth });
    }
    return queries.length === 0 ? null : this.#readTimelines(queries);
  }

  /** Brings selected state and members into memory; null when they are there already. */
  ensureState(needs: readonly StateNeed[]): Promise<void> | null {
    const queries: { nid: RoomNid; entries: (readonly [string, string])[] }[] = [];
    for (const { nid, selection, members, allMembers } of needs) {
      const room = this.#use(nid);
      if (room === undefined) continue;
      const entries: (readonly [string, string])[] = [];
      if (selection !== null && !room.hasState(selection)) entries.push(...selection.entries);
      if (allMembers === true && !room.hasMembers) entries.push(["m.room.member", "*"]);
      for (const member of members) if (!room.hasMember(member)) entries.push(["m.room.member", member]);
      if (entries.length > 0) queries.push({ nid, entries });
    }
    return queries.length === 0 ? null : this.#readState(queries);
  }

  /** Brings receipts into memory; null when they are there already. */
  ensureReceipts(nids: readonly RoomNid[]): Promise<void> | null {
    const missing = nids.filter((nid) => this.#use(nid)?.hasReceipts === false);
    if (missing.length === 0) return null;
    const load = (): Promise<StoredReceipt[]> => this.#reader.loadReceipts(missing);
    return this.#readByRoom(missing, load, ({ room, read }, receipts) => room.setReceipts(read, receipts));
  }

  /** Brings sticky events into memory; null when they are there already, as for rooms without any. */
  ensureSticky(nids: readonly RoomNid[], nowMs: number): Promise<void> | null {
    const missing = nids.filter(
      (nid) => this.#rooms.get(nid)?.hasSticky(nowMs) === false && this.#use(nid) !== undefined,
    );
    if (missing.length === 0) return null;
    const load = (): Promise<StickyEvent[]> => this.#reader.loadSticky(missing, nowMs);
    return this.#readByRoom(missing, load, ({ room, read }, events) => room.setSticky(read, events));
  }

  #readTimelines(queries: TimelineQuery[]): Promise<void> {
    return this.#read(
      queries.map(({ nid }) => nid),
      () => this.#reader.loadTimelines(queries),
      (chunks, reads) => {
        for (const chunk of chunks) {
          const into = reads.get(chunk.nid);
          into?.room.setTimeline(into.read, chunk);
        }
      },
    );
  }

  #readState(queries: readonly StateQuery[]): Promise<void> {
    return this.#read(
      queries.map(({ nid }) => nid),
      () => this.#reader.loadState(queries),
      (events, reads) => {
        const byRoom = Map.groupBy(events, (event) => event.nid);
        for (const { nid, entries } of queries) {
          const into = reads.get(nid);
          into?.room.setState(into.read, entries, byRoom.get(nid) ?? []);
        }
      },
    );
  }

  #readByRoom<T extends { nid: RoomNid }>(
    nids: readonly RoomNid[],
    load: () => Promise<T[]>,
    take: (into: { room: RoomCache; read: RoomRead }, found: readonly T[]) => void,
  ): Promise<void> {
    return this.#read(nids, load, (found, reads) => {
      const byRoom = Map.groupBy(found, ({ nid }) => nid);
      for (const [nid, into] of reads) take(into, byRoom.get(nid) ?? []);
    });
  }

  /** Reads into the very rooms that asked: one that was dropped and made anew meanwhile knows nothing of this read. */
  async #read<T>(
    nids: readonly RoomNid[],
    load: () => Promise<T>,
    take: (result: T, reads: ReadonlyMap<RoomNid, { room: RoomCache; read: RoomRead }>) => void,
  ): Promise<void> {
    const reads = new Map<RoomNid, { room: RoomCache; read: RoomRead }>();
    for (const nid of nids) {
      const room = this.#rooms.get(nid);
      if (room !== undefined) reads.set(nid, { room, read: room.beginRead(this.#head) });
    }
    try {
      take(await load(), reads);
    } finally {
      for (const [nid, { room }] of reads) {
        const before = room.bytes;
        room.endRead();
        if (this.#recent.get(nid) === room) this.#cachedBytes += room.bytes - before;
      }
      this.#enforceBudget();
    }
  }

  #begin(): void {
    this.#isPrimed = true;
    this.#primed.resolve();
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
    if (members === undefined) this.#members.set(nid, new SmallSet([user]));
    else members.add(user);
  }

  /** The user has a standing in the room. True for a room that nobody had in memory: it begins with this commit. */
  #take(
    active: ActiveUser,
    standing: UserRoom,
    updates: ReadonlyMap<RoomNid, RoomUpdate>,
    batch: UpdateBatch,
  ): boolean {
    const { nid } = standing;
    const update = updates.get(nid);
    const isNew = !this.#rooms.has(nid) && update !== undefined;
    // Of a reset the commit brings only a part: the rest is in storage.
    if (isNew) this.#rooms.set(nid, new RoomCache(update.meta, update.isReset ? batch.toPos : batch.fromPos));
    this.#enter(active, nid);
    if (standing.membership === "join") this.#join(nid, active.user);
    return isNew;
  }

  #enter(active: ActiveUser, nid: RoomNid): void {
    const room = this.#rooms.get(nid);
    if (room === undefined || active.rooms.has(nid)) return;
    active.rooms.add(nid);
    room.userCount += 1;
  }

  #leave(nid: RoomNid, user: DirectoryUser): void {
    const members = this.#members.get(nid);
    if (members?.delete(user) === true && members.size === 0) this.#members.delete(nid);
  }

  #applyTo(room: RoomCache, update: RoomUpdate, keep: (event: StoredEvent) => StoredEvent): void {
    const before = room.bytes;
    room.apply(update, keep);
    if (room.bytes === before) return;
    if (this.#recent.has(update.nid)) this.#cachedBytes += room.bytes - before;
    this.#touch(update.nid, room);
  }

  #use(nid: RoomNid): RoomCache | undefined {
    const room = this.#rooms.get(nid);
    if (room !== undefined) this.#touch(nid, room);
    return room;
  }

  #touch(nid: RoomNid, room: RoomCache): void {
    this.#useCount += 1;
    room.lastUse = this.#useCount;
    if (!this.#recent.delete(nid)) this.#cachedBytes += room.bytes;
    this.#recent.set(nid, room);
  }

  #enforceBudget(): void {
    if (this.#cachedBytes <= this.#budgetBytes) return;
    // Holds end up in the order they began.
    const heldFrom = first(this.#holds)?.fromUse ?? Number.MAX_SAFE_INTEGER;
    for (const [nid, room] of this.#recent) {
      if (this.#cachedBytes <= this.#budgetBytes || room.lastUse > heldFrom) return;
      this.#cachedBytes -= room.bytes;
      room.drop(this.#head);
      this.#recent.delete(nid);
    }
  }
}

/** Events that were told before may be others now. */
const changesHistory = ({ isReset, redacted, timeline }: RoomUpdate): boolean =>
  isReset || redacted.length > 0 || timeline.some(({ redacts }) => redacts !== null);

/** The first of a set in the order of insertion. */
const first = <T>(set: ReadonlySet<T>): T | undefined => set.values().next().value;

/** Deep enough to tell "too much was missed" from "here is all of it". */
const DELTA_READ = 101;

const keepEvent = (event: StoredEvent): StoredEvent => event;
const copyEvent = (event: StoredEvent): StoredEvent => ({ ...event, json: event.json.slice() });
