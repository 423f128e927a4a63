import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import type { EventId, StreamPos } from "#src/protocol/ids.ts";
import type { PollBatch, PolledJoin, PolledLeave, PolledRoom, PolledStripped } from "#src/protocol/poll-batch.ts";
import { hashBytes } from "./bytes.ts";
import { firstKept, isSteadyChunk, isStrayLeave, type PolledChunk } from "./chunk.ts";
import type { GroupDraft } from "./group-draft.ts";
import { pollerKey } from "./ingest-context.ts";
import type { RoomDraft } from "./room-draft.ts";
import { reduceMemberEvent, settleJoin, settleLeave, settleStripped } from "./standing-reducer.ts";

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
  }
}

function reduceJoin(group: GroupDraft, batch: PollBatch, section: PolledJoin): void {
  const hasEvents = section.state.length > 0 || section.timeline.length > 0;
  const room = hasEvents ? group.room(section.roomId) : group.findRoom(section.roomId);
  // Counts or receipts of a room of which nothing is known would show clients an empty room.
  if (room === null) return;
  const firstPos = hasEvents ? new ChunkReduction(group, batch, section, room).run() : 0;
  for (const receipt of section.receipts) group.addReceipt(room.nid, receipt);
  for (const datum of section.accountData) group.addAccountData(batch.userId, room.nid, datum);
  reduceTyping(group, batch, section, room);
  settleJoin(group, batch, section, room, firstPos);
}

function reduceLeave(group: GroupDraft, batch: PollBatch, section: PolledLeave): void {
  const isStray = isStrayLeave(section, batch.userId);
  const room = isStray ? group.findRoom(section.roomId) : group.room(section.roomId);
  if (room === null) return;
  const firstPos = isStray && room.isBare ? 0 : new ChunkReduction(group, batch, section, room).run();
  for (const datum of section.accountData) group.addAccountData(batch.userId, room.nid, datum);
  settleLeave(group, batch, section, room, firstPos);
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
  group.typing.set(room.nid, { owner: reporter, hash });
  if (known?.hash !== hash) room.typing = section.typing;
}

const hasNul = (event: EventFields): boolean =>
  event.id.includes("\0") ||
  event.type.includes("\0") ||
  event.sender.includes("\0") ||
  (event.stateKey !== null && event.stateKey.includes("\0"));

/** State block and timeline of one section. */
class ChunkReduction {
  readonly #group: GroupDraft;
  readonly #batch: PollBatch;
  readonly #section: PolledChunk;
  readonly #room: RoomDraft;
  /** Clients may hold the room as it was before this chunk. */
  readonly #isHeld: boolean;
  readonly #stored = new Map<EventId, StreamPos>();
  #firstPos: StreamPos = 0;

  constructor(group: GroupDraft, batch: PollBatch, section: PolledChunk, room: RoomDraft) {
    this.#group = group;
    this.#batch = batch;
    this.#section = section;
    this.#room = room;
    this.#isHeld = !room.isBare;
    if (batch.isFirstSync) room.isFromFirstSync = true;
  }

