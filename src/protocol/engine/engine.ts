import type { RoomNid, StreamPos, UserId } from "../ids.ts";
import type { UserRoom } from "../room-meta.ts";
import { compileRequiredState, type StateSelection } from "../required-state.ts";
import { isListed } from "../visibility.ts";
import type { SyncRequest } from "../request.ts";
import { combineConfigs, EMPTY_PARAMS, mergeRequest, type RoomConfig, type StickyParams } from "../sticky.ts";
import { type Asked, askedAfter, covers, NOTHING_ASKED, servedBeside } from "./asked.ts";
import type { Draft, ExtensionName, RoomDraft } from "./draft.ts";
import type { Entries } from "./entries-api.ts";
import type { RestoreClaim } from "./engine-api.ts";
import { ExtensionStarts } from "./extension-starts.ts";
import { buildExtensions, extensionNeeds } from "./extensions.ts";
import type { DeviceData, ExtensionNeeds, ExtensionsBody, SentRooms } from "./extensions-body.ts";
import { ListSet, type Parts } from "./list-set.ts";
import { wantedOldRooms } from "./old-rooms.ts";
import type { CursorSnapshot } from "./proof.ts";
import { provenExtensions, type ProvenRoom, provenRooms, roomsSnapshot } from "./proof.ts";
import type { RoomData } from "./room-data.ts";
import { RoomEntries } from "./room-entries.ts";
import { isListedNow, isToBePlaced, type RoomHead } from "./room-facts.ts";
import { RoomsInView } from "./rooms-in-view.ts";
import { Selections } from "./selections.ts";
import type { SyncedEngine, SyncedRoom } from "./synced-room.ts";
import { DIRTY, type World } from "./world.ts";
import { SmallMap, SmallSet } from "../../small-collections.ts";

/** Bits that a client must be told of while it holds the room; a room out of view with one of them is given up. */
const CONTENT = DIRTY.event | DIRTY.receipt | DIRTY.typing | DIRTY.accountData | DIRTY.standing | DIRTY.reset;
const NO_CONFIG = combineConfigs([]);

const WHOLE: Parts = { withTimeline: true, withState: true };
/** What a room that changed is sent with. */
const NEWS = { withTimeline: true, withState: false, isAsked: false } as const;

/** A room that has to be sent whole, or some parts of it. */
interface Wanted extends Parts {
  /** Of those for whom it comes into view; a room that was there before comes anew with what these want alone. */
  configs: Set<RoomConfig>;
  isAsked: boolean;
}

/**
 * One connection's memory of its client, and the decisions made from it: what each request and each change means
 * in list operations and room entries. Pure: time, storage and the network are the actor's.
 */
export class ConnectionEngine implements SyncedEngine {
  params: StickyParams = EMPTY_PARAMS;
  /** Everything in view up to here is in responses already made. */
  streamPos: StreamPos;
  /** Raised whenever a room stops being kept up to date (see `proof.ts`). Starts at a random number in every life. */
  generation: number;
  #takenUpFrom: CursorSnapshot["takenUpFrom"];
  /** Rooms are written behind: those that were not are sent anew. */
  readonly isSoonWritten = false;
  isFirst = true;
  readonly #shownInvites = new Set<RoomNid>();
  readonly synced = new SmallMap<RoomNid, SyncedRoom>();
  readonly #lists = new ListSet((nid, config, parts) => this.#addInitial(nid, [config], parts));
  /** Subscriptions count in rooms that the user is in. */
  readonly #view = new RoomsInView(this.#lists);
  /** Rooms complete up to less than `streamPos`, because an own event waits for its transaction id. */
  readonly #behind = new Map<RoomNid, StreamPos>();
  readonly #extensions = new ExtensionStarts();
  readonly #selections = new Selections(compileRequiredState);
  #dirty = new Map<RoomNid, number>();
  #dirtyUser = 0;
  /** Rooms to be sent with the next draft. */
  #initial = new Map<RoomNid, Wanted>();
  /** While a request's parameters are applied. */
  #isAsking = false;

  /** `generation`: from `newLife`; numbers of different lives never meet. */
  constructor(streamPos: StreamPos, generation: number) {
    this.streamPos = streamPos;
    this.generation = generation;
  }

