import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import type { EventId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PollBatch, PolledReceipt, Rejected } from "#src/protocol/poll-batch.ts";
import type { StoredReceipt } from "#src/protocol/update.ts";
import { accountDataKey, type IngestContext, receiptKey, type TypingState } from "./ingest-context.ts";
import { type IngestTransaction, emptyTransaction } from "./ingest-transaction.ts";
import { RoomDraft } from "./room-draft.ts";
import { emptyRoom } from "./room-meta-reducer.ts";
import { hashBytes } from "./bytes.ts";
import type { TypedJson } from "#src/protocol/events.ts";
import { OwnEvents } from "./own-events.ts";
import { StickyDrafts } from "./sticky-drafts.ts";
import { UserDrafts } from "./user-draft.ts";

/** Skipped things kept for inspection in one commit; more are only counted. */
const QUARANTINE_LIMIT = 100;

/** Rooms in one commit whose state is to be compared with the homeserver's; further ones show again. */
const SUSPICION_LIMIT = 1000;

/** Why the state held of a room is doubted. */
export type SuspicionReason =
  /** An event replaces another one than we hold. */
  | "replaces-other"
  /** A state block lists an event that we hold as past. */
  | "moved-back"
  /** A state block lists a change that others seem to have passed. */
  | "lagging"
  /** The user is back in a room that changed meanwhile. */
  | "rejoined"
  /** The user has forgotten the room, which only who is out can, and no poll has said that they are. */
  | "forgotten"
  /** State without a create event: it cannot be shown. */
  | "no-create"
  /** Nothing but counts or the like: there is nothing to show yet. */
  | "no-events";

/** A room whose state may not be the homeserver's; the user is one who should be in it. */
export interface Suspicion {
  roomId: RoomId;
  userId: UserId;
  reason: SuspicionReason;
}

/** One group of batches while it is being reduced. Lives for one reduction; a failure leaves nothing behind. */
export class GroupDraft {
  readonly context: IngestContext;
  readonly tx: IngestTransaction;
  readonly users: UserDrafts;
  readonly ownEvents: OwnEvents;
  readonly sticky: StickyDrafts;
  readonly typing = new Map<RoomNid, TypingState>();
  readonly accountHashes = new Map<string, string>();
  newEventCount = 0;
  knownEventCount = 0;
  rejectedCount = 0;
  repairedCount = 0;
  /** By room, the first reason of each. */
  readonly suspicions = new Map<RoomId, Suspicion>();
  readonly #rooms = new Map<RoomId, RoomDraft>();
  readonly #stored = new Map<string, StoredEvent>();
  /** Events of before this group that it redacted. */
  readonly #redacted = new Map<string, StoredEvent>();
  readonly #pollingUsers = new Set<string>();
  readonly #receipts = new Map<string, Omit<StoredReceipt, "pos">>();
  readonly #accountData = new Map<string, TypedJson & { userId: UserId; roomNid: RoomNid | 0 }>();
  readonly #txns = new Set<string>();
  #head: StreamPos;
  #maxRoomNid: number;

  constructor(context: IngestContext) {
    this.context = context;
    this.tx = emptyTransaction(context.head);
    this.users = new UserDrafts(context);
    this.ownEvents = new OwnEvents(context);
    this.sticky = new StickyDrafts(context, () => this.nextPos());
    this.#head = context.head;
    this.#maxRoomNid = context.maxRoomNid;
  }

  get head(): StreamPos {
    return this.#head;
  }

  get rooms(): Iterable<RoomDraft> {
    return this.#rooms.values();
  }

  nextPos(): StreamPos {
    this.#head += 1;
    return this.#head;
  }

  addPollingUser(userId: UserId): void {
    this.#pollingUsers.add(userId);
  }

  isKnownUser(userId: string): boolean {
    return this.#pollingUsers.has(userId) || this.context.isKnownUser(userId);
  }

  /** The room if anything is known of it. */
  findRoom(roomId: RoomId): RoomDraft | null {
    const draft = this.#rooms.get(roomId);
    if (draft !== undefined) return draft;
    const meta = this.context.room(roomId);
    if (meta === null) return null;
    const found = new RoomDraft(this.context, meta, false);
    this.#rooms.set(roomId, found);
    return found;
  }

