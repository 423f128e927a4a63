import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import type { EventId, RoomId, RoomNid, StreamPos } from "#src/protocol/ids.ts";
import {
  AWAITED_REDACTIONS_LIMIT,
  type Hero,
  OPEN_GAPS_LIMIT,
  type RoomMeta,
  SEAMS_LIMIT,
} from "#src/protocol/room-meta.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { RoomUpdate } from "#src/protocol/update.ts";
import { type MemberChange, reduceHeroes, reduceLeavers } from "./heroes.ts";
import type { IngestContext } from "./ingest-context.ts";
import type { StateRow } from "./ingest-transaction.ts";
import { isBareRoom, reduceBumpTs, reduceLatestByType, reduceState, reduceVanished } from "./room-meta-reducer.ts";

const HISTORY_VISIBILITY = "m.room.history_visibility";
/** Longer state blocks of a room that is new, or sent anew, are left to be read back from storage by whoever needs them. */
const MAX_ANNOUNCED_STATE = 200;

/** Longest token of the homeserver that is kept for a room; those of real ones have tens of characters. */
const MAX_END_TOKEN = 1024;

const NO_CONTENT = new TextEncoder().encode("{}");

/** Stands for the membership event that there is none of any more. */
const vanished = ({ type, stateKey, eventId }: StateRow): EventFields => ({
  id: eventId as EventId,
  type,
  stateKey,
  sender: stateKey,
  ts: 0,
  membership: "leave",
  prevMembership: null,
  redacts: null,
  replacesState: null,
  txnId: null,
  json: NO_CONTENT,
});

/** One room while a group is being reduced. */
export class RoomDraft {
  readonly nid: RoomNid;
  readonly roomId: RoomId;
  /** Not in storage yet. */
  readonly isNew: boolean;
  /** Nothing of the room was stored before this group. */
  readonly wasBare: boolean;
  typing: RoomUpdate["typing"] = null;
  isReset = false;
  /** Brought by a first sync: nobody can have been waiting for it. */
  isFromFirstSync = false;
  readonly #context: IngestContext;
  readonly #before: RoomMeta;
  /** Metadata that changed so far; what is derived from whole groups follows in `finish`. */
  #meta: RoomMeta;
  readonly #timeline: StoredEvent[] = [];
  readonly #state: StoredEvent[] = [];
  #retoldFrom: StreamPos | null = null;
  /** Those of the timeline that were stored before the group: they are told anew, and are no news. */
  readonly #retold = new Set<StoredEvent>();
  /** Changed rows; null = removed. */
  readonly #rows = new Map<string, Map<string, StateRow | null>>();
  readonly #members = new Map<string, MemberChange>();
  /** Ids of redacted member events: nothing of a profile stays in them. */
  readonly #plainMembers = new Map<string, string>();
  #joinedCount: number;
  #invitedCount: number;

  constructor(context: IngestContext, meta: RoomMeta, isNew: boolean) {
    this.nid = meta.nid;
    this.roomId = meta.roomId;
    this.isNew = isNew;
    this.wasBare = isNew || isBareRoom(meta);
    this.#context = context;
    this.#before = meta;
    this.#meta = meta;
    this.#joinedCount = meta.joinedCount;
    this.#invitedCount = meta.invitedCount;
  }

  /** True while nothing of the room is stored or about to be. */
  get isBare(): boolean {
    return this.wasBare && this.#timeline.length === 0 && this.#state.length === 0;
  }

  /** Whether members may see what went before their join. */
  get isShared(): boolean {
    return this.#meta.sharedSince !== null;
  }

  get roomVersion(): string {
    return this.#meta.roomVersion;
  }

  get awaitedRedactions(): RoomMeta["awaitedRedactions"] {
    return this.#meta.awaitedRedactions;
  }

  setAwaitedRedactions(awaitedRedactions: RoomMeta["awaitedRedactions"]): void {
    this.#change({ awaitedRedactions: awaitedRedactions.slice(-AWAITED_REDACTIONS_LIMIT) });
  }

