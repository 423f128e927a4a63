import type { RoomNid, StreamPos, UserId } from "../ids.ts";
import { replaceRequest } from "../replaced-params.ts";
import type { SyncRequest } from "../request.ts";
import type { StateSelection } from "../required-state.ts";
import { compileSimplifiedState } from "../simplified-state.ts";
import { combineConfigs, EMPTY_PARAMS, type ExtensionParams, type RoomConfig, type StickyParams } from "../sticky.ts";
import { type Draft, EXTENSION_NAMES, type ExtensionName, type RoomDraft } from "./draft.ts";
import { Acknowledged } from "./acknowledged.ts";
import type { RestoreClaim } from "./engine-api.ts";
import type { Entries } from "./entries-api.ts";
import type { DeviceData, ExtensionNeeds, ExtensionsBody, SentRooms } from "./extensions-body.ts";
import { HeldRooms, UNSENT } from "./held-room.ts";
import { heldAfter } from "./held-after.ts";
import { ListSet } from "./list-set.ts";
import type { CursorSnapshot } from "./proof.ts";
import { type Pending, provenHeldExtensions, provenHeldRooms, rememberedSnapshot } from "./remembered-proof.ts";
import type { Remembering, RememberingOptions } from "./remembering-api.ts";
import { decideRoom, leftBehind, NEWS } from "./remembered-rooms.ts";
import { RememberedEntries } from "./remembered-entries.ts";
import { buildRememberedExtensions, rememberedExtensionNeeds } from "./remembered-extensions.ts";
import type { RoomData } from "./room-data.ts";
import type { RoomHead } from "./room-facts.ts";
import { RoomsInView } from "./rooms-in-view.ts";
import { isSelfLeft, isStripped, isUsable, simplifiedRules } from "./simplified-rooms.ts";
import { Selections } from "./selections.ts";
import { StateUnions } from "./state-unions.ts";
import { buildSticky, hasUnheardSticky, NO_STICKY_PROGRESS } from "./sticky-extension.ts";
import { DIRTY, type World } from "./world.ts";

/** Bits that can change whether and where a room is listed. */
const PLACING = DIRTY.event | DIRTY.standing | DIRTY.reset | DIRTY.place;

/** Writing so many rooms, 20 KB, takes less than a millisecond, a fraction of what new rooms themselves take. */
const MAX_SOON_WRITTEN = 1000;

/**
 * A connection that remembers of every room how far its client has it: a room that comes back into view goes on from there.
 * Nothing sticks of a request. Until a response is acknowledged, all that followed from it can be taken back.
 */
export class RememberingEngine implements Remembering {
  params: StickyParams = EMPTY_PARAMS;
  streamPos: StreamPos;
  generation: number;
  version = 0;
  isFirst = true;
  /** Extensions that were asked for under another name than their own. */
  extensionNames: Readonly<Record<string, string>> = {};
  readonly options: RememberingOptions;
  readonly held = new HeldRooms();
  get isSoonWritten(): boolean {
    return this.held.size <= MAX_SOON_WRITTEN;
  }
  /** Events after this are live for the client: where it was when it asked. */
  get liveAfter(): StreamPos {
    return this.#acked.progress.streamPos;
  }
  readonly #lists: ListSet;
  /** Subscriptions count in rooms that may be shown. */
  readonly #view: RoomsInView;
  #behind = new Map<RoomNid, StreamPos>();
  #extensionsSince = new Map<ExtensionName, number>();
  #sticky = NO_STICKY_PROGRESS;
  readonly #selections = new Selections(compileSimplifiedState);
  readonly #unions = new StateUnions();
  #dirty = new Map<RoomNid, number>();
  #dirtyUser = 0;
  /** The response that was made last. */
  #seq = 0;
  /** It went to the client, which has not acknowledged it. */
  #isPending = false;
  /** Rooms in view to look at, whatever happened to them. */
  #shown = new Set<RoomNid>();
  /** Everything in view has to be looked at. */
  #isAllShown = false;
  #acked: Acknowledged;

  constructor(streamPos: StreamPos, generation: number, options: RememberingOptions) {
    this.streamPos = streamPos;
    this.generation = generation;
    this.options = options;
    const own = {
      rooms: (world: World) => this.#partingRooms(world),
      isParting: (world: World, nid: RoomNid) => this.#isParting(world, nid),
    };
    this.#lists = new ListSet((nid) => void this.#shown.add(nid), simplifiedRules(own, options.hidesStrangers));
    this.#view = new RoomsInView(this.#lists);
    this.#acked = this.#now();
  }

