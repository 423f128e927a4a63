import type { StoredEvent } from "../events.ts";
import type { RoomNid } from "../ids.ts";
import type { Draft } from "./draft.ts";
import type { ChangesNeed, Entries } from "./entries-api.ts";
import { LIVE } from "./held-room.ts";
import { type OlderEvents, type OlderNeed, olderNeeds, withOlder } from "./older-events.ts";
import { eventBytes } from "./event-bytes.ts";
import { addHead } from "./remembered-head.ts";
import { changesOf, chooseMembers, requiredStateOf } from "./remembered-state.ts";
import { bitsOf, hasNews, isInTimeline, limitOf, type Making, showsState, type Work } from "./remembered-work.ts";
import type { Remembering } from "./remembering-api.ts";
import type { RoomData } from "./room-data.ts";
import { wantsAllMembers } from "./room-entries.ts";
import type { RoomEntry, StateNeed } from "./room-entry.ts";
import type { RoomHead } from "./room-facts.ts";
import type { TimelineNeed } from "./room-timelines.ts";
import { isBump } from "../bump-types.ts";
import { bumpStamp, isStripped, previousMembership, simplifiedHead } from "./simplified-rooms.ts";
import { newestTimeline } from "./simplified-timeline.ts";
import { strippedWithOwnMember } from "./stripped-state.ts";
import { liveAfter } from "./timeline.ts";
import { DIRTY, type World } from "./world.ts";

/** Members remembered as sent, of one room; after more they are sent again. */
const MAX_LAZY_MEMBERS = 1000;
/** So many rooms at the start of a window are what its user looks at. */
const FOREMOST_ROOMS = 20;
const NOTHING: readonly StoredEvent[] = [];

/** Rooms of a connection that remembers them one by one, on their way to entries. */
export class RememberedEntries implements Entries {
  readonly heads = new Map<RoomNid, RoomHead>();
  readonly #making: Making;
  readonly #work = new Map<RoomNid, Work>();

  constructor(world: World, engine: Remembering, draft: Draft, data: RoomData) {
    this.#making = { world, engine, draft, data };
    for (const room of draft.rooms.values()) {
      const standing = world.standing(room.nid);
      const head = simplifiedHead(world, room.nid);
      if (standing === undefined || head === null) continue;
      const selection = engine.compile(room.config.requiredState, world.userId);
      const isInside = standing.membership === "join";
      const upTo = isInside ? room.upTo : Math.min(room.upTo, standing.leftPos ?? standing.memberPos);
      const work = { room, standing, selection, head, upTo, cut: null, changes: NOTHING, members: new Set<string>() };
      this.#work.set(room.nid, { ...work, known: room.held?.lazyMembers ?? new Set() });
    }
  }

