import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import type { EventId, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PollBatch, PolledJoin, PolledLeave, PolledRoom, PolledStripped } from "#src/protocol/poll-batch.ts";
import { hashBytes } from "./bytes.ts";
import { findOwnMember, firstKept, isContinuingChunk, type PolledChunk, stayOf } from "./chunk.ts";
import type { GroupDraft, SuspicionReason } from "./group-draft.ts";
import { hasNul } from "./identifiers.ts";
import { pollerKey } from "./ingest-context.ts";
import { asAwaited, reduceRedaction } from "./redactions.ts";
import type { RoomDraft } from "./room-draft.ts";
import { reduceForgotten, reduceGone, reduceSnapshot } from "./snapshot-reducer.ts";
import { hideFromJoiner, reduceMemberEvent, settleJoin, settleLeave, settleStripped } from "./standing-reducer.ts";

/** Reduces one room section of a poll. */
export function reduceRoom(group: GroupDraft, batch: PollBatch, section: PolledRoom): void {
  switch (section.kind) {
    case "join":
      return reduceJoin(group, batch, section);
    case "leave":
      return reduceLeave(group, batch, section);
    case "invite":
    case "knock":
      return reduceStripped(group, batch, section);
    case "snapshot":
      return reduceSnapshot(group, batch, section);
    case "gone":
      return reduceGone(group, batch, section);
    case "forgotten":
      return reduceForgotten(group, batch, section);
  }
}

function reduceJoin(group: GroupDraft, batch: PollBatch, section: PolledJoin): void {
  const hasEvents = section.state.length > 0 || section.timeline.length > 0;
  const room = hasEvents ? group.room(section.roomId) : group.findRoom(section.roomId);
  // Counts or receipts of a room of which nothing is known would show clients an empty room.
  if (room === null || isWithoutCreate(group, batch, section, room)) return;
  const firstPos = hasEvents ? new ChunkReduction(group, batch, section, room).run() : 0;
  for (const receipt of section.receipts) group.addReceipt(room.nid, receipt);
  for (const datum of section.accountData) group.addAccountData(batch.userId, room.nid, datum);
  reduceTyping(group, batch, section, room);
  settleJoin(group, batch, section, room, firstPos);
}

function reduceLeave(group: GroupDraft, batch: PollBatch, section: PolledLeave): void {
  const known = group.findRoom(section.roomId);
  const timeline = stayOf(section, batch.userId, known && group.users.standing(batch.userId, known.nid));
  const room = known ?? (timeline === null && !isSentAway(section, batch.userId) ? null : group.room(section.roomId));
  if (room === null) return;
  const firstPos = timeline === null ? 0 : new ChunkReduction(group, batch, { ...section, timeline }, room).run();
  for (const datum of section.accountData) group.addAccountData(batch.userId, room.nid, datum);
  settleLeave(group, batch, section, room, firstPos);
}

/** Others say that the user is out: that is told, even of a room of which nothing else is known. */
function isSentAway(section: PolledLeave, userId: UserId): boolean {
  const own = findOwnMember(section, userId);
  return own !== null && (own.membership === "ban" || (own.membership === "leave" && own.sender !== userId));
}

const isCreate = (event: EventFields): boolean => event.type === "m.room.create" && event.stateKey === "";

/**
 * The first state of a room without the event that made it is no room that can be shown: nothing of it is taken, and it is
 * read whole from the homeserver.
 */
function isWithoutCreate(group: GroupDraft, batch: PollBatch, section: PolledJoin, room: RoomDraft): boolean {
  const { roomId, state, timeline } = section;
  if (!room.isBare || state.length === 0 || state.some(isCreate) || timeline.some(isCreate)) return false;
  group.reject(batch, { roomId, section: "join.state", reason: "state without a create event", sample: "" });
  group.suspect(roomId, batch.userId, "no-create");
  return true;
}

function reduceStripped(group: GroupDraft, batch: PollBatch, section: PolledStripped): void {
  settleStripped(group, batch, section, group.room(section.roomId));
}

/** The first poller that reports typing in a room speaks for it until it stops: several would contradict each other. */
function reduceTyping(group: GroupDraft, batch: PollBatch, section: PolledJoin, room: RoomDraft): void {
  if (section.typing === null) return;
  const reporter = pollerKey(batch.userId, batch.deviceId);
  const known = group.typing.get(room.nid) ?? group.context.typing(room.nid);
  if (known !== undefined && known.owner !== null && known.owner !== reporter) return;
  const hash = hashBytes(section.typing.json);
  if (known?.owner === reporter && known.hash === hash) return;
  // A copy: it is remembered for longer than the poll.
  const typing = { json: section.typing.json.slice(), userIds: section.typing.userIds };
  group.typing.set(room.nid, { owner: reporter, hash, typing });
  if (known?.hash !== hash) room.typing = section.typing;
}