  /** An event was redacted: if it is current state, the room is what is left of it. */
  restate(event: StoredEvent): void {
    const { type, stateKey, id, json } = event;
    if (stateKey === null || this.row(type, stateKey)?.eventId !== id) return;
    if (type === "m.room.member") {
      this.#plainMembers.set(stateKey, id);
      return;
    }
    // What it says of history stays in it; since when that holds is another matter.
    const change = type === HISTORY_VISIBILITY ? null : reduceState(this.#meta, type, stateKey, json, event.pos);
    // What a room is of is settled with its creation, whatever is left of that event.
    if (change !== null) this.#change({ ...change, roomVersion: this.#meta.roomVersion });
  }

  /** An event is stored, whether it becomes current or is late: around one about visibility not all history is for everybody. */
  noteStored({ type }: StoredEvent): void {
    if (type === HISTORY_VISIBILITY && this.#meta.sharedSince !== null) this.#change({ sharedSince: null });
  }

  /** The newest event with a gap before it; null = none. */
  get gapEventId(): string | null {
    return this.#meta.gapEventId;
  }

  addTimeline(event: StoredEvent): void {
    this.#timeline.push(event);
    if (event.gapBefore) this.#change({ gapEventId: event.id, seams: [[event.id, event.pos]] });
  }

  /** The newest timeline event came with a token of behind it. */
  endAt({ id, prevBatch }: StoredEvent, token: string): void {
    if (prevBatch === null && token.length <= MAX_END_TOKEN) this.#change({ endToken: [id, token] });
  }

  get seams(): RoomMeta["seams"] {
    return this.#meta.seams;
  }

  /** What came before this event may not be here yet. */
  addSeam({ id, pos }: StoredEvent): void {
    this.#change({ seams: [...this.#meta.seams, [id, pos] as [string, StreamPos]].slice(-SEAMS_LIMIT) });
  }

  /** A poller of the user was told of a gap and of nothing behind it. */
  openGap(userId: string): void {
    const openGaps = [...this.#meta.openGaps.filter((other) => other !== userId), userId];
    this.#change({ openGaps: openGaps.slice(-OPEN_GAPS_LIMIT) });
  }

  /** A poller of the user was told something again; true when a gap is before it. */
  closeGap(userId: string): boolean {
    const { openGaps } = this.#meta;
    if (!openGaps.includes(userId)) return false;
    this.#change({ openGaps: openGaps.filter((other) => other !== userId) });
    return true;
  }

  /** `stored`: the newest timeline events from before this group. */
  tail(stored: readonly StoredEvent[]): readonly StoredEvent[] {
    const from = this.#retoldFrom ?? Number.MAX_SAFE_INTEGER;
    const all = [...stored.filter(({ pos }) => pos < from), ...this.#timeline];
    return all.slice(
      Math.max(
        0,
        all.findLastIndex(({ gapBefore }) => gapBefore),
      ),
    );
  }

  /** An event of the timeline is told anew, and with it all behind it. */
  retell(event: StoredEvent, copy: StoredEvent): void {
    const index = this.#timeline.indexOf(event);
    if (index !== -1) this.#timeline.splice(index, 1);
    if (index === -1 || this.#retold.delete(event)) this.#retold.add(copy);
    this.#retoldFrom = Math.min(this.#retoldFrom ?? event.pos, event.pos);
    this.#timeline.push(copy);
    const { type, stateKey } = copy;
    if (stateKey !== null && this.row(type, stateKey)?.eventId === copy.id) this.applyState(copy, stateKey, copy.pos);
  }

  addState(event: StoredEvent): void {
    this.#state.push(event);
  }

  row(type: string, stateKey: string): StateRow | null {
    const changed = this.#rows.get(type)?.get(stateKey);
    if (changed !== undefined) return changed;
    return this.wasBare ? null : this.#context.stateRow(this.nid, type, stateKey);
  }

  /** Makes `event` the current state of its key, as of `pos`. */
  applyState(event: EventFields, stateKey: string, pos: StreamPos): void {
    const { type } = event;
    const isMember = type === "m.room.member" && stateKey !== "";
    const membership = isMember ? (event.membership ?? "leave") : null;
    const row: StateRow = { nid: this.nid, type, stateKey, pos, membership, ts: event.ts, eventId: event.id };
    if (isMember) {
      const before = this.row(type, stateKey);
      this.#count(before, -1);
      this.#count(row, 1);
      this.#members.set(stateKey, { row, event });
    } else {
      const change = reduceState(this.#meta, type, stateKey, event.json, pos);
      if (change !== null) this.#change(change);
    }
    this.#setRow(type, stateKey, row);
  }

  /** The homeserver's state has no such key any more. */
  removeState(row: StateRow): void {
    const { type, stateKey } = row;
    if (type === "m.room.member" && stateKey !== "") {
      this.#count(row, -1);
      this.#members.set(stateKey, { row: { ...row, membership: "leave" }, event: vanished(row) });
    } else this.refreshMeta(type, stateKey, NO_CONTENT, row.pos);
    this.#setRow(type, stateKey, null);
  }

  /** Takes in what an event of current state says of the room; true when that was not known. */
  refreshMeta(type: string, stateKey: string, json: Uint8Array, pos: StreamPos): boolean {
    const change = reduceState(this.#meta, type, stateKey, json, pos);
    const isNews =
      change !== null &&
      Object.entries(change).some(([field, value]) => {
        const known: unknown = this.#meta[field as keyof RoomMeta];
        return JSON.stringify(known) !== JSON.stringify(value);
      });
    if (isNews) this.#change(change);
    return isNews;
  }

  /** Counts of members as counted from all rows; true when they were not what was thought. */
  recount(joinedCount: number, invitedCount: number): boolean {
    if (this.#joinedCount === joinedCount && this.#invitedCount === invitedCount) return false;
    this.#joinedCount = joinedCount;
    this.#invitedCount = invitedCount;
    this.#change({ joinedCount, invitedCount });
    return true;
  }

  /** Changed rows of current state. */
  *rows(): Iterable<StateRow> {
    for (const rows of this.#rows.values()) for (const row of rows.values()) if (row !== null) yield row;
  }

  /** Keys of current state that are no more. */
  removedKeys(): { type: string; stateKey: string }[] {
    return [...this.#rows].flatMap(([type, rows]) =>
      [...rows].flatMap(([stateKey, row]) => (row === null ? [{ type, stateKey }] : [])),
    );
  }

  /** All rows as they are by now; only for rooms with a snapshot in the group. */
  *allRows(): Iterable<StateRow> {
    const stored = this.wasBare ? [] : this.#context.roomRows(this.nid);
    for (const row of stored) if (this.#rows.get(row.type)?.has(row.stateKey) !== true) yield row;
    yield* this.rows();
  }

  #setRow(type: string, stateKey: string, row: StateRow | null): void {
    const rows = this.#rows.get(type);
    if (rows === undefined) this.#rows.set(type, new Map([[stateKey, row]]));
    else rows.set(stateKey, row);
  }

  /**
   * The room as it is after the group, which ends at `head`; null when nobody has to be told anything.
   * `isAwaited`: somebody's first standing in the room is told of, so that its host may not know the room.
   */
  finish(
    { receipts, redacted, sticky }: Pick<RoomUpdate, "receipts" | "redacted"> & { sticky: StickyEvent[] },
    head: StreamPos,
    isAwaited: boolean,
  ): { update: RoomUpdate; isStored: boolean } | null {
    this.#finishLatest();
    this.#finishHeroes();
    this.#plainHeroes();
    const isBack = (type: string, stateKey: string): boolean => this.#rows.get(type)?.get(stateKey) != null;
    const vanished = reduceVanished(this.#meta, this.removedKeys(), isBack, head);
    if (vanished !== null) this.#change(vanished);
    if (this.isReset) this.#change({ resetPos: head });
    const stickyUntilMs = sticky.reduce((latest, { expiresMs }) => Math.max(latest, expiresMs), 0);
    if (stickyUntilMs > (this.#meta.stickyUntilMs ?? 0)) this.#change({ stickyUntilMs });
    const isStored = this.isNew || this.#meta !== this.#before;
    const isLight = this.isNew && this.isFromFirstSync;
    const hasLongState = this.#state.length > MAX_ANNOUNCED_STATE && (this.isNew || this.isReset);
    const hasNews =
      isStored || this.#state.length > 0 || receipts.length > 0 || this.typing !== null || sticky.length > 0;
    if (!hasNews && !isAwaited) return null;
    const update: RoomUpdate = {
      nid: this.nid,
      roomId: this.roomId,
      meta: this.#meta,
      timeline: isLight ? [] : this.#timeline,
      state: isLight || hasLongState ? [] : this.#state,
      redacted,
      isReset: isLight || this.isReset,
      retoldFrom: this.#retoldFrom,
      receipts,
      typing: this.typing,
      ...(sticky.length === 0 ? {} : { sticky }),
    };
    return { update, isStored };
  }

  #change(change: Partial<RoomMeta>): void {
    if (this.#meta === this.#before) this.#meta = { ...this.#before };
    Object.assign(this.#meta, change);
  }

  #count(row: StateRow | null, by: 1 | -1): void {
    if (row?.membership === "join") this.#joinedCount += by;
    else if (row?.membership === "invite") this.#invitedCount += by;
  }

  #finishLatest(): void {
    const last = this.#timeline.at(-1);
    if (last !== undefined) {
      const arrival = { isHistory: this.isFromFirstSync, nowMs: this.#context.nowMs };
      const news = this.#timeline.filter((event) => !this.#retold.has(event));
      const bumpTs = reduceBumpTs(this.#meta, news, arrival);
      this.#change({
        ...(bumpTs === undefined ? {} : { bumpTs }),
        latestPos: last.pos,
        latestTs: last.ts,
        latestByType: reduceLatestByType(this.#meta.latestByType, this.#timeline),
      });
    } else if (this.wasBare && this.#state.length > 0) {
      let latestTs = 0;
      for (const event of this.#state) latestTs = Math.max(latestTs, event.ts);
      this.#change({ latestPos: this.#state.at(-1)?.pos ?? 0, latestTs });
    }
  }

  #finishHeroes(): void {
    if (this.#members.size === 0) return;
    const counts = { joinedCount: Math.max(0, this.#joinedCount), invitedCount: Math.max(0, this.#invitedCount) };
    const { joinedCount, invitedCount, heroes: heroesBefore } = this.#before;
    if (counts.joinedCount !== joinedCount || counts.invitedCount !== invitedCount) this.#change(counts);
    const leavers = reduceLeavers(this.#before, this.#members);
    if (leavers !== this.#before.leavers) this.#change({ leavers });
    const heroes = reduceHeroes(this.#before, counts, this.#members, () => this.#context.heroEvents(this.nid));
    if (heroes !== heroesBefore) this.#change({ heroes });
  }

  #plainHeroes(): void {
    const isPlain = ({ userId }: Hero): boolean => {
      const id = this.#plainMembers.get(userId);
      return id !== undefined && this.row("m.room.member", userId)?.eventId === id;
    };
    const { heroes, leavers } = this.#meta;
    if (this.#plainMembers.size === 0 || ![...heroes, ...leavers].some(isPlain)) return;
    const plain = (hero: Hero): Hero => (isPlain(hero) ? withoutProfile(hero) : hero);
    this.#change({ heroes: heroes.map(plain), leavers: leavers.map(plain) });
  }
}

const withoutProfile = (hero: Hero): Hero => ({ ...hero, displayName: null, avatarUrl: null });