  restore(world: World, params: StickyParams, snapshot: CursorSnapshot, claim: RestoreClaim): void {
    this.params = params;
    this.isFirst = false;
    this.streamPos = claim.streamPos;
    this.#seq = claim.seq;
    const begun = provenHeldExtensions(snapshot, claim);
    for (const name of EXTENSION_NAMES) {
      const sinceSeq = begun.get(name);
      if (sinceSeq !== undefined) this.#extensionsSince.set(name, sinceSeq);
    }
    const proven = provenHeldRooms(snapshot, claim);
    for (const nid of claim.behind) proven.delete(nid);
    for (const [nid, room] of proven) this.held.set(nid, room);
    this.held.settle();
    // What happened while nobody watched is found by position: the bits only say where to look.
    for (const { nid, membership, pos, memberPos } of world.standings()) {
      const { latestPos = 0, resetPos = 0 } = membership === "join" ? (world.meta(nid) ?? {}) : {};
      const latest = Math.max(pos, memberPos, latestPos, resetPos);
      const news = latest > claim.streamPos ? NEWS : 0;
      this.markDirty(nid, news | DIRTY.receipt | DIRTY.typing | DIRTY.accountData);
    }
    // Which rooms were direct nobody knows any more.
    if (this.options.tellsAll && world.directPos > claim.streamPos)
      for (const nid of proven.keys()) this.markDirty(nid, DIRTY.place);
    this.#isAllShown = true;
    this.#acked = this.#now();
  }

  /** A connection without rooms, of which its `pos` says all there is to know. */
  begin(streamPos: StreamPos, extensions: readonly ExtensionName[]): void {
    this.isFirst = false;
    this.streamPos = streamPos;
    for (const name of extensions) this.#extensionsSince.set(name, 0);
    this.#acked = this.#now();
  }

