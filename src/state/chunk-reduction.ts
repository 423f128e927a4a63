import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import type { EventId, StreamPos } from "#src/protocol/ids.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import { EVERYBODY, type UserRoom } from "#src/protocol/room-meta.ts";
import {
  type Certainty,
  certaintyOf,
  createFirst,
  findOwnMember,
  firstKept,
  hasLeave,
  isPlaceable,
  type PolledChunk,
  unseenBeginning,
  withCreateInState,
  wasInside,
} from "./chunk.ts";
import type { GroupDraft, SuspicionReason } from "./group-draft.ts";
import { hasNul } from "./identifiers.ts";
import { LOST, placeChunk, storingOrder } from "./late-events.ts";
import { asAwaited, reduceRedaction, reduceUnseenRedaction } from "./redactions.ts";
import { Retelling } from "./retelling.ts";
import type { RoomDraft } from "./room-draft.ts";
import { reduceMemberEvent } from "./standing-reducer.ts";

/** State block and timeline of one section. */
export class ChunkReduction {
  readonly #group: GroupDraft;
  readonly #batch: PollBatch;
  readonly #section: PolledChunk;
  readonly #room: RoomDraft;
  /** Clients may hold the room as it was before this chunk. */
  readonly #isHeld: boolean;
  /** Others saw the user leave, and may have seen more since: what this section says of other state is old. */
  readonly #isPast: boolean;
  readonly #stored = new Map<EventId, StoredEvent>();
  /** The section tells all state, not what changed. */
  readonly #isWhole: boolean;
  /** Stored state events of the timeline: where in it the last one of each key lies. */
  readonly #successors = new Map<string, number>();
  /** The newest stored events of the room, where the chunk may be older than some of them. */
  #tail: readonly StoredEvent[] = [];
  /** Where the new events of the timeline belong among them; null = behind what is stored. */
  #places: ReadonlyMap<number, number> | null = null;
  /** Those of them from here on are newer than all of the section. */
  #newerFrom = 0;
  /** New state of the timeline of which a newer version was stored before. */
  readonly #overtaken = new Set<EventId>();
  /** Events of the timeline that may follow what nobody has brought yet: the own join, and what comes first without one. */
  readonly #seams = new Set<number>();
  /** What comes before this event of the timeline was left out, of it or of an answer before, which had none; null = nothing. */
  #gapIndex: number | null = null;
  #firstPos: StreamPos = 0;
  /** The state block holds an event that was not known. */
  #hasNewState = false;

  constructor(group: GroupDraft, batch: PollBatch, section: PolledChunk, room: RoomDraft) {
    this.#group = group;
    this.#batch = batch;
    this.#section = section;
    this.#room = room;
    this.#isHeld = !room.isBare;
    const own = findOwnMember(section, batch.userId);
    this.#isPast = section.kind === "leave" && own !== null && group.isKnownEvent(room, own.id);
    this.#isWhole = batch.isFirstSync || (own?.membership === "join" && own.prevMembership !== "join");
    if (batch.isFirstSync && batch.hasSyncedBefore !== true) room.isFromFirstSync = true;
  }

