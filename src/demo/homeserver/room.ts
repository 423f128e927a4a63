import { asString, type ClientEvent, type Json } from "./wire.ts";

/** Who sent an event under which transaction id; only that device is told. */
export interface Transaction {
  userId: string;
  deviceId: string;
  txnId: string;
}

/** An event at its place in the stream. */
export interface StoredEvent {
  readonly pos: number;
  /** Exchanged for its pruned form when redacted. */
  event: ClientEvent;
  /** What this state event took the place of. */
  readonly replaced: StoredEvent | null;
  readonly txn: Transaction | null;
  redactedBy: ClientEvent | null;
}

/** What a redaction leaves of the content, by event type (room version 11). */
const KEPT_ON_REDACTION: Readonly<Record<string, readonly string[]>> = {
  "m.room.member": ["membership", "join_authorised_via_users_server"],
  "m.room.join_rules": ["join_rule", "allow"],
  "m.room.history_visibility": ["history_visibility"],
  "m.room.power_levels": [
    "ban",
    "events",
    "events_default",
    "invite",
    "kick",
    "redact",
    "state_default",
    "users",
    "users_default",
  ],
};

function prune(event: ClientEvent): ClientEvent {
  if (event.type === "m.room.create") return event;
  const kept = KEPT_ON_REDACTION[event.type] ?? [];
  const content: Json = {};
  for (const key of kept) if (key in event.content) content[key] = event.content[key];
  return { ...event, content };
}

const stateKeyOf = (type: string, stateKey: string): string => `${type}\0${stateKey}`;

/** `membership` of a member event; "leave" when there is none. */
export function membershipOf(stored: StoredEvent | null | undefined): string {
  return asString(stored?.event.content["membership"]) ?? "leave";
}

/** The newest of a chain of state events strictly below a stream position. */
function chainBelow(newest: StoredEvent | undefined, pos: number): StoredEvent | null {
  let stored = newest ?? null;
  while (stored !== null && stored.pos >= pos) stored = stored.replaced;
  return stored;
}

/** One room: a linear log of events and the state it adds up to. There is no federation, hence no forks. */
export class Room {
  readonly roomId: string;
  readonly #log: StoredEvent[] = [];
  readonly #byId = new Map<string, StoredEvent>();
  readonly #state = new Map<string, StoredEvent>();
  readonly #members = new Map<string, StoredEvent>();

  constructor(roomId: string) {
    this.roomId = roomId;
  }

  /** Adds an event to the log and, if it is one, to the state. */
  append(pos: number, event: ClientEvent, txn: Transaction | null): StoredEvent {
    const { state_key: stateKey } = event;
    const replaced = stateKey === undefined ? null : (this.state(event.type, stateKey) ?? null);
    const stored: StoredEvent = { pos, event, replaced, txn, redactedBy: null };
    this.#log.push(stored);
    this.#byId.set(event.event_id, stored);
    if (stateKey !== undefined) {
      this.#state.set(stateKeyOf(event.type, stateKey), stored);
      if (event.type === "m.room.member") this.#members.set(stateKey, stored);
    }
    return stored;
  }

  /** Strips an event's content; false when there is no such event. */
  redact(eventId: string, redaction: ClientEvent): boolean {
    const stored = this.#byId.get(eventId);
    if (stored === undefined) return false;
    stored.event = prune(stored.event);
    stored.redactedBy = redaction;
    return true;
  }

  event(eventId: string): StoredEvent | undefined {
    return this.#byId.get(eventId);
  }

  get length(): number {
    return this.#log.length;
  }

  at(index: number): StoredEvent | undefined {
    return this.#log[index];
  }

  /** Index of the first event above a stream position. */
  indexAfter(pos: number): number {
    let low = 0;
    let high = this.#log.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#log[middle]?.pos ?? 0) > pos) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Current state event. */
  state(type: string, stateKey: string): StoredEvent | undefined {
    return this.#state.get(stateKeyOf(type, stateKey));
  }

  /** State just below a stream position; current state for Infinity. */
  stateBelow(pos: number): StoredEvent[] {
    const events: StoredEvent[] = [];
    for (const newest of this.#state.values()) {
      const stored = chainBelow(newest, pos);
      if (stored !== null) events.push(stored);
    }
    return events;
  }

  /** State entries that changed after `since`, as they were just below `below`. */
  stateChanges(since: number, below: number): StoredEvent[] {
    const changed = new Map<string, StoredEvent>();
    for (let index = this.indexAfter(since); index < this.#log.length; index += 1) {
      const stored = this.#log[index];
      if (stored === undefined || stored.pos >= below) break;
      const { state_key: stateKey } = stored.event;
      if (stateKey !== undefined) changed.set(stateKeyOf(stored.event.type, stateKey), stored);
    }
    return [...changed.values()];
  }

  /** Member events of everybody who ever had one. */
  members(): IterableIterator<StoredEvent> {
    return this.#members.values();
  }

  member(userId: string): StoredEvent | undefined {
    return this.#members.get(userId);
  }

  /** Current membership; "leave" for strangers. */
  membership(userId: string): string {
    return membershipOf(this.#members.get(userId));
  }

  /** Membership just after the event at a stream position. */
  membershipAt(userId: string, pos: number): string {
    return membershipOf(chainBelow(this.#members.get(userId), pos + 1));
  }

  *joinedUsers(): Generator<string> {
    for (const [userId, stored] of this.#members) if (membershipOf(stored) === "join") yield userId;
  }

  /** True when `userId` may see this event: joined then, or joined later and the history was shared. */
  canSee(stored: StoredEvent, userId: string): boolean {
    const { event } = stored;
    if (event.type === "m.room.member" && event.state_key === userId) return true;
    const then = this.membershipAt(userId, stored.pos);
    if (then === "join") return true;
    const rule = chainBelow(this.state("m.room.history_visibility", ""), stored.pos + 1);
    const visibility = asString(rule?.event.content["history_visibility"]) ?? "shared";
    if (visibility === "world_readable") return true;
    if (visibility === "joined" || (visibility === "invited" && then !== "invite")) return false;
    return this.#joinedAfter(userId, stored.pos);
  }

  #joinedAfter(userId: string, pos: number): boolean {
    let own = this.#members.get(userId) ?? null;
    while (own !== null && own.pos > pos) {
      if (membershipOf(own) === "join") return true;
      own = own.replaced;
    }
    return false;
  }

  /** String member of the content of a state event with an empty key. */
  stateString(type: string, key: string): string | undefined {
    return asString(this.state(type, "")?.event.content[key]);
  }
}

/** How an event looks to one device at one time. */
export function renderEvent(
  room: Room,
  stored: StoredEvent,
  viewer: { userId: string; deviceId: string },
  nowMs: number,
): Json {
  const { event, replaced, redactedBy, txn } = stored;
  const unsigned: Json = {
    age: nowMs - event.origin_server_ts,
    membership: room.membershipAt(viewer.userId, stored.pos),
  };
  if (replaced !== null) {
    unsigned["replaces_state"] = replaced.event.event_id;
    unsigned["prev_content"] = replaced.event.content;
    unsigned["prev_sender"] = replaced.event.sender;
  }
  if (redactedBy !== null) unsigned["redacted_because"] = redactedBy;
  if (txn !== null && txn.userId === viewer.userId && txn.deviceId === viewer.deviceId) {
    unsigned["transaction_id"] = txn.txnId;
  }
  return { ...event, unsigned };
}