  /** Takes up a connection after its memory was lost: what the `pos` proves is believed, the rest is sent again. */
  restore(world: World, params: StickyParams, snapshot: CursorSnapshot, claim: RestoreClaim): void {
    this.params = params;
    this.isFirst = false;
    this.streamPos = claim.streamPos;
    this.#takenUpFrom = [claim.seq, claim.generation];
    this.#extensions.restore(provenExtensions(snapshot, claim), params);
    this.#lists.restore(world, params.lists);
    for (const roomId of Object.keys(params.subscriptions)) this.#confirm(world, roomId);
    const proven = provenRooms(snapshot, claim);
    for (const nid of claim.behind) proven.delete(nid);
    for (const standing of world.standings()) {
      const room = proven.get(standing.nid) ?? null;
      const asked = room && (claim.areParamsServed ? this.#servedTo(standing.nid, room.asked) : room.asked);
      this.#restoreRoom(world, standing, room && asked && { ...room, asked });
    }
  }

  begin(streamPos: StreamPos, extensions: readonly ExtensionName[]): void {
    this.isFirst = false;
    this.streamPos = streamPos;
    this.#extensions.started(extensions, 0);
  }

  snapshot(): CursorSnapshot {
    return {
      generation: this.generation,
      ...(this.#takenUpFrom === undefined ? {} : { takenUpFrom: this.#takenUpFrom }),
      ...roomsSnapshot(this.synced),
      extensions: this.#extensions.entries(),
    };
  }

  markDirty(nid: RoomNid, bits: number): void {
    const before = this.#dirty.get(nid) ?? 0;
    // Re-inserted, so that rooms are handled in the order of their latest change.
    if (before !== 0) this.#dirty.delete(nid);
    this.#dirty.set(nid, before | bits);
  }

  markUserDirty(bits: number): void {
    this.#dirtyUser |= bits;
  }

  /** Rooms that the client is about to see, and what it will want of them; none when asked again. */
  takeUpcoming(): [RoomNid, RoomConfig][] {
    return this.#lists.takeUpcoming();
  }

  /** True when `collect` would find anything that could be worth an answer. */
  get isDirty(): boolean {
    return this.#dirty.size > 0 || this.#dirtyUser !== 0 || this.#lists.hasOps || this.#initial.size > 0;
  }

  get version(): number {
    return this.generation;
  }

  /** True when an extension that is switched on has yet to say what it begins with. */
  get hasUnheardExtensions(): boolean {
    return this.#extensions.toStart(this.params).length > 0;
  }

  /** A `required_state` as read for this user: rooms of one list share the very array. */
  compile(requiredState: RoomConfig["requiredState"], userId: UserId): StateSelection {
    return this.#selections.of(requiredState, userId);
  }

  /** Applies a request's parameters; what follows from them is in the next draft. Returns true when sticky parameters changed. */
  applyRequest(world: World, request: SyncRequest): boolean {
    const merged = mergeRequest(this.params, request);
    this.#extensions.follow(this.params, merged.params);
    this.params = merged.params;
    this.#isAsking = true;
    this.#lists.applyRequest(world, merged);
    for (const roomId of merged.subscribed) this.#subscribe(world, roomId);
    for (const roomId of merged.unsubscribed) this.#unsubscribe(world, roomId);
    this.#isAsking = false;
    return merged.changed;
  }

  /** Turns all that happened since the last draft into the next one. */
  collect(world: World, upTo: StreamPos): Draft {
    const counts = new Set<RoomNid>();
    const deltas = new Set<RoomNid>();
    this.#absorbAll(world, deltas, counts);
    const rooms = new Map<RoomNid, RoomDraft>();
    for (const [nid, { configs, ...wanted }] of this.#initial) {
      if (world.standing(nid)?.membership === "invite") this.#shownInvites.add(nid);
      else this.#shownInvites.delete(nid);
      // Where state alone was asked for, or after a restart, what happened meanwhile is not to be lost.
      const hasNews = deltas.has(nid) && (!wanted.withTimeline || this.synced.get(nid)?.head === null);
      const config = combineConfigs(hasNews ? [...configs, this.configOf(nid)] : [...configs]);
      const withTimeline = wanted.withTimeline || hasNews;
      rooms.set(nid, { nid, kind: "initial", config, ...this.#span(world, nid, upTo), ...wanted, withTimeline });
    }
    const inViewAs = (nid: RoomNid): RoomConfig | null =>
      rooms.get(nid)?.config ?? (this.isVisible(nid) ? this.configOf(nid) : null);
    for (const room of rooms.values()) {
      for (const [nid, config] of wantedOldRooms(world, room.nid, room.config, inViewAs)) {
        rooms.set(nid, { nid, kind: "initial", config, ...this.#span(world, nid, upTo), ...WHOLE, isAsked: true });
      }
    }
    for (const nid of deltas) {
      if (rooms.has(nid)) continue;
      const { since, upTo: dueUpTo } = this.#span(world, nid, upTo);
      const span = { since, upTo: Math.max(since, dueUpTo) };
      rooms.set(nid, { nid, kind: "delta", config: this.configOf(nid), ...span, ...NEWS });
    }
    for (const nid of counts) {
      const span = { since: this.streamPos, upTo };
      if (!rooms.has(nid))
        rooms.set(nid, { nid, kind: "counts", config: NO_CONFIG, ...span, ...NEWS, withTimeline: false });
    }
    const draft: Draft = {
      isFirst: this.isFirst,
      since: this.streamPos,
      upTo,
      lists: this.#lists.take(),
      rooms,
      bumpTypes: [...new Set(Object.values(this.params.lists).flatMap((list) => list.bumpEventTypes))],
      dirty: this.#dirty,
      dirtyUser: this.#dirtyUser,
      startedExtensions: new Set(this.#extensions.toStart(this.params)),
    };
    this.#noteBehind(rooms, upTo);
    this.streamPos = upTo;
    this.#dirty = new Map();
    this.#dirtyUser = 0;
    this.#initial = new Map();
    return draft;
  }

  /** The draft became response `seq`: its rooms are held by the client from there on. */
  noteSent(draft: Draft, seq: number, heads: ReadonlyMap<RoomNid, RoomHead>): void {
    this.isFirst = false;
    let isLess = false;
    this.#extensions.started(draft.startedExtensions, seq);
    for (const [nid, room] of draft.rooms) {
      const head = heads.get(nid) ?? null;
      let known = this.synced.get(nid);
      if (known === undefined) {
        if (room.kind !== "initial" || !this.isVisible(nid)) continue;
        known = { sinceSeq: seq, head, timelineFrom: null, asked: NOTHING_ASKED, lazyMembers: new SmallSet() };
        this.synced.set(nid, known);
      }
      if (head !== null) known.head = head;
      if (room.kind === "initial") known.sinceSeq = seq;
      if (room.kind === "counts") continue;
      const before = known.asked;
      known.asked = askedAfter(before, room, room.kind === "initial" ? this.configOf(nid) : room.config);
      isLess ||= !covers(known.asked, before);
    }
    if (isLess) this.generation += 1;
  }

  makeEntries(world: World, draft: Draft, data: RoomData): Entries {
    return new RoomEntries(world, this, draft, data);
  }

  extensionNeeds(world: World, draft: Draft): ExtensionNeeds {
    return extensionNeeds(world, this, draft);
  }

  buildExtensions(
    world: World,
    draft: Draft,
    data: RoomData,
    device: DeviceData | null,
    sent: SentRooms,
  ): ExtensionsBody {
    return buildExtensions(world, this, draft, data, device, sent);
  }

  /** What is in view is kept up to date by what is said alone. */
  noteUnsaid(): void {}

  acknowledged(): void {}

  /** Lost responses are sent again as they were. */
  takeBack(): void {}

  /** Rooms that are not complete up to `streamPos`. */
  get behind(): RoomNid[] {
    return [...this.#behind.keys()];
  }

  /** The lists as they are, with nothing said of them. */
  lists(): Draft["lists"] {
    return this.#lists.counts();
  }

  /** The response in which an extension began to speak; null when the client has nothing of it. */
  extensionSince(name: ExtensionName): number | null {
    return this.#extensions.since(name);
  }

  /** The client sees the room in a window or has subscribed to it. */
  isVisible(nid: RoomNid): boolean {
    return this.#view.shows(nid);
  }

  visibleRooms(): Set<RoomNid> {
    return this.#view.rooms();
  }

  /** The union of everything the client asked for where this room appears. */
  configOf(nid: RoomNid): RoomConfig {
    const configs = this.#view.configs(nid, this.params);
    return combineConfigs(configs.length > 0 ? configs : this.#lists.listedConfigs(nid));
  }

  /** Whether a per-room extension speaks about this room (spec 9.0). */
  inScope(name: "account_data" | "receipts" | "typing", nid: RoomNid, roomId: string): boolean {
    const { lists, rooms } = this.params.extensions[name];
    if (rooms.includes(roomId)) return true;
    if (rooms[0] === "*" && this.#view.isSubscribed(nid)) return true;
    return this.#lists.shows(nid, lists);
  }

  /** A change while nobody watched is found by position; the bits only say where to look. */
  #restoreRoom(world: World, { nid, membership, joinPos, memberPos, pos }: UserRoom, proven: ProvenRoom | null): void {
    const meta = world.meta(nid);
    const isReset = meta === undefined || meta.resetPos > this.streamPos;
    // Rooms out of view are not kept: nobody looks for what they missed.
    const isVisible = this.isVisible(nid);
    const hasLeft = memberPos > this.streamPos && !isListed({ membership });
    if (proven !== null && !isReset && joinPos <= this.streamPos && ((isVisible && membership === "join") || hasLeft)) {
      this.synced.set(nid, { ...proven, head: null, timelineFrom: null, lazyMembers: new SmallSet() });
      const news = meta.latestPos > this.streamPos || hasLeft ? DIRTY.event : 0;
      this.markDirty(nid, news | DIRTY.counts | DIRTY.receipt | DIRTY.typing | DIRTY.accountData);
      // It may have come into a second window meanwhile.
      const more = isVisible
        ? this.#view.configs(nid, this.params).filter((config) => !covers(proven.asked, config))
        : [];
      if (more.length > 0 && membership === "join") this.#addInitial(nid, more, WHOLE);
    } else if (isVisible) {
      this.#addInitial(nid, [this.configOf(nid)], WHOLE);
    } else if (pos > this.streamPos && membership === "join") {
      this.markDirty(nid, DIRTY.counts);
    }
  }

  /** A subscription that counted for the acknowledged response was served in it, or before: only windows move by themselves. */
  #servedTo(nid: RoomNid, asked: Asked): Asked {
    const subscription = this.#view.subscription(nid, this.params);
    return subscription === undefined ? asked : servedBeside(asked, subscription);
  }

  /** Takes in everything that is dirty: first the lists, then what it means for each room. */
  #absorbAll(world: World, deltas: Set<RoomNid>, counts: Set<RoomNid>): void {
    const inView = new Set<RoomNid>();
    for (const nid of this.#dirty.keys()) if (this.isVisible(nid)) inView.add(nid);
    for (const [nid, bits] of this.#dirty) if (isToBePlaced(world, nid, bits)) this.#lists.place(world, nid);
    this.#lists.removeLeaving(world);
    for (const [nid, bits] of this.#dirty) this.#absorb(world, nid, bits, inView.has(nid), deltas, counts);
    // Left since they came into view, which may be told only later: they go at once, for nothing of them can be shown.
    // A removal may bring the next such room into view: it joins those that are walked through.
    for (const nid of this.#initial.keys()) {
      if (isListedNow(world, nid)) continue;
      this.#initial.delete(nid);
      this.#lists.withdraw(nid);
      if (this.synced.has(nid)) deltas.add(nid);
    }
  }

  #absorb(
    world: World,
    nid: RoomNid,
    bits: number,
    wasVisible: boolean,
    deltas: Set<RoomNid>,
    counts: Set<RoomNid>,
  ): void {
    const standing = world.standing(nid);
    const isInList = this.#lists.has(nid);
    const isJoined = standing?.membership === "join";
    // Others' polls may have brought the join long before the user's own makes it count: what was shown is an invite.
    const isNewlyJoined = isJoined && (standing.joinPos > this.streamPos || this.#shownInvites.has(nid));
    const hasLeft = standing !== undefined && !isListed(standing) && standing.memberPos > this.streamPos;
    const roomId = world.meta(nid)?.roomId;
    if (isJoined && roomId !== undefined && !this.#view.isSubscribed(nid)) this.#subscribe(world, roomId);
    const wasSubscribed = !isJoined && this.#view.unsubscribe(nid);
    const isVisible = this.isVisible(nid);

    const mustReset = (bits & DIRTY.reset) !== 0 && isVisible;
    // An invite to a room the client holds, from a stay that ended meanwhile, shows what an invite shows.
    const isNewlyInvited = standing?.membership === "invite" && standing.memberPos > this.streamPos;
    if (isNewlyJoined && (isVisible || isInList)) {
      this.#addInitial(nid, [...this.#lists.listedConfigs(nid), this.configOf(nid)], WHOLE);
    } else if ((isNewlyInvited && isVisible) || mustReset || (isVisible && !this.synced.has(nid))) {
      this.#addInitial(nid, [this.configOf(nid)], WHOLE);
    } else if ((wasVisible || wasSubscribed || isVisible || hasLeft) && this.synced.has(nid)) {
      if ((bits & (DIRTY.event | DIRTY.standing)) !== 0) deltas.add(nid);
      if ((bits & DIRTY.counts) !== 0) counts.add(nid);
    } else {
      // Unread counts are told of every room, wherever it is; of one that only now came or went they are not news.
      const isNews = (bits & (DIRTY.counts | DIRTY.standing)) === DIRTY.counts;
      if (isNews && standing !== undefined && isListed(standing) && this.#view.isAnythingAsked) counts.add(nid);
      if ((bits & CONTENT) !== 0) this.#giveUp(nid);
    }
    // What a reset changed is in no timeline: out of view it is not told.
    if ((bits & DIRTY.reset) !== 0 && !isVisible) this.#giveUp(nid);
  }

  /** From here on the room is not kept up to date: should it be shown again, it is sent whole. */
  #giveUp(nid: RoomNid): void {
    if (this.synced.delete(nid)) this.generation += 1;
  }

  /** Which part of a room's timeline is due: nothing from an own event on that waits, whoever is sent the room anew. */
  #span(world: World, nid: RoomNid, upTo: StreamPos): { since: StreamPos; upTo: StreamPos } {
    const heldFrom = world.heldFrom(nid);
    return {
      since: this.#behind.get(nid) ?? this.streamPos,
      upTo: heldFrom === null ? upTo : Math.min(upTo, heldFrom - 1),
    };
  }

  #noteBehind(rooms: ReadonlyMap<RoomNid, RoomDraft>, upTo: StreamPos): void {
    for (const { nid, kind, upTo: roomUpTo } of rooms.values()) {
      if (kind === "counts") continue;
      if (roomUpTo < upTo) this.#behind.set(nid, roomUpTo);
      else this.#behind.delete(nid);
    }
    // Of a room that was given up, this response has told the rest.
    for (const nid of this.#behind.keys())
      if (!this.synced.has(nid) && rooms.get(nid)?.kind !== "initial") this.#behind.delete(nid);
  }

  #addInitial(nid: RoomNid, configs: readonly RoomConfig[], parts: Parts): void {
    const before = this.#initial.get(nid);
    this.#initial.set(nid, {
      withTimeline: parts.withTimeline || (before?.withTimeline ?? false),
      withState: parts.withState || (before?.withState ?? false),
      configs: new Set([...(before?.configs ?? []), ...configs]),
      isAsked: before?.isAsked ?? this.#isAsking,
    });
  }

  /** A subscription counts from when the user is in the room; null until then. */
  #confirm(world: World, roomId: string): RoomNid | null {
    if (this.params.subscriptions[roomId] === undefined) return null;
    const nid = world.nidOf(roomId);
    if (nid === undefined || world.standing(nid)?.membership !== "join") return null;
    this.#view.subscribe(nid, roomId);
    return nid;
  }

  #subscribe(world: World, roomId: string): void {
    const nid = this.#confirm(world, roomId);
    const config = this.params.subscriptions[roomId];
    if (nid !== null && config !== undefined) this.#addInitial(nid, [config], WHOLE);
  }

  #unsubscribe(world: World, roomId: string): void {
    const nid = world.nidOf(roomId);
    if (nid !== undefined) this.#view.unsubscribe(nid);
  }
}
