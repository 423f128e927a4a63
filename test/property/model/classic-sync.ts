import { contentOf, type ModelEvent, type ModelRoom } from "./homeserver-room.ts";
import type { ModelHomeserver } from "./model-homeserver.ts";

/** How the homeserver answers one sync. */
export interface SyncStyle {
  /** Where the device is; 0 = it has never synced. */
  readonly since: number;
  /** Most events in a timeline: the homeserver may always send fewer than it is asked for, of mere messages even none. */
  readonly limit: number;
  /** State after the timeline (MSC4222) instead of before it. */
  readonly stateAfter: boolean;
  /** False: the filter leaves all rooms out. */
  readonly hasRooms: boolean;
}

/** One event as it was told, and the token that came with it. */
export interface ToldEvent {
  readonly event: ModelEvent;
  readonly prevBatch: string | null;
  /** The homeserver left out what lies before it. */
  readonly gapBefore: boolean;
}

/** An answer, and what it says in words of the model. */
export interface ClassicSync {
  readonly body: Record<string, unknown>;
  /** Timeline events by room. */
  readonly told: Map<string, ToldEvent[]>;
  /** Rooms in which everything that was said is left out. */
  readonly skipped: ReadonlySet<string>;
  /** Nothing but a new `next_batch`. */
  readonly isEmpty: boolean;
}

/** Pages back from before the event at this index of the room's log. */
export const prevBatchAt = (index: number): string => `p${index}`;

/** The index a `prev_batch` stands for. */
export const indexOfPrevBatch = (token: string): number => Number(token.slice(1));

/** What an honest homeserver answers a device's `GET /sync`. */
export function classicSync(hs: ModelHomeserver, userId: string, deviceId: string, style: SyncStyle): ClassicSync {
  return new Answer(hs, userId, deviceId, style).make();
}

type Json = Record<string, unknown>;

class Answer {
  readonly #hs: ModelHomeserver;
  readonly #me: string;
  readonly #deviceId: string;
  readonly #style: SyncStyle;
  readonly #rooms = { join: {} as Json, leave: {} as Json, invite: {} as Json, knock: {} as Json };
  readonly #told = new Map<string, ToldEvent[]>();
  readonly #skipped = new Set<string>();

  constructor(hs: ModelHomeserver, me: string, deviceId: string, style: SyncStyle) {
    this.#hs = hs;
    this.#me = me;
    this.#deviceId = deviceId;
    this.#style = style;
  }

