import type { RoomNid } from "../ids.ts";
import { eventBytes } from "./event-bytes.ts";
import type { StateSelection } from "../required-state.ts";
import { isListed, isOwnInvite } from "../visibility.ts";
import type { Hero, RoomMeta, UserRoom } from "../room-meta.ts";
import { EMPTY_ROOM } from "../room-name.ts";
import type { StoredEvent } from "../events.ts";
import type { Draft, RoomDraft } from "./draft.ts";
import type { ChangesNeed, Entries } from "./entries-api.ts";
import type { OlderNeed } from "./older-events.ts";
import type { RoomEntry, StateNeed } from "./room-entry.ts";
import type { SyncedEngine } from "./synced-room.ts";
import type { RoomData } from "./room-data.ts";
import { highlightCount, recencyTs, type RoomHead, roomHead } from "./room-facts.ts";
import { type TimelineNeed, RoomTimelines } from "./room-timelines.ts";
import { liveAfter } from "./timeline.ts";
import { DIRTY, type World } from "./world.ts";

/** Up to so many members are read together with the timeline instead of after it. */
const SMALL_ROOM_MEMBERS = 50;

/** True when all members are read before it is known who spoke. */
export const wantsAllMembers = (selection: StateSelection, meta: RoomMeta | undefined): boolean =>
  selection.lazyMembers && (meta?.joinedCount ?? 0) <= SMALL_ROOM_MEMBERS;

/** Members remembered as sent, of one room; after more they are sent again. */
const MAX_LAZY_MEMBERS = 1000;

/** The rooms of one draft on their way to entries. */
export class RoomEntries implements Entries {
  readonly #world: World;
  readonly #engine: SyncedEngine;
  readonly #draft: Draft;
  readonly #data: RoomData;
  readonly #timelines: RoomTimelines;
  readonly #selections = new Map<RoomNid, StateSelection>();
  /** Whole rooms as they were when they were decided on. */
  readonly #drafted = new Map<RoomNid, RoomHead>();
  readonly #members = new Map<RoomNid, string[]>();
  /** Heads as sent, for `Engine.noteSent`. */
  readonly heads = new Map<RoomNid, RoomHead>();

  constructor(world: World, engine: SyncedEngine, draft: Draft, data: RoomData) {
    this.#world = world;
    this.#engine = engine;
    this.#draft = draft;
    this.#data = data;
    this.#timelines = new RoomTimelines(world, draft, data);
    for (const { nid, kind } of draft.rooms.values()) {
      const head = kind === "initial" ? roomHead(world, nid) : null;
      if (head !== null) this.#drafted.set(nid, head);
    }
  }

  /** See `RoomTimelines.needs`. */
  timelineNeeds(): TimelineNeed[] {
    return this.#timelines.needs();
  }

  /** See `RoomTimelines.cut`. */
  cutTimelines(): boolean {
    return this.#timelines.cut();
  }

