import type { StoredEvent } from "../events.ts";
import type { RoomNid, StreamPos } from "../ids.ts";
import { withTransactionId } from "../overlay.ts";
import type { StateSelection } from "../required-state.ts";
import type { Hero, UserRoom } from "../room-meta.ts";
import type { Draft, RoomDraft } from "./draft.ts";
import type { ChangesNeed, Entries } from "./entries-api.ts";
import { LIVE } from "./held-room.ts";
import { type OlderEvents, type OlderNeed, olderNeeds, withOlder } from "./older-events.ts";
import type { Remembering } from "./remembering-api.ts";
import type { RoomData } from "./room-data.ts";
import { wantsAllMembers } from "./room-entries.ts";
import type { RoomEntry, StateNeed } from "./room-entry.ts";
import type { RoomHead } from "./room-facts.ts";
import type { TimelineNeed } from "./room-timelines.ts";
import { bumpStamp, isBump, isNameKnown, isStripped, simplifiedHead } from "./simplified-rooms.ts";
import { MAX_SIMPLIFIED_TIMELINE, type NewestCut, newestTimeline } from "./simplified-timeline.ts";
import { strippedWithOwnMember } from "./stripped-state.ts";
import { firstAfter, liveAfter } from "./timeline.ts";
import { DIRTY, type World } from "./world.ts";

/** Members remembered as sent, of one room; after more they are sent again. */
const MAX_LAZY_MEMBERS = 1000;
/** So many rooms at the start of a window are what its user looks at. */
const FOREMOST_ROOMS = 20;
const NOTHING: readonly StoredEvent[] = [];
const encoder = new TextEncoder();
/** State that heads are made of. */
const HEAD_TYPES: ReadonlySet<string> = new Set(["m.room.name", "m.room.avatar", "m.room.member"]);

/** What is being made of one room. */
interface Work {
  readonly room: RoomDraft;
  readonly standing: UserRoom;
  readonly selection: StateSelection;
  /** Head as it was when the response was decided. */
  readonly head: RoomHead;
  /** What of the room may be told ends here. */
  readonly upTo: StreamPos;
  cut: NewestCut | null;
  /** Current state that changed since the client's position. */
  changes: readonly StoredEvent[];
  members: Set<string>;
  /** Lazily loaded members that the client has with this response. */
  known: ReadonlySet<string>;
}

/** Rooms of a connection that remembers them one by one, on their way to entries. */
export class RememberedEntries implements Entries {
  readonly heads = new Map<RoomNid, RoomHead>();
  readonly #world: World;
  readonly #engine: Remembering;
  readonly #draft: Draft;
  readonly #data: RoomData;
  readonly #work = new Map<RoomNid, Work>();