  make(): ClassicSync {
    const { since, hasRooms } = this.#style;
    if (hasRooms) for (const room of this.#hs.rooms.values()) this.#room(room);
    const device = this.#hs.device(this.#me, this.#deviceId);
    const toDevice = device.toDevice.filter(({ pos }) => pos > since);
    const lists = since === 0 ? [] : device.deviceLists.filter(({ pos }) => pos > since);
    const latest = new Map(lists.map(({ target, change }) => [target, change]));
    const accountData = this.#accountData("");
    const body: Json = {
      next_batch: `s${this.#hs.pos}`,
      account_data: { events: accountData },
      to_device: {
        events: toDevice.map(({ n, sender }) => ({ type: "m.test", sender, content: { n } })),
      },
      device_lists: { changed: targets(latest, "changed"), left: targets(latest, "left") },
      device_one_time_keys_count: { signed_curve25519: device.otkCount },
      device_unused_fallback_key_types: device.fallback,
      rooms: this.#rooms,
    };
    const roomCount = Object.values(this.#rooms).reduce((sum, section) => sum + Object.keys(section).length, 0);
    const isEmpty = roomCount + accountData.length + toDevice.length + latest.size === 0;
    return { body, told: this.#told, skipped: this.#skipped, isEmpty };
  }

  #room(room: ModelRoom): void {
    const { since } = this.#style;
    const membership = room.membership(this.#me);
    const changedAt = room.lastMemberChange(this.#me, since, this.#hs.pos);
    // Who vanished from a room without an event is told nothing of it.
    if (membership === "none") return;
    const stays = room.staysOf(this.#me).filter(({ to }) => to === null || to > since);
    if (membership === "join") this.#joined(room, stays.length > 1 || (stays[0]?.from ?? 0) > since);
    else if (changedAt === 0) return;
    else if (membership === "invite" || membership === "knock") this.#stripped(room, membership);
    else if (since > 0) this.#left(room, stays.length > 0, changedAt);
  }

  #joined(room: ModelRoom, isNew: boolean): void {
    const { since } = this.#style;
    const from = isNew ? 0 : since;
    const section: Json = this.#chunk(room, from, this.#hs.pos);
    const counts = this.#hs.countsOf(this.#me, room.id);
    const ephemeral = [...this.#typing(room, from), ...this.#receipts(room, from)];
    const accountData = this.#accountData(room.id, from);
    const hasNews = section["isEmpty"] !== true || counts.pos > from;
    delete section["isEmpty"];
    if (!hasNews && ephemeral.length === 0 && accountData.length === 0) return;
    this.#rooms.join[room.id] = {
      ...section,
      ephemeral: { events: ephemeral },
      account_data: { events: accountData },
      unread_notifications: { notification_count: counts.notifications, highlight_count: counts.highlights },
    };
  }

  #left(room: ModelRoom, wasIn: boolean, changedAt: number): void {
    const { since } = this.#style;
    const stay = room.staysOf(this.#me).at(-1);
    if (wasIn && stay !== undefined && stay.to !== null) {
      // A ban may follow the leave: it is for the banned to know, unlike what lies between.
      const after = room.log.filter(
        ({ pos, type, stateKey }) => pos > (stay.to ?? 0) && type === "m.room.member" && stateKey === this.#me,
      );
      const section = this.#chunk(room, stay.from > since ? 0 : since, stay.to, { notBefore: stay.from, after });
      delete section["isEmpty"];
      this.#rooms.leave[room.id] = { ...section, account_data: { events: [] } };
      return;
    }
    // An invite that came to nothing, a ban of somebody outside, an unban: the event alone.
    const event = room.log.findLast(({ pos }) => pos === changedAt);
    if (event === undefined) return;
    this.#tell(room, [event], null, false);
    this.#rooms.leave[room.id] = {
      timeline: { events: [this.#event(room, event)], limited: false, prev_batch: prevBatchAt(event.index) },
      [this.#style.stateAfter ? "state_after" : "state"]: { events: [] },
    };
  }

  #stripped(room: ModelRoom, kind: "invite" | "knock"): void {
    this.#rooms[kind][room.id] = { [`${kind}_state`]: { events: this.#hs.strippedOf(room.id, this.#me) } };
  }

  /** Timeline and state between two positions; `from` 0 = everything is new to the device. */
  #chunk(
    room: ModelRoom,
    from: number,
    to: number,
    { notBefore = 0, after = [] }: { notBefore?: number; after?: readonly ModelEvent[] } = {},
  ): Json {
    const { stateAfter, since } = this.#style;
    const isShown = ({ pos }: ModelEvent): boolean => pos > from && pos <= to && pos >= notBefore;
    // Current state is never left out.
    const isCurrent = ({ type, stateKey, id }: ModelEvent): boolean =>
      stateKey !== null && room.get(type, stateKey)?.id === id;
    const shown = room.log.filter(
      (event) => isShown(event) && (from > 0 || isCurrent(event) || room.maySee(this.#me, event.pos)),
    );
    const all = [...shown, ...after];
    // Before MSC4222 the state is that at the start of the timeline: what came in beside it ends it.
    const reset = stateAfter ? 0 : room.lastReset(from, to);
    const saysMore = from === 0 || notBefore > 0 || reset > 0 || all.some(({ stateKey }) => stateKey !== null);
    const limit = saysMore ? Math.max(1, this.#style.limit) : this.#style.limit;
    const events = limit === 0 ? [] : all.filter(({ pos }) => pos > reset).slice(-limit);
    const first = events[0];
    // Some homeservers call what a new member may not see a gap, others do not.
    const isPartial =
      from === 0 && (first?.index ?? 0) > 0 && (this.#hs.limitsJoins || events.length === this.#style.limit);
    const limited = events.length < all.length || isPartial;
    const stateAt = room.stateAt(stateAfter ? to : (first?.pos ?? to + 1) - 1);
    const known = from === 0 ? new Map<string, ModelEvent>() : room.stateAt(since);
    const state = [...stateAt].filter(([key, event]) => known.get(key)?.id !== event.id).map(([, event]) => event);
    const prevBatch = first === undefined ? null : prevBatchAt(first.index);
    this.#tell(room, events, prevBatch, limited);
    if (limited && first === undefined) this.#skipped.add(room.id);
    return {
      timeline: {
        events: events.map((event) => this.#event(room, event)),
        limited,
        prev_batch: prevBatch ?? prevBatchAt(room.log.length),
      },
      [stateAfter ? "state_after" : "state"]: {
        events: state.sort((a, b) => a.pos - b.pos).map((event) => this.#event(room, event)),
      },
      isEmpty: events.length + state.length === 0 && !limited,
    };
  }

  #tell(room: ModelRoom, events: readonly ModelEvent[], prevBatch: string | null, limited: boolean): void {
    this.#told.set(
      room.id,
      events.map((event, index) => ({
        event,
        prevBatch: index === 0 ? prevBatch : null,
        gapBefore: limited && index === 0,
      })),
    );
  }

  #event(room: ModelRoom, event: ModelEvent): Json {
    const isOwn = event.sender === this.#me && event.txn?.device === this.#deviceId;
    return {
      type: event.type,
      event_id: event.id,
      sender: event.sender,
      origin_server_ts: event.ts,
      content: contentOf(event),
      ...(event.stateKey === null ? {} : { state_key: event.stateKey }),
      ...(event.redacts === null ? {} : { redacts: event.redacts }),
      unsigned: {
        age: 1,
        membership: room.membershipAt(this.#me, event.pos),
        ...(isOwn ? { transaction_id: event.txn.id } : {}),
        ...(event.replaced === null
          ? {}
          : {
              replaces_state: event.replaced.id,
              prev_content: contentOf(event.replaced),
              prev_sender: event.replaced.sender,
            }),
        ...(event.redactedBy === null
          ? {}
          : {
              redacted_because: {
                type: "m.room.redaction",
                event_id: event.redactedBy.id,
                sender: event.redactedBy.sender,
              },
            }),
      },
    };
  }

  #typing(room: ModelRoom, from: number): Json[] {
    const typing = this.#hs.typing.get(room.id);
    return typing === undefined || typing.pos <= from
      ? []
      : [{ type: "m.typing", content: { user_ids: typing.userIds } }];
  }

  #receipts(room: ModelRoom, from: number): Json[] {
    const news = [...(this.#hs.receipts.get(room.id)?.values() ?? [])].filter(
      ({ pos, isPrivate, userId }) => pos > from && (!isPrivate || userId === this.#me),
    );
    if (news.length === 0) return [];
    const content: Record<string, Record<string, Record<string, Json>>> = {};
    // One event, type and user has place for one receipt: the unthreaded one comes last and wins (MSC4102).
    for (const receipt of news.sort((a, b) => b.threadId.length - a.threadId.length)) {
      const types = (content[receipt.eventId] ??= {});
      const users = (types[receipt.isPrivate ? "m.read.private" : "m.read"] ??= {});
      users[receipt.userId] = {
        ts: receipt.ts,
        ...(receipt.threadId === "" ? {} : { thread_id: receipt.threadId }),
      };
    }
    return [{ type: "m.receipt", content }];
  }

  #accountData(roomId: string, from = this.#style.since): Json[] {
    return this.#hs
      .accountDataOf(this.#me, roomId)
      .filter(({ pos }) => pos > from)
      .map(({ type, content }) => ({ type, content }));
  }
}

const targets = (latest: ReadonlyMap<string, string>, change: string): string[] =>
  [...latest].filter(([, of]) => of === change).map(([target]) => target);