  timelineNeeds(): TimelineNeed[] {
    const needs: TimelineNeed[] = [];
    for (const { room, standing, upTo } of this.#works()) {
      if (isStripped(standing.membership) || standing.joinPos <= 0) continue;
      const limit = limitOf(room);
      const isWhole = room.kind === "initial" || room.isExpanded === true;
      if (isWhole && limit > 0) needs.push({ nid: room.nid, limit: limit + 1, since: null, upTo });
      else if (!isWhole && limit > 0 && hasNews(this.#making, room)) {
        needs.push({ nid: room.nid, limit: limit + 1, since: room.since, upTo });
      }
    }
    return needs;
  }

  earlyStateNeeds(): StateNeed[] {
    const needs: StateNeed[] = [];
    for (const { room, standing, selection } of this.#works()) {
      if (room.kind !== "initial" || !showsState(standing)) continue;
      const allMembers = wantsAllMembers(selection, this.#making.world.meta(room.nid));
      needs.push({ nid: room.nid, selection, members: [], allMembers });
    }
    return needs;
  }

  cutTimelines(): boolean {
    for (const work of this.#works()) {
      const { room, standing, upTo } = work;
      const limit = limitOf(room);
      if (work.cut !== null || isStripped(standing.membership) || limit === 0) continue;
      const isWhole = room.kind === "initial" || room.isExpanded === true;
      if (!isWhole && !hasNews(this.#making, room)) continue;
      const tail = this.#making.data.tail(room.nid);
      work.cut = newestTimeline(this.#making.world, room.nid, tail, limit, isWhole ? null : room.since, upTo);
    }
    return false;
  }

  olderNeeds(): OlderNeed[] {
    if (!this.#work.values().some(({ cut }) => cut !== null && cut.wanted !== null)) return [];
    return olderNeeds(
      this.#making.world,
      this.#making.engine.foremost(FOREMOST_ROOMS),
      (nid) => this.#work.get(nid)?.cut,
    );
  }

  addOlder(found: ReadonlyMap<RoomNid, OlderEvents>): void {
    for (const [nid, older] of found) {
      const work = this.#work.get(nid);
      if (work !== undefined && work.cut !== null && work.cut.wanted !== null) {
        work.cut = withOlder(this.#making.world, nid, work.cut, older);
      }
    }
  }

  /** Where the timeline at hand does not reach back far enough, or is not all that changed state, storage says what did. */
  changesNeeds(): ChangesNeed[] {
    const needs: ChangesNeed[] = [];
    for (const { room, standing } of this.#works()) {
      if (room.kind === "initial" || !showsState(standing) || !hasNews(this.#making, room)) continue;
      if (!isInTimeline(this.#making, room)) needs.push({ nid: room.nid, since: room.since });
    }
    return needs;
  }

  stateNeeds(): StateNeed[] {
    const needs: StateNeed[] = [];
    for (const work of this.#works()) {
      const { room, standing, selection } = work;
      if (isStripped(standing.membership)) continue;
      work.changes = changesOf(this.#making, work);
      chooseMembers(this.#making, work);
      const isWhole = showsState(standing) && (room.kind === "initial" || room.isGrown === true);
      const members = [...work.members];
      if (standing.membership !== "join") members.push(this.#making.world.userId);
      if (isWhole || members.length > 0) needs.push({ nid: room.nid, selection: isWhole ? selection : null, members });
    }
    return needs;
  }

  timelineIds(nid: RoomNid): ReadonlySet<string> {
    return new Set(this.#work.get(nid)?.cut?.events.map((event) => event.id));
  }

  build(): RoomEntry[] {
    const entries: RoomEntry[] = [];
    for (const work of this.#works()) {
      const entry = this.#entry(work);
      if (entry !== null) entries.push(entry);
    }
    return entries;
  }

  noteMembers(): void {
    for (const { room, known } of this.#works()) {
      const held = this.#making.engine.held.get(room.nid);
      if (held === undefined || held.lazyMembers === known) continue;
      this.#making.engine.held.set(room.nid, {
        ...held,
        lazyMembers: known.size > MAX_LAZY_MEMBERS ? new Set() : known,
      });
    }
  }

  #works(): Iterable<Work> {
    return this.#work.values();
  }

  /** Less is asked for than was, and not all of it can be told: the client has less from now on. */
  #noteLowered({ room, cut }: Work): void {
    if (limitOf(room) >= (room.held?.timelineLimit ?? 0) || room.kind === "initial") return;
    const isLess = cut === null ? limitOf(room) === 0 && hasNews(this.#making, room) : cut.isLimited;
    const current = this.#making.draft.rooms.get(room.nid) ?? room;
    if (isLess) this.#making.draft.rooms.set(room.nid, { ...current, forgetsTimeline: true });
  }

  #entry(work: Work): RoomEntry | null {
    this.#noteLowered(work);
    const { room, standing, head } = work;
    const roomId = this.#making.world.meta(room.nid)?.roomId;
    if (roomId === undefined) return null;
    const before = room.held?.head ?? null;
    const isInitial = room.kind === "initial";
    const base: RoomEntry = {
      nid: room.nid,
      roomId,
      isInitial,
      isDm: head.isDm,
      requiredState: [],
      timeline: [],
      notificationCount: standing.notificationCount,
      highlightCount: standing.highlightCount,
      prevBatch: null,
      numLive: 0,
      timestamp: 0,
      membership: standing.membership,
      ...(this.#making.engine.options.tellsAll ? { lists: this.#making.engine.listKeys(room.nid) } : {}),
    };
    this.heads.set(room.nid, head);
    if (isStripped(standing.membership)) return this.#strippedEntry(work, base);
    const hasHeadNews = addHead(this.#making, work, base, before);
    if (this.#making.engine.options.tellsAll && !isInitial && before?.isDm !== head.isDm) base.isDmTold = true;
    this.#addTimeline(work, base);
    base.requiredState = requiredStateOf(this.#making, work);
    if (standing.membership !== "join" && standing.stripped !== null && this.#isRefusal(work, standing.stripped)) {
      if (this.#making.engine.options.tellsAll) base.inviteState = jsonArray(standing.stripped);
      // Who declined an invite saw themselves do it; of a knock nobody was there to see the end.
      else if (before?.membership === "invite" && room.selfLeft === true && limitOf(room) > 0) {
        Object.assign(base, { timeline: [standing.stripped], isLimited: false, numLive: 1 });
      }
    }
    if (base.timeline.length === 0 && this.#isExpelled(work)) Object.assign(base, { isInitial: true, isLimited: true });
    // After a restart nobody knows what was told: it is told of rooms that may have become direct, or none, meanwhile.
    const mayDiffer = before !== null || room.held?.upTo !== LIVE || (bitsOf(this.#making, room) & DIRTY.place) !== 0;
    const isDm = base.isDmTold === true && mayDiffer;
    if (!base.isInitial && !hasHeadNews && !isDm && base.timeline.length === 0 && base.requiredState.length === 0) {
      if (base.inviteState === undefined) return null;
    }
    this.#addBump(work, base);
    return base;
  }

  /** What ended is an invite or knock, not a stay. */
  #isRefusal({ room, standing }: Work, ending: Uint8Array): boolean {
    if (standing.memberPos <= room.since) return false;
    return standing.joinPos <= 0 || isStripped(room.held?.head?.membership) || isStripped(previousMembership(ending));
  }

  /** The user is in the room no more, and no event says so: as the homeserver has it, they never were. */
  #isExpelled({ room, standing }: Work): boolean {
    if (standing.membership !== "leave" || standing.joinPos <= 0 || standing.memberPos <= room.since) return false;
    return (
      standing.stripped === null &&
      this.#making.data.member(room.nid, this.#making.world.userId)?.membership !== "leave"
    );
  }

  /** Invites and knocks show their stripped state and nothing else, once as long as it stays the same. */
  #strippedEntry({ room, standing, head }: Work, base: RoomEntry): RoomEntry | null {
    if (!base.isInitial && Math.max(standing.memberPos, standing.pos) <= room.since) return null;
    const entry = {
      ...base,
      inviteState: strippedWithOwnMember(standing),
      bumpStamp: bumpStamp(this.#making.world, room.nid),
    };
    if (this.#making.engine.options.tellsAll) return entry;
    if (head.name !== "") entry.name = head.name;
    if (head.avatar !== null) entry.avatar = head.avatar;
    return entry;
  }

  #addTimeline({ room, cut }: Work, entry: RoomEntry): void {
    if (room.isExpanded === true && cut !== null) entry.isExpanded = true;
    if (cut === null) {
      if (limitOf(room) > 0) entry.isLimited = false;
      return;
    }
    entry.timeline = eventBytes(this.#making.world, this.#making.data, cut.events);
    entry.isLimited = cut.isLimited;
    entry.prevBatch = cut.prevBatch;
    if (this.#making.draft.isFirst) return;
    const after = liveAfter(this.#making.world, room.nid, this.#making.engine.liveAfter);
    entry.numLive = cut.events.filter(({ pos }) => pos > after).length;
  }

  #addBump({ room, cut, standing }: Work, entry: RoomEntry): void {
    const isTold =
      room.kind === "initial" ||
      room.isExpanded === true ||
      limitOf(room) === 0 ||
      cut?.isLimited === true ||
      standing.membership !== "join" ||
      cut?.events.some(({ type }) => isBump(type)) === true;
    if (!isTold) return;
    const isInRoom = standing.membership !== "join" && standing.stripped === null;
    const own = isInRoom ? this.#making.data.member(room.nid, this.#making.world.userId) : null;
    // For who is not inside, the end of the stay is the last that happened.
    entry.bumpStamp =
      own !== null && own.membership === standing.membership && own.ts > 0
        ? own.ts
        : bumpStamp(this.#making.world, room.nid);
  }
}

const jsonArray = (event: Uint8Array): Uint8Array => {
  const array = new Uint8Array(event.length + 2);
  array[0] = 0x5b;
  array.set(event, 1);
  array[array.length - 1] = 0x5d;
  return array;
};