  /** Position of the first event that was new; 0 when none was. */
  run(): StreamPos {
    const { section, group, room, batch } = this.#parts();
    const timeline = this.#storable(section.timeline, "timeline");
    const state = createFirst(this.#storable(section.state, "state"));
    const standing = group.users.standing(batch.userId, room.nid);
    const isSteady = isSteadyChunk(section, batch.userId, batch.isFirstSync, standing);
    const first = firstKept(timeline, isSteady, (event) => group.isKnownEvent(room, event.id));
    if (section.isStateAfter) {
      const shown = new Set(timeline.slice(first).map((event) => event.id));
      const outside = state.filter((event) => !shown.has(event.id) && this.#storeState(event) !== null);
      const news = this.#reduceTimeline(timeline, first);
      this.#applyStateAfter(state, shown, news.length > 0);
      if (outside.length > 0) this.#reset();
      this.#settleOverruled(news);
    } else {
      for (const event of state) {
        const stored = this.#storeState(event);
        if (stored === null) continue;
        this.#apply(stored, stored.pos);
        this.#reset();
      }
      this.#reduceTimeline(timeline, first);
    }
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
      return null;
    }
    const stored = this.#store(event, { inTimeline: false, gapBefore: false, prevBatch: null });
    this.#room.addState(stored);
    return stored;
  }

  /** Stores what is new of the timeline, applies its state unless `state_after` will, and returns it. */
  #reduceTimeline(timeline: readonly EventFields[], first: number): StoredEvent[] {
    const { section, group, room, batch } = this.#parts();
    const news: StoredEvent[] = [];
    for (const [index, event] of timeline.entries()) {
      if (event.txnId !== null) group.addTxn(batch, event.id, event.txnId);
      if (index < first || group.isKnownEvent(room, event.id)) {
        group.knownEventCount += 1;
        continue;
      }
      const gapBefore = index === 0 && section.limited;
      const prevBatch = index === 0 && event === section.timeline[0] ? section.prevBatch : null;
      const stored = this.#store(event, { inTimeline: true, gapBefore, prevBatch });
      if (gapBefore) this.#reset();
      room.addTimeline(stored);
      news.push(stored);
      if (stored.stateKey === null) continue;
      if (section.isStateAfter) this.#reduceMember(stored, stored.pos);
      else this.#apply(stored, stored.pos);
    }
    return news;
  }

  #store(
    event: EventFields,
    place: { inTimeline: boolean; gapBefore: boolean; prevBatch: string | null },
  ): StoredEvent {
    const stored = this.#group.store(this.#room, event, place);
    if (this.#firstPos === 0) this.#firstPos = stored.pos;
    if (this.#section.isStateAfter) this.#stored.set(stored.id, stored.pos);
    return stored;
  }

  /** MSC4222: what the block lists is current, whatever the timeline did on the way. */
  #applyStateAfter(state: readonly EventFields[], shown: ReadonlySet<EventId>, hasNews: boolean): void {
    const { section, group, room } = this.#parts();
    for (const event of state) {
      if (event.stateKey === null || room.row(event.type, event.stateKey)?.eventId === event.id) continue;
      const pos = this.#stored.get(event.id);
      if (pos !== undefined) {
        this.#apply(event, pos, shown.has(event.id));
        continue;
      }
      // An event that we have, and that is not current. Listed in the timeline, or with a gap before and nothing new after it,
      // it is what a lagging poller sees; otherwise state fell back to it.
      if (shown.has(event.id) || (section.limited && !hasNews)) continue;
      const place = { nid: room.nid, inTimeline: false, gapBefore: false, prevBatch: null, txnId: null };
      const healed: StoredEvent = { ...event, ...place, pos: group.nextPos() };
      room.addState(healed);
      this.#apply(healed, healed.pos);
      this.#reset();
    }
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
        room,
        stateKey,
        { membership, sender: stateKey, ts: 0, pos: row?.pos ?? group.head },
        null,
      );
    }
  }

  #apply(event: EventFields, pos: StreamPos, isReduced = false): void {
    const { stateKey } = event;
    if (stateKey === null) return;
    this.#room.applyState(event, stateKey, pos);
    if (!isReduced) this.#reduceMember(event, pos);
  }

  #reduceMember(event: EventFields, pos: StreamPos): void {
    const { type, stateKey, membership, sender, ts } = event;
    if (type !== "m.room.member" || stateKey === null) return;
    reduceMemberEvent(
      this.#group,
      this.#room,
      stateKey,
      { membership: membership ?? "leave", sender, ts, pos },
      event.prevMembership,
    );
  }
}

/** The create event says what the others mean (spaces), so it comes first wherever the homeserver put it. */
function createFirst(state: readonly EventFields[]): readonly EventFields[] {
  const index = state.findIndex((event) => event.type === "m.room.create" && event.stateKey === "");
  const create = state[index];
  if (index <= 0 || create === undefined) return state;
  return [create, ...state.slice(0, index), ...state.slice(index + 1)];
}