  /** Position of the first event that was new; 0 when none was. */
  run(): StreamPos {
    const { section, group, room, batch } = this.#parts();
    const { timeline, state } = withCreateInState(
      this.#storable(section.timeline, "timeline"),
      createFirst(this.#storable(section.state, "state")),
      this.#isHeld,
    );
    const standing = group.users.standing(batch.userId, room.nid);
    const certain = certaintyOf(
      { kind: section.kind, state: section.state, timeline },
      batch.userId,
      batch.isFirstSync,
      standing,
    );
    const isKept = this.#place(timeline, certain, standing);
    if (section.isStateAfter) {
      const kept = timeline.filter((_, index) => isKept(index));
      const shown = new Set(kept.map((event) => event.id));
      // When state that is listed beside a leave became current nobody can tell: whoever is out by the end may not see it.
      const isParting = section.kind === "join" && !this.#isWhole && hasLeave(kept, (id) => group.isKnownUser(id));
      const storeBeside = (): void => {
        for (const event of state) if (!shown.has(event.id)) this.#storeState(event);
      };
      if (!isParting) storeBeside();
      const news = this.#reduceTimeline(timeline, isKept);
      if (isParting) storeBeside();
      this.#applyStateAfter(state, shown, news.length > 0);
      this.#applyOwnLeave();
      this.#settleOverruled(news);
    } else {
      this.#noteSuccessors(timeline);
      const isKnown = (id: EventId): boolean => group.isKnownEvent(room, id);
      const beginning = this.#isHeld ? unseenBeginning(timeline, isKept, isKnown) : [];
      for (const event of beginning.length === 0 ? state : [...beginning, ...state]) {
        const stored = this.#storeState(event);
        if (stored === null || this.#isOutdated(event, -1) || this.#isOvertaken(event)) continue;
        if (this.#hasNewer(event, this.#newerFrom)) continue;
        if (this.#apply(stored, stored.pos)) this.#announce(stored);
      }
      this.#reduceTimeline(timeline, isKept);
    }
    const isBack = section.kind === "join" && standing !== null && standing.membership !== "join";
    if (isBack && this.#isHeld && this.#hasNewState) this.#suspect("rejoined");
    return this.#firstPos;
  }

  #parts(): { section: PolledChunk; group: GroupDraft; room: RoomDraft; batch: PollBatch } {
    return { section: this.#section, group: this.#group, room: this.#room, batch: this.#batch };
  }

  /**
   * What an answer leaves out lies before the first event that is shown, be it by a later answer to the same user. State of what was
   * left out is known by then, and in nobody's timeline any more.
   */
  #noteGap(timeline: readonly EventFields[], fresh: ReadonlyMap<number, number>): void {
    const { section, room, batch } = this.#parts();
    if (timeline.length === 0) {
      const isOpen = section.limited && section.kind === "join" && this.#isHeld;
      if (isOpen) room.openGap(this.#hasNewState ? EVERYBODY : batch.userId);
      return;
    }
    const wasOpen = room.closeGap(batch.userId);
    if (section.limited || (wasOpen && !this.#isWhole)) this.#gapIndex = 0;
    const newest = fresh.entries().find(([, place]) => place === this.#tail.length);
    if (newest !== undefined && room.closeGap(EVERYBODY) && this.#gapIndex !== 0) [this.#gapIndex] = newest;
  }

  #reset(): void {
    if (this.#isHeld) this.#room.isReset = true;
  }

  /** Databases cannot hold NUL in text; such identifiers are no honest homeserver's. */
  #storable(events: readonly EventFields[], part: "state" | "timeline"): readonly EventFields[] {
    if (!events.some(hasNul)) return events;
    return events.filter((event) => {
      if (!hasNul(event)) return true;
      this.#group.reject(this.#batch, {
        roomId: this.#section.roomId,
        section: `${this.#section.kind}.${part}`,
        reason: "NUL in an identifier",
        sample: "",
      });
      return false;
    });
  }

  /** Stores an event of the state block; null when there is nothing to store. */
  #storeState(event: EventFields): StoredEvent | null {
    if (event.stateKey === null) return null;
    if (this.#group.isKnownEvent(this.#room, event.id)) {
      this.#group.knownEventCount += 1;
      this.#doubtIfPast(event, event.stateKey);
      return null;
    }
    this.#hasNewState = true;
    return this.#store(event, { inTimeline: false, gapBefore: false, prevBatch: null });
  }

  /** Without MSC4222 nobody can tell state that moved back from what a lagging poller sees: the homeserver is asked. */
  #doubtIfPast({ id, type }: EventFields, stateKey: string): void {
    if (this.#section.isStateAfter || this.#section.kind !== "join" || !this.#isHeld) return;
    const row = this.#room.row(type, stateKey);
    if (row === null || row.eventId === id || this.#successors.has(`${type}\0${stateKey}`)) return;
    this.#suspect("moved-back");
  }

  /**
   * True for a change before this poller's timeline that others have passed: what is current came after this poller's previous
   * poll, and was sent later.
   */
  #isOvertaken({ type, stateKey, ts, replacesState }: EventFields): boolean {
    const { group, room, batch } = this.#parts();
    if (batch.isFirstSync || !this.#isHeld || stateKey === null) return false;
    const polledAt = group.context.polledAt(batch.userId, batch.deviceId);
    const row = room.row(type, stateKey);
    if (polledAt < 0 || row === null || row.pos <= polledAt || row.eventId === replacesState) return false;
    // Clocks of servers differ: either way the homeserver is asked.
    this.#suspect("lagging");
    return ts < row.ts;
  }

  /** Something we hold as current was replaced without our seeing it, or something else was. */
  #checkReplaced({ type, stateKey, replacesState }: EventFields): void {
    if (this.#section.isStateAfter || !this.#isHeld || replacesState === null || stateKey === null) return;
    if (this.#room.row(type, stateKey)?.eventId !== replacesState) this.#suspect("replaces-other");
  }

  #suspect(reason: SuspicionReason): void {
    this.#group.suspect(this.#section.roomId, this.#batch.userId, reason);
  }

  /** State that no timeline carries: whoever holds the room has to be sent it anew. */
  #announce(event: StoredEvent): void {
    this.#room.addState(event);
    this.#reset();
  }

  /** Finds out where the new events of the timeline belong; answers which of the timeline's are not left out. */
  #place(timeline: readonly EventFields[], certain: Certainty, standing: UserRoom | null): (index: number) => boolean {
    const { section, group, room, batch } = this.#parts();
    const isKnown = (id: EventId): boolean => group.isKnownEvent(room, id);
    const first = firstKept(timeline, certain.from, room.gapEventId, ({ id }) => isKnown(id));
    const polledAt = group.context.polledAt(batch.userId, batch.deviceId);
    const tail = isPlaceable(batch, timeline, certain, polledAt) ? group.tail(room) : null;
    if (certain.isJoin) this.#seams.add(certain.from);
    // So may what a device brings that began without rooms, and behind what the user's other one has yet to bring.
    const mayHaveSkipped = certain.from > 0 || batch.roomsAreDue === true;
    if (mayHaveSkipped && first === 0 && this.#isHeld) this.#seams.add(first);
    if (tail === null) return (index) => index >= first;
    const joinPos = certain.from === 0 && !certain.isJoin ? (standing?.joinPos ?? 0) : 0;
    const leftPos = joinPos > 0 && wasInside(standing) ? standing.memberPos : 0;
    const sight = { isKnown, polledAt, joinPos, leftPos, seams: room.seams };
    const { places, newerFrom } = placeChunk(
      { timeline, certain, state: section.state, isLimited: section.limited },
      tail,
      sight,
    );
    this.#tail = tail;
    this.#places = places;
    this.#newerFrom = newerFrom;
    return (index) => index >= first && places.get(index) !== LOST;
  }

  /** True for state of which a stored event of the tail, from `from` on, is a newer version. */
  #hasNewer({ type, stateKey }: EventFields, from: number): boolean {
    return this.#tail.some((event, index) => index >= from && event.stateKey === stateKey && event.type === type);
  }

  /** Stores what is new of the timeline, applies its state unless `state_after` will, and returns it. */
  #reduceTimeline(timeline: readonly EventFields[], isKept: (index: number) => boolean): StoredEvent[] {
    const { group, room, batch } = this.#parts();
    const fresh = new Map<number, number>();
    let isLate = false;
    for (const [index, event] of timeline.entries()) {
      group.noteSeen(batch, event);
      const isKnown = group.isKnownEvent(room, event.id);
      if (isKept(index) && !isKnown) {
        const place = this.#places?.get(index) ?? this.#tail.length;
        isLate ||= place < this.#tail.length;
        fresh.set(index, place);
        continue;
      }
      group.knownEventCount += 1;
      // What a gap hides of a redaction is its event: nobody is shown it, and it holds.
      if (!isKnown && reduceUnseenRedaction(group, room, event)) this.#reset();
    }
    this.#noteGap(timeline, fresh);
    const news: StoredEvent[] = [];
    const store = (index: number): void => {
      const event = timeline[index];
      // The same event twice in one timeline.
      if (event === undefined || group.isKnownEvent(room, event.id)) return;
      news.push(this.#storeTimeline(event, index, fresh.get(index) ?? 0));
    };
    if (!isLate) for (const index of fresh.keys()) store(index);
    else {
      const retelling = new Retelling(group, room);
      for (const item of storingOrder({ places: fresh }, this.#tail))
        if (typeof item === "number") store(item);
        else retelling.add(item);
      retelling.finish();
      this.#reset();
    }
    this.#noteEnd(timeline, fresh, news);
    return news;
  }

  /**
   * What is newer than all that was stored is followed by the place where this answer ends. Of a room that the user has left others
   * may have seen more by then.
   */
  #noteEnd(timeline: readonly EventFields[], fresh: ReadonlyMap<number, number>, news: readonly StoredEvent[]): void {
    const { roomsEnd } = this.#batch;
    if (roomsEnd === undefined || this.#section.kind === "leave") return;
    const last = [...fresh].findLast(([, place]) => place === this.#tail.length)?.[0];
    const newest = last === undefined ? undefined : news.find(({ id }) => id === timeline[last]?.id);
    if (newest !== undefined) this.#room.endAt(newest, roomsEnd);
  }

  /** `place`: what is stored of the tail from there on is newer. */
  #storeTimeline(event: EventFields, index: number, place: number): StoredEvent {
    const { section, group, room, batch } = this.#parts();
    const gapBefore = index === this.#gapIndex;
    const prevBatch = index === 0 && event === section.timeline[0] ? section.prevBatch : null;
    const stored = this.#store(event, { inTimeline: true, gapBefore, prevBatch });
    if (gapBefore) this.#reset();
    room.addTimeline(stored);
    if (this.#seams.has(index) && !gapBefore) room.addSeam(stored);
    group.ownEvents.added(batch, stored);
    reduceRedaction(group, room, stored);
    if (stored.stateKey === null) return stored;
    if (this.#hasNewer(event, place)) {
      this.#overtaken.add(stored.id);
      return stored;
    }
    if (section.isStateAfter) this.#reduceMember(stored, stored.pos);
    else if (!this.#isOutdated(event, index)) {
      this.#checkReplaced(event);
      this.#apply(stored, stored.pos);
    }
    return stored;
  }

  #noteSuccessors(timeline: readonly EventFields[]): void {
    for (const [index, { id, type, stateKey }] of timeline.entries()) {
      if (stateKey === null || !this.#group.isKnownEvent(this.#room, id)) continue;
      this.#successors.set(`${type}\0${stateKey}`, index);
    }
  }

  /** True for a state event that arrives after its successor, as when another poller skipped it in a gap. */
  #isOutdated({ type, stateKey }: EventFields, index: number): boolean {
    return this.#successors.size > 0 && (this.#successors.get(`${type}\0${stateKey}`) ?? -1) > index;
  }

  #store(
    event: EventFields,
    place: { inTimeline: boolean; gapBefore: boolean; prevBatch: string | null },
  ): StoredEvent {
    const { group, room } = this.#parts();
    const stored = group.store(room, asAwaited(group, room, event), place);
    if (this.#firstPos === 0) this.#firstPos = stored.pos;
    if (this.#section.isStateAfter) this.#stored.set(stored.id, stored);
    return stored;
  }

  /** MSC4222: what the block lists is current, whatever the timeline did on the way. */
  #applyStateAfter(state: readonly EventFields[], shown: ReadonlySet<EventId>, hasNews: boolean): void {
    const { section, group, room } = this.#parts();
    const listed = new Set(section.timeline.map(({ id }) => id));
    for (const event of state) {
      if (event.stateKey === null || room.row(event.type, event.stateKey)?.eventId === event.id) continue;
      // It became current after the homeserver made this answer.
      if (this.#hasNewer(event, this.#newerFrom) || (this.#isWhole && this.#isOvertaken(event))) continue;
      const stored = this.#stored.get(event.id);
      if (stored !== undefined) {
        const isShown = shown.has(event.id);
        if (this.#apply(stored, stored.pos, isShown) && !isShown) this.#announce(stored);
        continue;
      }
      // An event that we have, and that is not current. Listed in the timeline, or with a gap before and nothing new after it,
      // it is what a lagging poller sees, and a departure shows state as it was then; otherwise state fell back to it.
      if (section.kind === "leave" || this.#isLagging(event, listed) || (section.limited && !hasNews)) continue;
      // Who is told the whole state may be told it late, by an answer that others have overtaken: the homeserver is asked.
      if (this.#isWhole) {
        this.#suspect("moved-back");
        continue;
      }
      const place = { nid: room.nid, inTimeline: false, gapBefore: false, prevBatch: null, txnId: null };
      const healed: StoredEvent = { ...event, ...place, pos: group.nextPos() };
      this.#apply(healed, healed.pos);
      this.#announce(healed);
    }
  }

  /** The timeline lists the event too, and something newer is current: what was stored last may have been told late, so clocks decide. */
  #isLagging({ id, type, stateKey, ts }: EventFields, listed: ReadonlySet<EventId>): boolean {
    return listed.has(id) && stateKey !== null && ts <= (this.#room.row(type, stateKey)?.ts ?? -1);
  }

  /** Of a room that none of its users is in any more Synapse lists no state after the leave: the leave itself says it. */
  #applyOwnLeave(): void {
    const { section, batch, room } = this.#parts();
    const own = section.kind === "leave" ? findOwnMember(section, batch.userId) : null;
    const stored = own === null ? undefined : this.#stored.get(own.id);
    if (stored === undefined || room.row("m.room.member", batch.userId)?.eventId === stored.id) return;
    this.#apply(stored, stored.pos, true);
  }

  /** Timeline state that `state_after` does not confirm lost against other state: who holds the room holds it wrongly. */
  #settleOverruled(news: readonly StoredEvent[]): void {
    const { room, group } = this.#parts();
    for (const { id, type, stateKey } of news) {
      if (stateKey === null) continue;
      const row = room.row(type, stateKey);
      if (this.#overtaken.has(id) || row?.eventId === id || (row !== null && this.#stored.has(row.eventId as EventId)))
        continue;
      this.#reset();
      if (type !== "m.room.member") continue;
      const membership = row?.membership ?? "leave";
      reduceMemberEvent(
        group,
        this.#batch,
        room,
        stateKey,
        { membership, sender: stateKey, ts: 0, pos: row?.pos ?? group.head },
        null,
      );
    }
  }

  /** Makes an event current; false when what it says is of the past. */
  #apply(event: EventFields, pos: StreamPos, isReduced = false): boolean {
    const { stateKey } = event;
    if (stateKey === null || (this.#isPast && this.#room.row(event.type, stateKey) !== null)) return false;
    this.#room.applyState(event, stateKey, pos);
    if (!isReduced) this.#reduceMember(event, pos);
    return true;
  }

  #reduceMember(event: EventFields, pos: StreamPos): void {
    const { type, stateKey, membership, sender, ts } = event;
    if (type !== "m.room.member" || stateKey === null) return;
    reduceMemberEvent(
      this.#group,
      this.#batch,
      this.#room,
      stateKey,
      { membership: membership ?? "leave", sender, ts, pos },
      event,
      this.#firstPos === 0 ? pos : this.#firstPos,
    );
  }
}