  constructor(world: World, engine: Remembering, draft: Draft, data: RoomData) {
    this.#world = world;
    this.#engine = engine;
    this.#draft = draft;
    this.#data = data;
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
      else if (!isWhole && limit > 0 && this.#hasNews(room)) {
        needs.push({ nid: room.nid, limit: limit + 1, since: room.since, upTo });
      }
    }
    return needs;
  }

  earlyStateNeeds(): StateNeed[] {
    const needs: StateNeed[] = [];
    for (const { room, standing, selection } of this.#works()) {
      if (room.kind !== "initial" || !showsState(standing)) continue;
      const allMembers = wantsAllMembers(selection, this.#world.meta(room.nid));
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
      if (!isWhole && !this.#hasNews(room)) continue;
      const tail = this.#data.tail(room.nid);
      work.cut = newestTimeline(this.#world, room.nid, tail, limit, isWhole ? null : room.since, upTo);
    }
    return false;
  }

  olderNeeds(): OlderNeed[] {
    if (!this.#work.values().some(({ cut }) => cut !== null && cut.missing !== null)) return [];
    return olderNeeds(this.#world, this.#engine.foremost(FOREMOST_ROOMS), (nid) => this.#work.get(nid)?.cut);
  }

  addOlder(found: ReadonlyMap<RoomNid, OlderEvents>): void {
    for (const [nid, older] of found) {
      const work = this.#work.get(nid);
      if (work !== undefined && work.cut !== null && work.cut.missing !== null) {
        work.cut = withOlder(this.#world, nid, work.cut, older);
      }
    }
  }

  /** Where the timeline at hand does not reach back far enough, or is not all that changed state, storage says what did. */
  changesNeeds(): ChangesNeed[] {
    const needs: ChangesNeed[] = [];
    for (const { room, standing } of this.#works()) {
      if (room.kind === "initial" || !showsState(standing) || !this.#hasNews(room)) continue;
      if (!this.#isInTimeline(room)) needs.push({ nid: room.nid, since: room.since });
    }
    return needs;
  }

  stateNeeds(): StateNeed[] {
    const needs: StateNeed[] = [];
    for (const work of this.#works()) {
      const { room, standing, selection } = work;
      if (isStripped(standing.membership)) continue;
      work.changes = this.#changesOf(work);
      this.#chooseMembers(work);
      const isWhole = showsState(standing) && (room.kind === "initial" || room.isGrown === true);
      const members = [...work.members];
      if (standing.membership !== "join") members.push(this.#world.userId);
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
      const held = this.#engine.held.get(room.nid);
      if (held === undefined || held.lazyMembers === known) continue;
      this.#engine.held.set(room.nid, { ...held, lazyMembers: known.size > MAX_LAZY_MEMBERS ? new Set() : known });
    }
  }

  #bitsOf({ nid }: RoomDraft): number {
    return this.#draft.dirty.get(nid) ?? 0;
  }

  #works(): Iterable<Work> {
    return this.#work.values();
  }

  /** Something may have happened in the room since the client's position. */
  #hasNews(room: RoomDraft): boolean {
    const { nid, since, held } = room;
    const standing = this.#world.standing(nid);
    // Whatever happens there, it is nothing to who is not in the room.
    if (standing?.membership !== "join") return (standing?.memberPos ?? 0) > since;
    const bits = this.#bitsOf(room);
    if ((bits & (DIRTY.event | DIRTY.standing | DIRTY.reset)) !== 0) return true;
    if (held?.upTo === LIVE) return false;
    return Math.max(this.#world.meta(nid)?.latestPos ?? 0, this.#world.meta(nid)?.resetPos ?? 0) > since;
  }

  /** All that changed state since the client's position is in the timeline at hand. */
  #isInTimeline(room: RoomDraft): boolean {
    const { nid, since } = room;
    const meta = this.#world.meta(nid);
    const isReset = (this.#bitsOf(room) & DIRTY.reset) !== 0;
    return !isReset && (meta?.resetPos ?? 0) <= since && this.#data.tail(nid).coversFrom <= since;
  }

  #changesOf({ room, standing, upTo }: Work): readonly StoredEvent[] {
    if (room.kind === "initial" || !showsState(standing) || !this.#hasNews(room)) return NOTHING;
    const stored = this.#data.changes(room.nid);
    if (stored !== null) return stored.filter(({ pos }) => pos > room.since && pos <= upTo);
    const { events } = this.#data.tail(room.nid);
    const changes = new Map<string, StoredEvent>();
    for (const event of events.slice(firstAfter(events, room.since), firstAfter(events, upTo))) {
      if (event.stateKey !== null) changes.set(`${event.type}\0${event.stateKey}`, event);
    }
    return changes.size === 0 ? NOTHING : [...changes.values()];
  }

  /** Members that are sent because they appear, and what the client then knows of members. */
  #chooseMembers(work: Work): void {
    const { room, selection, changes, cut, standing } = work;
    const isInitial = room.kind === "initial";
    const before = isInitial ? new Set<string>() : work.known;
    const changed = new Set<string>();
    for (const { type, stateKey } of changes) if (type === "m.room.member" && stateKey !== null) changed.add(stateKey);
    if (!selection.lazyMembers || !showsState(standing)) {
      // What changed unsent is not known any more.
      if ([...changed].some((userId) => before.has(userId))) {
        work.known = new Set([...before].filter((userId) => !changed.has(userId)));
      } else if (isInitial) work.known = before;
      return;
    }
    const wanted = new Set<string>();
    for (const { sender, type, stateKey } of cut?.events ?? []) {
      wanted.add(sender);
      if (type === "m.room.member" && stateKey !== null) wanted.add(stateKey);
    }
    if (!isInitial && cut?.isLimited !== true) for (const userId of changed) wanted.add(userId);
    // Those that were asked for by name are with the client as well.
    const named = isInitial ? null : this.#engine.compile(room.held?.requiredState ?? [], this.#world.userId);
    const isKnown = (userId: string): boolean => before.has(userId) || named?.matches("m.room.member", userId) === true;
    const news = [...wanted].filter((userId) => changed.has(userId) || !isKnown(userId));
    work.members = new Set(news);
    const missed = [...changed].filter((userId) => before.has(userId) && !wanted.has(userId));
    if (news.length === 0 && missed.length === 0 && !isInitial) return;
    work.known = new Set([...before, ...news].filter((userId) => !missed.includes(userId)));
  }

  /** Less is asked for than was, and not all of it can be told: the client has less from now on. */
  #noteLowered({ room, cut }: Work): void {
    if (limitOf(room) >= (room.held?.timelineLimit ?? 0) || room.kind === "initial") return;
    const isLess = cut === null ? limitOf(room) === 0 && this.#hasNews(room) : cut.isLimited;
    const current = this.#draft.rooms.get(room.nid) ?? room;
    if (isLess) this.#draft.rooms.set(room.nid, { ...current, forgetsTimeline: true });
  }

  #entry(work: Work): RoomEntry | null {
    this.#noteLowered(work);
    const { room, standing, head } = work;
    const roomId = this.#world.meta(room.nid)?.roomId;
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
      ...(this.#engine.options.tellsAll ? { lists: this.#engine.listKeys(room.nid) } : {}),
    };
    this.heads.set(room.nid, head);
    if (isStripped(standing.membership)) return this.#strippedEntry(work, base);
    const hasHeadNews = this.#addHead(work, base, before);
    if (this.#engine.options.tellsAll && !isInitial && before?.isDm !== head.isDm) base.isDmTold = true;
    this.#addTimeline(work, base);
    base.requiredState = this.#requiredState(work);
    const isRejected = standing.membership !== "join" && standing.joinPos <= 0 && standing.stripped !== null;
    if (isRejected && standing.stripped !== null && standing.memberPos > room.since) {
      if (this.#engine.options.tellsAll) base.inviteState = jsonArray(standing.stripped);
      // Who declined an invite saw themselves do it; of a knock nobody was there to see the end.
      else if (before?.membership === "invite" && room.selfLeft === true && limitOf(room) > 0) {
        Object.assign(base, { timeline: [standing.stripped], isLimited: false, numLive: 1 });
      }
    }
    if (base.timeline.length === 0 && this.#isExpelled(work)) Object.assign(base, { isInitial: true, isLimited: true });
    const isDm = base.isDmTold === true && (before !== null || (this.#bitsOf(room) & DIRTY.place) !== 0);
    if (!base.isInitial && !hasHeadNews && !isDm && base.timeline.length === 0 && base.requiredState.length === 0) {
      if (base.inviteState === undefined) return null;
    }
    this.#addBump(work, base);
    return base;
  }

  /** The user is in the room no more, and no event says so: as the homeserver has it, they never were. */
  #isExpelled({ room, standing }: Work): boolean {
    if (standing.membership !== "leave" || standing.joinPos <= 0 || standing.memberPos <= room.since) return false;
    return standing.stripped === null && this.#data.member(room.nid, this.#world.userId)?.membership !== "leave";
  }

  /** Invites and knocks show their stripped state and nothing else, once. */
  #strippedEntry({ room, standing, head }: Work, base: RoomEntry): RoomEntry | null {
    if (!base.isInitial && standing.memberPos <= room.since) return null;
    const entry = {
      ...base,
      inviteState: strippedWithOwnMember(standing),
      bumpStamp: bumpStamp(this.#world, room.nid),
    };
    if (this.#engine.options.tellsAll) return entry;
    if (head.name !== "") entry.name = head.name;
    if (head.avatar !== null) entry.avatar = head.avatar;
    return entry;
  }

  /** Name, avatar and counts where they differ from what the client was told; true when something does. */
  #addHead(work: Work, entry: RoomEntry, before: RoomHead | null): boolean {
    const { room, head, standing, changes } = work;
    const isInitial = room.kind === "initial";
    const isInside = standing.membership === "join";
    // After a restart the head as sent is unknown: it goes out with the next news, its own among them.
    const isUnknown = !isInitial && before === null;
    const isNamed = isInside || isNameKnown(this.#world, room.nid);
    const tells = this.#engine.options.tellsAll;
    let hasNews = false;
    const note = (isChanged: boolean): boolean => {
      if (isChanged && !isUnknown && !isInitial) hasNews = true;
      return isChanged || isInitial || isUnknown;
    };
    if (isUnknown && this.#changesHead(work)) hasNews = true;
    const isNameNews = isNamed && note(before !== null && before.name !== head.name);
    if (isNameNews && (head.name !== "" || (tells && !isInitial))) entry.name = head.name;
    const isAvatarNews = isNamed && note(before !== null && before.avatar !== head.avatar);
    if (isAvatarNews && (head.avatar !== null || (tells && !isInitial))) entry.avatar = head.avatar;
    const isCounted =
      before?.notificationCount === head.notificationCount && before?.highlightCount === head.highlightCount;
    if (!tells) note(before !== null && !isCounted);
    if (!isInside) return hasNews;
    const isSame = before?.joinedCount === head.joinedCount && before.invitedCount === head.invitedCount;
    // A profile is a membership, too.
    const isJoinedSame = isSame && !changes.some(({ type }) => type === "m.room.member");
    if (note(before !== null && !isJoinedSame)) {
      entry.joinedCount = head.joinedCount;
      entry.invitedCount = head.invitedCount;
    }
    const heroes = head.heroes ?? [];
    if (note(before !== null && !sameHeroes(before.heroes ?? [], heroes)) && heroes.length > 0) entry.heroes = heroes;
    return hasNews;
  }

  /** Something that happened makes another head of it. */
  #changesHead({ room, changes, standing }: Work): boolean {
    if (!this.#engine.options.tellsAll && (this.#bitsOf(room) & DIRTY.counts) !== 0) return true;
    if (standing.membership !== "join") return false;
    return changes.some(({ type }) => HEAD_TYPES.has(type));
  }

  #addTimeline({ room, cut }: Work, entry: RoomEntry): void {
    if (room.isExpanded === true && cut !== null) entry.isExpanded = true;
    if (cut === null) {
      if (limitOf(room) > 0) entry.isLimited = false;
      return;
    }
    entry.timeline = this.#bytes(cut.events);
    entry.isLimited = cut.isLimited;
    entry.prevBatch = cut.prevBatch;
    if (this.#draft.isFirst) return;
    const after = liveAfter(this.#world, room.nid, this.#engine.liveAfter);
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
    const own = isInRoom ? this.#data.member(room.nid, this.#world.userId) : null;
    // For who is not inside, the end of the stay is the last that happened.
    entry.bumpStamp =
      own !== null && own.membership === standing.membership && own.ts > 0 ? own.ts : bumpStamp(this.#world, room.nid);
  }

  #requiredState(work: Work): Uint8Array[] {
    const { room, selection, changes, members, standing, upTo } = work;
    const found = new Map<string, StoredEvent>();
    const add = (event: StoredEvent): void => void found.set(`${event.type}\0${event.stateKey ?? ""}`, event);
    if (!showsState(standing)) {
      // What is known of the room is from others: only the own member event is for who was never inside.
    } else if (room.kind === "initial") for (const event of this.#data.state(room.nid, selection)) add(event);
    else if (room.isGrown === true) {
      const recorded = this.#engine.compile(room.held?.requiredState ?? [], this.#world.userId);
      for (const event of this.#data.state(room.nid, selection)) {
        const isKnown =
          recorded.matches(event.type, event.stateKey ?? "") ||
          (event.type === "m.room.member" && room.held?.lazyMembers.has(event.stateKey ?? "") === true);
        if (!isKnown) add(event);
      }
    }
    for (const event of changes) {
      if (selection.matches(event.type, event.stateKey ?? "")) add(event);
      else this.#noteForgotten(work, event);
    }
    for (const userId of members) {
      const member = this.#data.member(room.nid, userId);
      if (member !== null) add(member);
    }
    const stubs = this.#stubs(work);
    let events = [...found.values()];
    if (standing.membership !== "join") {
      // What the room has become since is not for who left it.
      events = events.filter(({ pos }) => pos <= upTo);
      const isOwnWanted = selection.matches("m.room.member", this.#world.userId);
      const hasMore = events.length > 0 || work.cut !== null || standing.memberPos > room.since;
      if (isOwnWanted && hasMore) return this.#withOwnMember(work, events);
    }
    return [...stubs, ...this.#bytes(events.sort((a, b) => a.pos - b.pos))];
  }

  /** State that the client may have and that is no more, where it can be told so. */
  #stubs(work: Work): Uint8Array[] {
    const { room, selection, standing, upTo } = work;
    if (!this.#engine.options.tellsAll || room.kind === "initial" || standing.membership !== "join") return [];
    const gone = (this.#world.meta(room.nid)?.vanished ?? []).filter(
      ([type, stateKey, pos]) =>
        pos > room.since &&
        pos <= upTo &&
        (selection.matches(type, stateKey) || (type === "m.room.member" && work.known.has(stateKey))),
    );
    const members = new Set(gone.flatMap(([type, stateKey]) => (type === "m.room.member" ? [stateKey] : [])));
    if (members.size > 0) work.known = work.known.difference(members);
    return gone.map(([type, stateKey]) => encoder.encode(JSON.stringify({ type, state_key: stateKey })));
  }

  /** Clients learn from the user's own member event that the room was left. */
  #withOwnMember({ room, standing }: Work, events: StoredEvent[]): Uint8Array[] {
    const own = this.#data.member(room.nid, this.#world.userId);
    const isOwn = (event: StoredEvent): boolean =>
      event.type === "m.room.member" && event.stateKey === this.#world.userId;
    const others = events.filter((event) => !isOwn(event)).sort((a, b) => a.pos - b.pos);
    // Where something came of who was outside already, the room does not know of it.
    if (standing.stripped !== null) return [...this.#bytes(others), standing.stripped];
    return this.#bytes(own?.membership === standing.membership ? [...others, own] : others);
  }

  /** What the client was sent once changed without its being told: it is sent again when it is asked for again. */
  #noteForgotten({ room }: Work, { type, stateKey }: StoredEvent): void {
    const recorded = room.held?.requiredState;
    if (recorded === undefined || room.forgetsState === true) return;
    if (!this.#engine.compile(recorded, this.#world.userId).matches(type, stateKey ?? "")) return;
    const current = this.#draft.rooms.get(room.nid) ?? room;
    this.#draft.rooms.set(room.nid, { ...current, forgetsState: true });
  }

  #bytes(events: readonly StoredEvent[]): Uint8Array[] {
    return events.map((event) => {
      if (event.sender !== this.#world.userId) return event.json;
      const txnId = this.#data.txnId(event.id);
      return txnId === null ? event.json : withTransactionId(event.json, txnId);
    });
  }
}

/** The user is or was inside: what the room was until they left is theirs to see. */
const showsState = ({ membership, joinPos }: UserRoom): boolean => !isStripped(membership) && joinPos > 0;

const limitOf = (room: RoomDraft): number => Math.max(0, Math.min(room.config.timelineLimit, MAX_SIMPLIFIED_TIMELINE));

const jsonArray = (event: Uint8Array): Uint8Array => {
  const array = new Uint8Array(event.length + 2);
  array[0] = 0x5b;
  array.set(event, 1);
  array[array.length - 1] = 0x5d;
  return array;
};

const sameHeroes = (a: readonly Hero[], b: readonly Hero[]): boolean =>
  a.length === b.length &&
  a.every(
    (hero, index) =>
      hero.userId === b[index]?.userId &&
      hero.displayName === b[index].displayName &&
      hero.avatarUrl === b[index].avatarUrl,
  );
