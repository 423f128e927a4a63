import type { Clock, Timers } from "#src/ports/basics.ts";
import type { Account, Accounts, Session } from "./accounts.ts";
import type { IdMaker } from "./ids.ts";
import { requireJoined, requirePower, requireSend } from "./power.ts";
import { RoomEphemera } from "./room-ephemera.ts";
import { membershipOf, Room, type StoredEvent, type Transaction } from "./room.ts";
import type { Stream } from "./stream.ts";
import { UnreadCounters } from "./unread.ts";
import { asString, type ClientEvent, invalidParam, type Json, notFound } from "./wire.ts";

/** A room with what hangs on it. */
export interface RoomEntry {
  readonly room: Room;
  readonly ephemera: RoomEphemera;
  readonly unread: UnreadCounters;
  /** Stream position of the last event. */
  lastPos: number;
  isListed: boolean;
}

/** An event to be. */
export interface NewEvent {
  sender: string;
  type: string;
  content: Json;
  stateKey?: string;
  redacts?: string;
  txn?: Transaction;
  /** Overrides `origin_server_ts`, so that tests and the demonstration can have a past. */
  ts?: number;
}

/** What the parts of the homeserver share. */
export interface World {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly ids: IdMaker;
  readonly stream: Stream;
  readonly accounts: Accounts;
}

const RECEIPT_TYPES = ["m.read", "m.read.private"];

/** All rooms: sending, typing, receipts and room account data. */
export class Rooms {
  readonly #world: World;
  readonly #entries = new Map<string, RoomEntry>();
  readonly #aliases = new Map<string, string>();

  constructor(world: World) {
    this.#world = world;
  }

  /** A room without events. */
  add(roomId: string, isListed: boolean): RoomEntry {
    const room = new Room(roomId);
    const entry: RoomEntry = {
      room,
      ephemera: new RoomEphemera(),
      unread: new UnreadCounters(room),
      lastPos: 0,
      isListed,
    };
    this.#entries.set(roomId, entry);
    return entry;
  }

  /** The room; throws 404 when there is none. */
  get(roomId: string): RoomEntry {
    const entry = this.#entries.get(roomId);
    if (entry === undefined) throw notFound(`Unknown room ${roomId}`);
    return entry;
  }

  find(roomId: string): RoomEntry | null {
    return this.#entries.get(roomId) ?? null;
  }

  all(): IterableIterator<RoomEntry> {
    return this.#entries.values();
  }

  get count(): number {
    return this.#entries.size;
  }

  setAlias(alias: string, roomId: string): void {
    if (this.#aliases.has(alias)) throw invalidParam(`Room alias ${alias} already taken`);
    this.#aliases.set(alias, roomId);
  }

  /** Room ID of an alias, or of itself; throws 404. */
  resolve(roomIdOrAlias: string): string {
    if (!roomIdOrAlias.startsWith("#")) return this.get(roomIdOrAlias).room.roomId;
    const roomId = this.#aliases.get(roomIdOrAlias);
    if (roomId === undefined) throw notFound(`Room alias ${roomIdOrAlias} not found`);
    return roomId;
  }

  /** Stores an event and wakes whom it concerns; checks nothing. */
  append(entry: RoomEntry, input: NewEvent): StoredEvent {
    const { room } = entry;
    const pos = this.#world.stream.next();
    const event: ClientEvent = {
      event_id: this.#world.ids.eventId(),
      type: input.type,
      room_id: room.roomId,
      sender: input.sender,
      origin_server_ts: input.ts ?? this.#world.clock.now(),
      content: input.content,
      ...(input.stateKey === undefined ? {} : { state_key: input.stateKey }),
      ...(input.redacts === undefined ? {} : { redacts: input.redacts }),
    };
    const stored = room.append(pos, event, input.txn ?? null);
    entry.lastPos = pos;
    if (input.redacts !== undefined) room.redact(input.redacts, event);
    if (input.type === "m.room.member" && input.stateKey !== undefined) {
      this.#memberChanged(entry, input.stateKey, stored);
    } else {
      entry.unread.markRead(input.sender, pos);
    }
    this.#world.stream.wake(room.joinedUsers());
    return stored;
  }

  #memberChanged(entry: RoomEntry, userId: string, stored: StoredEvent): void {
    const account = this.#world.accounts.find(userId);
    account?.standings.set(entry.room.roomId, { member: stored, isForgotten: false });
    const isNewJoin = membershipOf(stored) === "join" && membershipOf(stored.replaced) !== "join";
    if (isNewJoin) entry.unread.markRead(userId, stored.pos);
    if (membershipOf(stored) !== "join") this.#stopTyping(entry, userId);
    this.#world.stream.wake([userId]);
  }

  /** Sends a message-like event; the same transaction of the same device gives the same event again. */
  send(roomId: string, input: NewEvent): StoredEvent {
    const entry = this.get(roomId);
    requireSend(entry.room, input.sender, input.type, false);
    return this.append(entry, input);
  }