  room(roomId: RoomId): RoomDraft {
    const found = this.findRoom(roomId);
    if (found !== null) return found;
    this.#maxRoomNid += 1;
    const created = new RoomDraft(this.context, emptyRoom(this.#maxRoomNid as RoomNid, roomId), true);
    this.#rooms.set(roomId, created);
    return created;
  }

  /** True for an event that is stored, or about to be. */
  isKnownEvent(room: RoomDraft, eventId: EventId): boolean {
    return this.#stored.has(eventId) || (!room.wasBare && this.context.isKnownEvent(eventId));
  }

  /** Stores a new event in a room; its transaction id is the sender's device's alone and goes elsewhere. */
  store(
    room: RoomDraft,
    event: EventFields,
    place: { inTimeline: boolean; gapBefore: boolean; prevBatch: string | null },
  ): StoredEvent {
    const stored: StoredEvent = {
      id: event.id,
      type: event.type,
      stateKey: event.stateKey,
      sender: event.sender,
      ts: event.ts,
      membership: event.membership,
      prevMembership: event.prevMembership,
      redacts: event.redacts,
      replacesState: event.replacesState,
      txnId: null,
      json: event.json,
      nid: room.nid,
      pos: this.nextPos(),
      inTimeline: place.inTimeline,
      gapBefore: place.gapBefore,
      prevBatch: place.prevBatch,
    };
    this.#stored.set(event.id, stored);
    room.noteStored(stored);
    this.tx.events.push(stored);
    this.newEventCount += 1;
    return stored;
  }

  /** The newest timeline events of a room as it is by now, from the newest gap on; null = there is no need to know. */
  tail(room: RoomDraft): readonly StoredEvent[] | null {
    const stored = room.wasBare ? [] : this.context.tail(room.nid);
    return stored === null ? null : room.tail(stored);
  }

  /** Stores an event of a timeline once more, behind everything that is stored: that is its place from now on. */
  move(room: RoomDraft, event: StoredEvent): StoredEvent {
    const { events, moved } = this.tx;
    const json = this.#redacted.get(event.id)?.json ?? event.json;
    this.#redacted.delete(event.id);
    const index = events.lastIndexOf(event);
    if (index === -1) moved.push(event);
    else events.splice(index, 1);
    const copy: StoredEvent = { ...event, json, pos: this.nextPos() };
    this.#stored.set(event.id, copy);
    events.push(copy);
    return copy;
  }

  /** An event as it is by now: stored by this group, or before it and loaded for it. */
  findEvent(eventId: string): StoredEvent | null {
    return this.#stored.get(eventId) ?? this.#redacted.get(eventId) ?? this.context.storedEvent(eventId);
  }

  /** Gives an event the bytes that a redaction leaves of it. */
  rewrite(event: StoredEvent, json: Uint8Array): void {
    // Made by this group: all who hold it are to see the same.
    if (this.#stored.has(event.id)) event.json = json;
    else this.#redacted.set(event.id, { ...event, json });
  }

  /** Stores what was redacted; by room. */
  finishRedactions(): Map<RoomNid, StoredEvent[]> {
    this.tx.redacted.push(...this.#redacted.values());
    return Map.groupBy(this.#redacted.values(), ({ nid }) => nid);
  }

  addReceipt(nid: RoomNid, receipt: PolledReceipt): void {
    const key = receiptKey({ nid, ...receipt });
    const known = this.#receipts.get(key) ?? this.context.receipt(key);
    // A poller that lags reports what another one has moved on from.
    if (known !== undefined && (known.eventId === receipt.eventId || receipt.ts < known.ts)) return;
    this.#receipts.set(key, { nid, ...receipt });
  }

  addAccountData(userId: UserId, roomNid: RoomNid | 0, datum: TypedJson): void {
    this.#accountData.set(accountDataKey(userId, roomNid, datum.type), {
      userId,
      roomNid,
      type: datum.type,
      json: datum.json,
    });
  }

  /** A poller brought an event of its timeline: with the transaction id of its device, or, of its own user, without one. */
  noteSeen(batch: PollBatch, { id, txnId, stateKey, sender }: EventFields): void {
    if (txnId !== null) this.#addTxn(batch, id, txnId);
    else if (stateKey === null && sender === batch.userId) this.ownEvents.seenWithout(batch.deviceId, id);
  }

  #addTxn(batch: PollBatch, eventId: EventId, txnId: string): void {
    const { userId, deviceId } = batch;
    const key = `${userId}\0${deviceId}\0${eventId}`;
    if (this.#txns.has(key)) return;
    this.#txns.add(key);
    this.ownEvents.identified(eventId);
    this.tx.txns.push({ userId, deviceId, eventId, txnId, nowMs: this.context.nowMs });
    this.users.update(userId).txns.push({ deviceId, eventId, txnId });
  }

  reject(batch: PollBatch, rejected: Rejected): void {
    this.rejectedCount += 1;
    if (this.tx.quarantine.length >= QUARANTINE_LIMIT) return;
    const { userId, deviceId } = batch;
    this.tx.quarantine.push({ ...rejected, userId, deviceId, nowMs: this.context.nowMs });
  }

  suspect(roomId: RoomId, userId: UserId, reason: SuspicionReason): void {
    if (this.suspicions.has(roomId) || this.suspicions.size >= SUSPICION_LIMIT) return;
    this.suspicions.set(roomId, { roomId, userId, reason });
  }

  /** The room is told anew as of a position of its own. */
  repair(room: RoomDraft): void {
    this.repairedCount += 1;
    this.tx.repairs.push({ nid: room.nid, pos: this.nextPos(), removed: [] });
    if (!room.wasBare) room.isReset = true;
  }

  /** Stores receipts, the last of each key; by room. */
  finishReceipts(): Map<RoomNid, StoredReceipt[]> {
    const byRoom = new Map<RoomNid, StoredReceipt[]>();
    for (const draft of this.#receipts.values()) {
      const receipt: StoredReceipt = { ...draft, pos: this.nextPos() };
      this.tx.receipts.push(receipt);
      const others = byRoom.get(receipt.nid);
      if (others === undefined) byRoom.set(receipt.nid, [receipt]);
      else others.push(receipt);
    }
    return byRoom;
  }

  /** Stores account data, the last of each key, unless it is what was stored last. */
  finishAccountData(): void {
    for (const [key, datum] of this.#accountData) {
      const hash = hashBytes(datum.json);
      if (this.context.accountDataHash(key) === hash) continue;
      this.accountHashes.set(key, hash);
      const pos = this.nextPos();
      this.tx.accountData.push({ ...datum, pos });
      const roomNid = datum.roomNid === 0 ? null : datum.roomNid;
      this.users.update(datum.userId).accountData.push({ type: datum.type, json: datum.json, roomNid, pos });
    }
  }
}