/** State block and timeline of one section. */
class ChunkReduction {
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
    const isContinuing = isContinuingChunk(section, batch.userId, batch.isFirstSync, standing);
    const first = firstKept(timeline, isContinuing, room.gapEventId, (event) => group.isKnownEvent(room, event.id));
    if (section.isStateAfter) {
      const shown = new Set(timeline.slice(first).map((event) => event.id));
      for (const event of state) if (!shown.has(event.id)) this.#storeState(event);
      const news = this.#reduceTimeline(timeline, first);
      this.#applyStateAfter(state, shown, news.length > 0);
      this.#applyOwnLeave();
      this.#settleOverruled(news);
    } else {
      this.#noteSuccessors(timeline);
      for (const event of state) {
        const stored = this.#storeState(event);
        if (stored === null || this.#isOutdated(event, -1) || this.#isOvertaken(event)) continue;
        if (this.#apply(stored, stored.pos)) this.#announce(stored);
      }
      this.#reduceTimeline(timeline, first);
    }
    const isBack = section.kind === "join" && standing !== null && standing.membership !== "join";
    if (isBack && this.#isHeld && this.#hasNewState) this.#suspect("rejoined");
    return this.#firstPos;
  }

  #parts(): { section: PolledChunk; group: GroupDraft; room: RoomDraft; batch: PollBatch } {
    return { section: this.#section, group: this.#group, room: this.#room, batch: this.#batch };
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
   * True for a change before this poller's gap that others have passed: what is current came after this poller's previous
   * poll, and was sent later.
   */
  #isOvertaken({ type, stateKey, ts, replacesState }: EventFields): boolean {
    const { section, group, room, batch } = this.#parts();
    if (!section.limited || batch.isFirstSync || !this.#isHeld || stateKey === null) return false;
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

  /** Stores what is new of the timeline, applies its state unless `state_after` will, and returns it. */
  #reduceTimeline(timeline: readonly EventFields[], first: number): StoredEvent[] {
    const { section, group, room, batch } = this.#parts();
    const news: StoredEvent[] = [];
    for (const [index, event] of timeline.entries()) {
      group.noteSeen(batch, event);
      if (index < first || group.isKnownEvent(room, event.id)) {
        group.knownEventCount += 1;
        if (news.length > 0) hideFromJoiner(group, batch, room, event);
        continue;
      }
      const gapBefore = index === 0 && section.limited;
      const prevBatch = index === 0 && event === section.timeline[0] ? section.prevBatch : null;
      const stored = this.#store(event, { inTimeline: true, gapBefore, prevBatch });
      if (gapBefore) this.#reset();
      room.addTimeline(stored);
      group.ownEvents.added(batch, stored);
      news.push(stored);
      reduceRedaction(group, room, stored);
      if (stored.stateKey === null) continue;
      if (section.isStateAfter) this.#reduceMember(stored, stored.pos);
      else if (!this.#isOutdated(event, index)) {
        this.#checkReplaced(event);
        this.#apply(stored, stored.pos);
      }
    }
    return news;
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
    for (const event of state) {
      if (event.stateKey === null || room.row(event.type, event.stateKey)?.eventId === event.id) continue;
      const stored = this.#stored.get(event.id);
      if (stored !== undefined) {
        const isShown = shown.has(event.id);
        if (this.#apply(stored, stored.pos, isShown) && !isShown) this.#announce(stored);
        continue;
      }
      // An event that we have, and that is not current. Listed in the timeline, or with a gap before and nothing new after it,
      // it is what a lagging poller sees, and a departure shows state as it was then; otherwise state fell back to it.
      if (section.kind === "leave" || shown.has(event.id) || (section.limited && !hasNews)) continue;
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
      if (row?.eventId === id || (row !== null && this.#stored.has(row.eventId as EventId))) continue;
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

/** Some homeservers send the event that made a new room in the timeline, behind state that needs it. */
function withCreateInState(
  timeline: readonly EventFields[],
  state: readonly EventFields[],
  isHeld: boolean,
): { timeline: readonly EventFields[]; state: readonly EventFields[] } {
  const create = timeline.find(isCreate);
  if (isHeld || create === undefined || state.length === 0 || state.some(isCreate)) return { timeline, state };
  return { timeline: timeline.filter((event) => event !== create), state: [create, ...state] };
}

/** The create event says what the others mean (spaces), so it comes first wherever the homeserver put it. */
function createFirst(state: readonly EventFields[]): readonly EventFields[] {
  const index = state.findIndex(isCreate);
  const create = state[index];
  if (index <= 0 || create === undefined) return state;
  return [create, ...state.slice(0, index), ...state.slice(index + 1)];
}