  /** Sets state; setting what is already so gives the present event. */
  setState(roomId: string, input: NewEvent & { stateKey: string }): StoredEvent {
    const entry = this.get(roomId);
    requireSend(entry.room, input.sender, input.type, true);
    const present = entry.room.state(input.type, input.stateKey);
    if (present?.event.sender === input.sender && Bun.deepEquals(present.event.content, input.content)) return present;
    return this.append(entry, input);
  }

  /** Redacts an event: one's own, or anybody's with the power to. */
  redact(roomId: string, eventId: string, input: { sender: string; reason?: string; txn?: Transaction }): StoredEvent {
    const entry = this.get(roomId);
    requireJoined(entry.room, input.sender);
    const target = entry.room.event(eventId);
    if (target === undefined) throw notFound(`Unknown event ${eventId}`);
    if (target.event.sender !== input.sender) requirePower(entry.room, input.sender, "redact");
    return this.append(entry, {
      sender: input.sender,
      type: "m.room.redaction",
      content: { redacts: eventId, ...(input.reason === undefined ? {} : { reason: input.reason }) },
      redacts: eventId,
      ...(input.txn === undefined ? {} : { txn: input.txn }),
    });
  }

  /** Starts or ends a typing notice; it ends by itself after `timeoutMs`. */
  setTyping(roomId: string, userId: string, isTyping: boolean, timeoutMs: number): void {
    const entry = this.get(roomId);
    requireJoined(entry.room, userId);
    if (!isTyping) return this.#stopTyping(entry, userId);
    const stop = this.#world.timers.after(timeoutMs, () => this.#stopTyping(entry, userId));
    const pos = entry.ephemera.isTyping(userId) ? this.#world.stream.pos : this.#world.stream.next();
    if (entry.ephemera.startTyping(userId, pos, stop)) this.#world.stream.wake(entry.room.joinedUsers());
  }

  #stopTyping(entry: RoomEntry, userId: string): void {
    if (!entry.ephemera.isTyping(userId)) return;
    entry.ephemera.stopTyping(userId, this.#world.stream.next());
    this.#world.stream.wake(entry.room.joinedUsers());
  }

  /** Stores a receipt and, if it is unthreaded or of the main timeline, moves the unread counters. */
  setReceipt(
    roomId: string,
    account: Account,
    receipt: { type: string; eventId: string; threadId?: string | undefined },
  ): void {
    const { room, ephemera, unread } = this.get(roomId);
    const { userId } = account;
    requireJoined(room, userId);
    const target = room.event(receipt.eventId);
    if (target === undefined) throw notFound(`Unknown event ${receipt.eventId}`);
    if (receipt.type === "m.fully_read") {
      this.setAccountData(account, roomId, "m.fully_read", { event_id: receipt.eventId });
      return;
    }
    if (!RECEIPT_TYPES.includes(receipt.type)) throw invalidParam(`Receipt type must be ${RECEIPT_TYPES.join(" or ")}`);
    const pos = this.#world.stream.next();
    const threadId = receipt.threadId ?? null;
    ephemera.setReceipt({
      pos,
      type: receipt.type,
      userId,
      eventId: receipt.eventId,
      threadId,
      ts: this.#world.clock.now(),
    });
    if (threadId === null || threadId === "main") unread.markRead(userId, target.pos);
    this.#world.stream.wake(receipt.type === "m.read" ? room.joinedUsers() : [userId]);
  }

  /** Account data of a user: of a room, or global for null. */
  setAccountData(account: Account, roomId: string | null, type: string, content: Json): void {
    const data =
      roomId === null ? account.accountData : (account.roomAccountData.get(roomId) ?? new Map<string, never>());
    if (roomId !== null) account.roomAccountData.set(roomId, data);
    data.set(type, { pos: this.#world.stream.next(), content });
    this.#world.stream.wake([account.userId]);
  }

  /** Rooms a user is joined to. */
  *joinedRooms(account: Account): Generator<RoomEntry> {
    for (const [roomId, standing] of account.standings) {
      if (membershipOf(standing.member) === "join") yield this.get(roomId);
    }
  }

  /** Users who share at least one room with `account`, itself included. */
  sharers(account: Account): Set<string> {
    const users = new Set([account.userId]);
    for (const { room } of this.joinedRooms(account)) for (const userId of room.joinedUsers()) users.add(userId);
    return users;
  }

  /** Member event content for a user as their profile is now. */
  memberContent(userId: string, membership: string, extra: Json = {}): Json {
    const account = this.#world.accounts.find(userId);
    const displayname = asString(account?.displayName);
    const avatarUrl = asString(account?.avatarUrl);
    return {
      membership,
      ...(displayname === undefined ? {} : { displayname }),
      ...(avatarUrl === undefined ? {} : { avatar_url: avatarUrl }),
      ...extra,
    };
  }
}

/** The transaction of a session. */
export function transactionOf(session: Session, txnId: string): Transaction {
  return { userId: session.account.userId, deviceId: session.device.deviceId, txnId };
}