  snapshot(): CursorSnapshot {
    const { progress } = this.#acked;
    return {
      generation: progress.generation,
      rooms: [],
      extensions: [...progress.extensionsSince],
      remembered: rememberedSnapshot(this.held.settled(), progress, this.#pending()),
    };
  }

  #pending(): Pending | null {
    if (!this.#isPending) return null;
    const { generation, held } = this;
    return { seq: this.#seq, generation, rooms: held.unsettled(), extensions: [...this.#extensionsSince] };
  }

  markDirty(nid: RoomNid, bits: number): void {
    this.#dirty.set(nid, (this.#dirty.get(nid) ?? 0) | bits);
  }

  markUserDirty(bits: number): void {
    this.#dirtyUser |= bits;
  }

  takeUpcoming(): [RoomNid, RoomConfig][] {
    return this.#lists.takeUpcoming();
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0 || this.#dirtyUser !== 0 || this.#shown.size > 0 || this.#isAllShown;
  }

  get hasUnheardExtensions(): boolean {
    const { extensions } = this.params;
    if (hasUnheardSticky(extensions.sticky_events, this.#sticky)) return true;
    return EXTENSION_NAMES.some((name) => extensions[name].enabled && !this.#extensionsSince.has(name));
  }

  compile(requiredState: RoomConfig["requiredState"], userId: UserId): StateSelection {
    return this.#selections.of(requiredState, userId);
  }

  applyRequest(world: World, request: SyncRequest): boolean {
    const merged = replaceRequest(this.params, request);
    this.extensionNames = request.extension_names ?? {};
    this.#restartExtensions(merged.params);
    this.params = merged.params;
    this.#lists.applyRequest(world, merged);
    for (const roomId of merged.unsubscribed) {
      const nid = world.nidOf(roomId);
      if (nid !== undefined) this.#view.unsubscribe(nid);
    }
    for (const roomId of merged.subscribed) this.#subscribe(world, roomId);
    return merged.changed;
  }

  collect(world: World, upTo: StreamPos): Draft {
    for (const [nid, bits] of this.#dirty) {
      const isHeldBack = world.heldFrom(nid) !== null;
      if ((bits & (isHeldBack ? PLACING & ~DIRTY.event : PLACING)) !== 0) this.#lists.place(world, nid);
      if ((bits & DIRTY.standing) !== 0 && !this.#view.isSubscribed(nid)) {
        const roomId = world.meta(nid)?.roomId;
        if (roomId !== undefined) this.#subscribe(world, roomId);
      }
    }
    this.#lists.removeLeaving(world);
    const candidates = new Set([...this.#shown, ...this.#dirty.keys()]);
    if (this.#isAllShown) for (const nid of this.visibleRooms()) candidates.add(nid);
    const rooms = new Map<RoomNid, RoomDraft>();
    for (const nid of candidates) {
      const bits = this.#dirty.get(nid) ?? 0;
      const isVisible = this.isVisible(nid);
      this.#noteUnseen(world, nid, bits, isVisible);
      const room = isVisible
        ? decideRoom(world, { nid, bits, upTo, since: this.#liveSince(nid), held: this.held.get(nid) ?? null }, this)
        : null;
      if (room !== null) rooms.set(nid, room);
    }
    const draft: Draft = {
      isFirst: this.isFirst,
      since: this.streamPos,
      upTo,
      lists: this.#tellLists(),
      rooms,
      bumpTypes: [],
      dirty: this.#dirty,
      dirtyUser: this.#dirtyUser,
      startedExtensions: new Set(
        EXTENSION_NAMES.filter((name) => this.params.extensions[name].enabled && !this.#extensionsSince.has(name)),
      ),
      shown: this.#isAllShown ? candidates : new Set([...this.#shown].filter((nid) => this.isVisible(nid))),
    };
    for (const { nid, upTo: roomUpTo } of rooms.values()) {
      if (roomUpTo < upTo) this.#behind.set(nid, roomUpTo);
      else this.#behind.delete(nid);
    }
    this.#acked.lookedAt(this.#dirty, this.#dirtyUser);
    this.streamPos = upTo;
    this.#dirty = new Map();
    this.#dirtyUser = 0;
    this.#shown = new Set();
    this.#isAllShown = false;
    return draft;
  }

  noteSent(draft: Draft, seq: number, heads: ReadonlyMap<RoomNid, RoomHead>): void {
    this.#isPending = true;
    this.isFirst = false;
    this.#seq = seq;
    for (const name of draft.startedExtensions) this.#extensionsSince.set(name, seq);
    for (const [nid, room] of draft.rooms) {
      const { held, selfLeft, forgetsState, forgetsTimeline } = room;
      // Its leave is told: from the next response on no list holds it.
      if (selfLeft === true && !this.options.keepsSelfLeft) this.markDirty(nid, DIRTY.place);
      const before = this.held.get(nid) ?? held ?? UNSENT;
      // What is written down claims more than the client has.
      if (forgetsState !== undefined || forgetsTimeline === true) this.generation += 1;
      this.held.set(nid, heldAfter(before, room, heads.get(nid) ?? before.head, this.#unions));
    }
    this.held.noteTold();
  }

  noteUnsaid(draft: Draft, seq: number, heads: ReadonlyMap<RoomNid, RoomHead>): void {
    this.noteSent(draft, seq, heads);
    this.#isPending = false;
  }

  acknowledged(): void {
    this.#isPending = false;
    if (this.held.settle()) this.version += 1;
    this.#acked = this.#now();
  }

  takeBack(world: World): void {
    const { progress, dirty, dirtyUser } = this.#acked;
    this.#isPending = false;
    // What is written down of it proves nothing any more.
    this.generation += 1;
    const changed = [...this.held.takeBack()];
    this.streamPos = progress.streamPos;
    this.isFirst = progress.isFirst;
    this.#extensionsSince = new Map(progress.extensionsSince);
    this.#behind = new Map(progress.behind);
    this.#sticky = progress.sticky;
    this.#seq = progress.seq;
    for (const [nid, bits] of dirty) this.markDirty(nid, bits);
    this.#dirtyUser |= dirtyUser;
    // Rooms of which a leave has to be told once more are listed once more.
    for (const nid of changed) this.#lists.place(world, nid);
    this.#lists.removeLeaving(world);
    this.#isAllShown = true;
    // The client has what it had: the position that says so is of the generation of then.
    this.#acked = new Acknowledged({ ...this.#now().progress, generation: progress.generation });
  }

  makeEntries(world: World, draft: Draft, data: RoomData): Entries {
    return new RememberedEntries(world, this, draft, data);
  }

  extensionNeeds(world: World, draft: Draft): ExtensionNeeds {
    return rememberedExtensionNeeds(world, this, draft);
  }

  buildExtensions(
    world: World,
    draft: Draft,
    data: RoomData,
    device: DeviceData | null,
    sent: SentRooms,
  ): ExtensionsBody {
    const body = buildRememberedExtensions(world, this, draft, data, device, sent);
    const params = this.params.extensions.sticky_events;
    if (!params.enabled) return body;
    const isListed = (nid: RoomNid): boolean => this.#view.isSubscribed(nid) || this.#lists.keysOf(nid).length > 0;
    const isKnown = (nid: RoomNid): boolean => this.held.get(nid) !== undefined || draft.rooms.has(nid);
    const sticky = buildSticky({ world, data, draft, isListed, isKnown }, params, sent);
    this.#sticky = sticky.progress;
    return sticky.body === null ? body : { ...body, sticky: sticky.body };
  }

  get behind(): RoomNid[] {
    return [...this.#behind.keys()];
  }

  lists(): Draft["lists"] {
    return this.#lists.counts();
  }

  /** Keys of the lists that hold the room. */
  listKeys(nid: RoomNid): string[] {
    return this.#lists.keysOf(nid);
  }

  extensionSince(name: ExtensionName): number | null {
    return this.#extensionsSince.get(name) ?? null;
  }

  isVisible(nid: RoomNid): boolean {
    return this.#view.shows(nid);
  }

  visibleRooms(): Set<RoomNid> {
    return this.#view.rooms();
  }

  foremost(count: number): Set<RoomNid> {
    return this.#view.foremost(count);
  }

  configOf(nid: RoomNid): RoomConfig {
    return combineConfigs(this.#view.configs(nid, this.params), (a, b) => this.#unions.both(a, b));
  }

  inScope(name: "account_data" | "receipts" | "typing", nid: RoomNid, roomId: string): boolean {
    const { enabled, lists, rooms } = this.params.extensions[name];
    if (!enabled) return false;
    const isNamed = rooms[0] === "*" || rooms.includes(roomId);
    if (isNamed && this.#view.isSubscribed(nid)) return true;
    if (this.#lists.shows(nid, lists)) return true;
    // Rooms of an extension are those in view, or of subscriptions alone.
    return isNamed && !this.options.tellsAll && lists[0] !== "*" && this.#lists.shows(nid);
  }

  #tellLists(): Draft["lists"] {
    if (!this.options.tellsWindows) return this.#lists.takeWindows(() => []);
    return this.#lists.takeWindows(({ windows, ranges }) => windows ?? ranges);
  }

  /** How far the client has a room that it has all of. */
  #liveSince(nid: RoomNid): StreamPos {
    return this.#behind.get(nid) ?? this.streamPos;
  }

  /** What the client is not told of a room it holds stays to be told: from here on it is behind. */
  #noteUnseen(world: World, nid: RoomNid, bits: number, isVisible: boolean): void {
    const held = this.held.get(nid);
    if (held === undefined || bits === 0) return;
    const roomId = world.meta(nid)?.roomId ?? "";
    // Of an invite it is the stripped state that may be another.
    const tellsPlace = this.options.tellsAll || isStripped(world.standing(nid)?.membership);
    const left = leftBehind(held, bits, {
      news: tellsPlace ? NEWS : NEWS & ~DIRTY.place,
      live: this.streamPos,
      room: isVisible ? null : this.#liveSince(nid),
      isTold: (name) => this.inScope(name, nid, roomId),
    });
    if (left === held) return;
    if (left.upTo !== held.upTo) this.#behind.delete(nid);
    this.held.set(nid, left);
    this.generation += 1;
  }

  #subscribe(world: World, roomId: string): void {
    const nid = world.nidOf(roomId);
    if (nid === undefined || !Object.hasOwn(this.params.subscriptions, roomId)) return;
    const standing = world.standing(nid);
    if (standing === undefined || !isUsable(world, standing)) return;
    this.#view.subscribe(nid, roomId);
    this.#shown.add(nid);
  }

  /** The user left a room that the client holds, and the client does not know it yet. */
  #isParting(world: World, nid: RoomNid): boolean {
    const standing = world.standing(nid);
    const held = this.held.get(nid);
    if (standing === undefined || held === undefined || !isSelfLeft(standing)) return false;
    if (!isUsable(world, standing)) return false;
    return this.options.keepsSelfLeft || standing.memberPos > Math.min(held.upTo, this.streamPos);
  }

  *#partingRooms(world: World): Iterable<RoomNid> {
    for (const nid of this.held.keys()) if (this.#isParting(world, nid)) yield nid;
  }

  #restartExtensions(params: StickyParams): void {
    for (const name of EXTENSION_NAMES) {
      const before = this.params.extensions[name];
      const after = params.extensions[name];
      if (!after.enabled) this.#extensionsSince.delete(name);
      const isSame = before.enabled === after.enabled && isSameScope(before, after);
      // Rooms may have come into its scope.
      if (after.enabled && !isSame) this.#isAllShown = true;
    }
  }

  #now(): Acknowledged {
    return new Acknowledged({
      seq: this.#seq,
      streamPos: this.streamPos,
      generation: this.generation,
      isFirst: this.isFirst,
      extensionsSince: new Map(this.#extensionsSince),
      behind: new Map(this.#behind),
      sticky: this.#sticky,
    });
  }
}

const isSameScope = (a: ExtensionParams, b: ExtensionParams): boolean =>
  JSON.stringify([a.lists, a.rooms]) === JSON.stringify([b.lists, b.rooms]);