  /**
   * State that will be asked for whatever the timelines hold, so that both are read at once. Of small rooms all members
   * come along: who spoke is not known yet, and is among them.
   */
  earlyStateNeeds(): StateNeed[] {
    const needs: StateNeed[] = [];
    for (const room of this.#draft.rooms.values()) {
      if (room.kind !== "initial" || !room.withState || this.#world.standing(room.nid)?.membership !== "join") continue;
      const selection = this.#engine.compile(room.config.requiredState, this.#world.userId);
      const allMembers = wantsAllMembers(selection, this.#world.meta(room.nid));
      needs.push({ nid: room.nid, selection, members: [], allMembers });
    }
    return needs;
  }

  /** Clients of this dialect page back by themselves. */
  olderNeeds(): OlderNeed[] {
    return [];
  }

  addOlder(): void {}

  /** What changed is in the timelines; of a gap the room is sent anew. */
  changesNeeds(): ChangesNeed[] {
    return [];
  }

  /** Which state has to be in memory; to be asked after `cutTimelines`. */
  stateNeeds(): StateNeed[] {
    this.#addTypingMembers();
    const needs: StateNeed[] = [];
    for (const room of this.#draft.rooms.values()) {
      const me = this.#world.userId;
      if (room.kind === "initial" && this.#world.invite(room.nid) !== null && room.config.timelineLimit > 0) {
        needs.push({ nid: room.nid, selection: null, members: [me] });
      }
      // State is for those inside: of a room that was left, what the timeline says is the end.
      if (room.kind === "counts" || this.#world.standing(room.nid)?.membership !== "join") continue;
      const selection = this.#engine.compile(room.config.requiredState, this.#world.userId);
      const members = new Set(this.#members.get(room.nid));
      if (selection.lazyMembers || this.#isLazyElsewhere(room)) {
        const sent = this.#engine.synced.get(room.nid)?.lazyMembers;
        // With the timeline alone the client keeps the state it has.
        const isWhole = room.kind === "initial" && room.withState && selection.lazyMembers;
        for (const event of this.#timelines.cutOf(room.nid)?.events ?? []) {
          if (isWhole || sent?.has(event.sender) !== true) members.add(event.sender);
        }
      }
      if (room.kind === "initial" && room.withState) this.#selections.set(room.nid, selection);
      this.#members.set(room.nid, [...members]);
      const whole = this.#selections.get(room.nid) ?? null;
      if (whole !== null || members.size > 0) needs.push({ nid: room.nid, selection: whole, members: [...members] });
    }
    return needs;
  }

  /** Sent whole for one list, while another one that shows it relies on hearing of everybody who speaks. */
  #isLazyElsewhere({ nid, kind }: RoomDraft): boolean {
    if (kind !== "initial" || !this.#engine.synced.has(nid)) return false;
    return this.#engine.compile(this.#engine.configOf(nid).requiredState, this.#world.userId).lazyMembers;
  }

  /** Event ids of the timeline sent for a room, for its receipts. */
  timelineIds(nid: RoomNid): ReadonlySet<string> {
    return new Set(this.#timelines.cutOf(nid)?.events.map((event) => event.id));
  }

  /** The entries; rooms that turn out to have nothing to say are left out. */
  build(): RoomEntry[] {
    const entries: RoomEntry[] = [];
    for (const room of this.#draft.rooms.values()) {
      const entry = this.#entry(room);
      if (entry !== null) entries.push(entry);
    }
    return entries;
  }

  /** Remembers what the client has of timelines, and whom it has heard of; call when the response is made. */
  noteMembers(): void {
    for (const { nid, kind, withTimeline, upTo } of this.#draft.rooms.values()) {
      const synced = this.#engine.synced.get(nid);
      if (synced === undefined || kind !== "initial" || !withTimeline) continue;
      synced.timelineFrom = this.#timelines.cutOf(nid)?.events[0]?.pos ?? upTo + 1;
    }
    for (const [nid, members] of this.#members) {
      const lazyMembers = this.#engine.synced.get(nid)?.lazyMembers;
      if (lazyMembers === undefined) continue;
      if (lazyMembers.size > MAX_LAZY_MEMBERS) lazyMembers.clear();
      for (const member of members) lazyMembers.add(member);
    }
  }

  #entry(room: RoomDraft): RoomEntry | null {
    const standing = this.#world.standing(room.nid);
    const roomId = this.#world.meta(room.nid)?.roomId;
    if (standing === undefined || roomId === undefined) return null;
    const base = {
      nid: room.nid,
      roomId,
      isInitial: false,
      isDm: false,
      requiredState: [],
      timeline: [],
      notificationCount: standing.notificationCount,
      highlightCount: highlightCount(standing),
      prevBatch: null,
      numLive: 0,
      timestamp: 0,
    };
    if (room.kind === "counts") return base;
    if (!isListed(standing)) return this.#departure(room, base, standing);
    const head = this.#drafted.get(room.nid) ?? roomHead(this.#world, room.nid);
    if (head === null) return null;
    if (room.kind === "delta") return this.#delta(room, base, head);
    const whole = this.#whole(room, base, head);
    if (standing.membership === "invite") {
      if (standing.stripped !== null) whole.inviteState = standing.stripped;
      const invite = this.#data.member(room.nid, this.#world.userId);
      if (room.config.timelineLimit > 0 && isOwnInvite(invite, this.#world.userId)) whole.timeline = [invite.json];
      return whole;
    }
    this.#addTimeline(room, whole);
    whole.requiredState = this.#requiredState(room.nid);
    return whole;
  }

  #whole(room: RoomDraft, base: RoomEntry, head: RoomHead): RoomEntry {
    this.heads.set(room.nid, head);
    const whole: RoomEntry = {
      ...base,
      isInitial: true,
      name: head.name,
      avatar: head.avatar,
      joinedCount: head.joinedCount,
      invitedCount: head.invitedCount,
      isDm: head.isDm,
      timestamp: this.#timestamp(room.nid),
    };
    if (head.heroes !== null && room.config.includeHeroes) whole.heroes = head.heroes;
    return whole;
  }

  #addTimeline(room: RoomDraft, whole: RoomEntry): void {
    const cut = this.#timelines.cutOf(room.nid);
    if (cut === undefined) return;
    whole.timeline = this.#bytes(cut.events);
    whole.prevBatch = cut.prevBatch;
    if (room.config.timelineLimit > 0 || cut.events.length > 0) whole.isLimited = cut.isLimited;
    if (this.#draft.isFirst) return;
    const after = liveAfter(this.#world, room.nid, room.since);
    whole.numLive = cut.events.filter((event) => event.pos > after).length;
  }

  /** The end of a stay: its last events, and nothing of what the room has become since. */
  #departure(room: RoomDraft, base: RoomEntry, standing: UserRoom): RoomEntry | null {
    const head = this.#drafted.get(room.nid);
    if (head !== undefined) {
      // It was left while the response was read together: as it was before, but for state, which is of now.
      const whole = this.#whole(room, base, head);
      this.#addTimeline(room, whole);
      return whole;
    }
    // Of a room that was never entered there is nothing to know but that.
    if (standing.stripped !== null && standing.membership !== "knock" && standing.memberPos > room.since) {
      return { ...base, name: EMPTY_ROOM, invitedCount: 0, timeline: [standing.stripped], numLive: 1 };
    }
    const events = this.#timelines.cutOf(room.nid)?.events ?? [];
    if (events.length === 0) return null;
    const departure = { ...base, timeline: this.#bytes(events), numLive: events.length };
    const isLimited = events.some((event) => event.gapBefore);
    return { ...departure, timestamp: this.#lastTs(events), ...(isLimited ? { isLimited } : {}) };
  }

  /** When the last of these events happened that moves a room. */
  #lastTs(events: readonly StoredEvent[]): number {
    const { bumpTypes } = this.#draft;
    if (bumpTypes.length === 0) return events.at(-1)?.ts ?? 0;
    return events.reduce((ts, event) => (bumpTypes.includes(event.type) ? Math.max(ts, event.ts) : ts), 0);
  }

  /** `timestamp` of a room the user is in or invited to: never before the own join. */
  #timestamp(nid: RoomNid): number {
    const { bumpTypes } = this.#draft;
    const ts = recencyTs(this.#world, nid, bumpTypes);
    return bumpTypes.length === 0 ? ts : Math.max(ts, this.#world.standing(nid)?.joinTs ?? 0);
  }

  #delta(room: RoomDraft, base: RoomEntry, head: RoomHead): RoomEntry | null {
    const cut = this.#timelines.cutOf(room.nid);
    const events = cut?.events ?? [];
    const entry: RoomEntry = {
      ...base,
      timeline: this.#bytes(events),
      prevBatch: cut?.prevBatch ?? null,
      numLive: events.length,
      requiredState: this.#requiredState(room.nid, this.#changedState(room, events)),
      timestamp: this.#timestamp(room.nid),
    };
    // A room that goes out of view is not sent anew: the gap is told here.
    if (events.some((event) => event.gapBefore)) entry.isLimited = true;
    const before = this.#engine.synced.get(room.nid)?.head ?? null;
    // After a restart the head as sent is unknown: it goes out again with the next event, seen or not, and not for its own sake.
    const hasNews = ((this.#draft.dirty.get(room.nid) ?? 0) & (DIRTY.event | DIRTY.standing)) !== 0;
    if (before === null && !hasNews && events.length === 0) return entry.requiredState.length === 0 ? null : entry;
    const isChanged = this.#addHeadChanges(entry, before, head, room.config.includeHeroes);
    const hasCounts = ((this.#draft.dirty.get(room.nid) ?? 0) & DIRTY.counts) !== 0;
    if (!isChanged && events.length === 0 && entry.requiredState.length === 0 && !hasCounts) return null;
    this.heads.set(room.nid, head);
    return entry;
  }

  /** Name, avatar and counts go out again when they differ from what the client was told. */
  #addHeadChanges(entry: RoomEntry, before: RoomHead | null, head: RoomHead, includeHeroes: boolean): boolean {
    const isJoinedSame = before?.joinedCount === head.joinedCount;
    const isInvitedSame = before?.invitedCount === head.invitedCount;
    const isNamed = before?.name === head.name && sameHeroes(before.heroes, head.heroes);
    const isPictured = before !== null && before.avatar === head.avatar;
    if (!isJoinedSame) entry.joinedCount = head.joinedCount;
    if (!isInvitedSame) entry.invitedCount = head.invitedCount;
    if (!isJoinedSame || !isInvitedSame || !isNamed) {
      entry.name = head.name;
      if (head.heroes !== null && includeHeroes) entry.heroes = head.heroes;
    }
    if (!isPictured) entry.avatar = head.avatar;
    return !isJoinedSame || !isInvitedSame || !isNamed || !isPictured;
  }

  /**
   * State in the news that the client asked for, the last of each key: matrix-js-sdk takes state from `required_state`
   * alone, so that a room that becomes encrypted has to be told there. Of lazily loaded members, those it knows.
   */
  #changedState(room: RoomDraft, news: readonly StoredEvent[]): StoredEvent[] {
    if (!news.some(({ stateKey }) => stateKey !== null)) return [];
    const selection = this.#engine.compile(room.config.requiredState, this.#world.userId);
    const known = this.#engine.synced.get(room.nid)?.lazyMembers;
    const changed = new Map<string, StoredEvent>();
    for (const event of news) {
      const { type, stateKey } = event;
      if (stateKey === null) continue;
      const isKnownMember = selection.lazyMembers && type === "m.room.member" && known?.has(stateKey) === true;
      if (isKnownMember || selection.matches(type, stateKey)) changed.set(`${type}\0${stateKey}`, event);
    }
    return [...changed.values()];
  }

  #requiredState(nid: RoomNid, changed: readonly StoredEvent[] = []): Uint8Array[] {
    const selection = this.#selections.get(nid);
    const events = selection === undefined ? [...changed] : this.#data.state(nid, selection);
    const known = new Set(events.map((event) => event.pos));
    for (const userId of this.#members.get(nid) ?? []) {
      const member = this.#data.member(nid, userId);
      if (member !== null && !known.has(member.pos)) {
        known.add(member.pos);
        events.push(member);
      }
    }
    return this.#bytes(events.sort((a, b) => a.pos - b.pos));
  }

  #bytes(events: readonly StoredEvent[]): Uint8Array[] {
    return eventBytes(this.#world, this.#data, events);
  }

  /** Whoever is shown typing in a lazily loaded room has to be known to the client (spec 8.4). */
  #addTypingMembers(): void {
    if (!this.#engine.params.extensions.typing.enabled) return;
    for (const [nid, bits] of this.#draft.dirty) {
      const synced = this.#engine.synced.get(nid);
      const roomId = this.#world.meta(nid)?.roomId;
      const typing = (bits & DIRTY.typing) === 0 ? null : this.#data.typing(nid);
      if (synced === undefined || roomId === undefined || typing === null) continue;
      if (!this.#engine.inScope("typing", nid, roomId)) continue;
      const config = this.#engine.configOf(nid);
      if (!this.#engine.compile(config.requiredState, this.#world.userId).lazyMembers) continue;
      const unknown = typing.userIds.filter((userId) => !synced.lazyMembers.has(userId));
      if (unknown.length === 0) continue;
      this.#members.set(nid, unknown);
      if (!this.#draft.rooms.has(nid)) {
        const { since, upTo } = this.#draft;
        this.#draft.rooms.set(nid, {
          nid,
          kind: "delta",
          config,
          since,
          upTo,
          withTimeline: false,
          withState: false,
          isAsked: false,
        });
      }
    }
  }
}

function sameHeroes(a: readonly Hero[] | null, b: readonly Hero[] | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.length === b.length &&
    a.every((hero, index) => hero.userId === b[index]?.userId && hero.displayName === b[index].displayName)
  );
}
