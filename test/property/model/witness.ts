import { indexOfPrevBatch, type ToldEvent } from "./classic-sync.ts";
import { contentOf, type ModelEvent, type ModelRoom } from "./homeserver-room.ts";
import type { KnownRoom, WireEvent, WireRoom } from "./model-client.ts";
import type { ModelHomeserver } from "./model-homeserver.ts";

/** How far the homeserver's polls have told of what happened. */
export interface Telling {
  /** Every poll has told everything. */
  isAtRest(): boolean;
  /** What arrives was made before, and is of no later than that. */
  isRepeated(): boolean;
  /** What a poll that was taken in said of an event; undefined = none has told it. */
  told(roomId: string, eventId: string): ToldEvent | undefined;
}

const ALL_TOLD: Telling = { isAtRest: () => true, isRepeated: () => false, told: () => undefined };

/** Looks at every room entry the moment it arrives: what may never be in one, whatever happened before. */
export class Witness {
  readonly #hs: ModelHomeserver;
  readonly #me: string;
  readonly #deviceId: string;
  readonly #tell: (what: string) => void;
  readonly #telling: Telling;

  constructor(
    hs: ModelHomeserver,
    me: string,
    deviceId: string,
    tell: (what: string) => void,
    telling: Telling = ALL_TOLD,
  ) {
    this.#telling = telling;
    this.#hs = hs;
    this.#me = me;
    this.#deviceId = deviceId;
    this.#tell = tell;
  }

  look(roomId: string, entry: WireRoom, known: KnownRoom | undefined): void {
    const room = this.#hs.rooms.get(roomId);
    if (room === undefined) return this.#tell(`${roomId}: nobody knows this room`);
    const isWhole = entry.initial === true;
    const before = isWhole ? [] : (known?.timeline ?? []);
    const events = (entry.timeline ?? []).flatMap((event) => this.#timelineEvent(room, event));
    for (const event of entry.required_state ?? []) this.#stateEvent(room, event);
    if (known === undefined && !isWhole && events.length > 0) this.#tell(`${roomId}: events before its initial entry`);
    this.#live(room, events.length, entry);
    this.#order(room, before, events, entry);
    if (isWhole) this.#start(room, events, entry);
    this.#invite(room, entry);
    this.#name(room, entry);
  }

  #timelineEvent(room: ModelRoom, wire: WireEvent): ModelEvent[] {
    const event = this.#event(room, wire);
    if (event === null) return [];
    if (event.index < 0) this.#tell(`${room.id}: ${event.id} was never in a timeline`);
    const isOwnFate = this.#isOwnFate(event);
    // What was shared when it was sent is for those who came later, too.
    const isShared = room.isSharedAt(event.pos) && room.staysOf(this.#me).some(({ from }) => from > event.pos);
    if (room.stayAt(this.#me, event.pos) === null && !isOwnFate && !isShared) {
      this.#tell(`${room.id}: ${event.id} (${event.type}) is from a time in which ${this.#me} was not there`);
    }
    const txn = wire.unsigned?.["transaction_id"];
    const isOwn = event.sender === this.#me && event.txn?.device === this.#deviceId;
    if (txn !== undefined && !(isOwn && event.txn.id === txn)) {
      this.#tell(`${room.id}: ${event.id} has the transaction id of another device`);
    }
    return [event];
  }

  /** What becomes of oneself one may know: an invite, its end, a ban. */
  #isOwnFate({ type, stateKey }: ModelEvent): boolean {
    return type === "m.room.member" && stateKey === this.#me;
  }

  #stateEvent(room: ModelRoom, wire: WireEvent): void {
    const event = this.#event(room, wire);
    if (event === null || this.#isOwnFate(event)) return;
    const stays = room.staysOf(this.#me);
    const isVisible = room
      .reignsOf(event)
      .some(([from, until]) => stays.some((stay) => from <= (stay.to ?? Number.MAX_SAFE_INTEGER) && stay.from < until));
    if (!isVisible) this.#tell(`${room.id}: state ${event.id} (${event.type}) is from a time without ${this.#me}`);
  }

  #event(room: ModelRoom, wire: WireEvent): ModelEvent | null {
    const event = room.byId.get(wire.event_id);
    if (event === undefined) {
      this.#tell(`${room.id}: nobody sent ${wire.event_id}`);
      return null;
    }
    const content = JSON.stringify(wire.content);
    if (content !== JSON.stringify(event.content) && content !== JSON.stringify(contentOf(event))) {
      this.#tell(`${room.id}: ${event.id} says ${content}, not ${JSON.stringify(event.content)}`);
    }
    if (wire.unsigned?.["membership"] !== undefined) this.#tell(`${room.id}: ${event.id} says whose poll it came from`);
    return event;
  }

  /** All that a delta brings is live; of a whole entry some of it may be. */
  #live(room: ModelRoom, count: number, { initial, num_live: live = 0 }: WireRoom): void {
    if (initial === true ? live > count : live !== count)
      this.#tell(`${room.id}: ${live} of ${count} events are said to be live`);
  }

  /** In order, none twice, none left out without a word. */
  #order(room: ModelRoom, before: readonly WireEvent[], events: readonly ModelEvent[], entry: WireRoom): void {
    const seen = new Set(before.map((event) => event.event_id));
    let last = entry.limited === true ? undefined : room.byId.get(before.at(-1)?.event_id ?? "");
    for (const event of events) {
      if (seen.has(event.id)) this.#tell(`${room.id}: ${event.id} comes twice`);
      seen.add(event.id);
      if (last !== undefined && event.index !== last.index + 1) {
        const missing = room.log.slice(last.index + 1, event.index).filter((skipped) => !this.#mayBeIgnored(skipped));
        if (event.index < last.index) this.#tell(`${room.id}: ${event.id} comes after ${last.id}`);
        else if (missing.length > 0 && this.#isOneStay(room, last, event) && !this.#isOwed(room, missing, event)) {
          const ids = missing.map(({ id }) => id).join(",");
          this.#tell(`${room.id}: ${ids} missing between ${last.id} and ${event.id}, and nothing says so`);
        }
      }
      last = event;
    }
  }

  /**
   * Until others have polled, nobody knows that there was anything before: who joins may not see it, and a second device goes on from
   * where it logged in, a moment before the first one's poll brings what came before that. It is told in its place then.
   */
  #isOwed(room: ModelRoom, missing: readonly ModelEvent[], event: ModelEvent): boolean {
    const isRepeated = this.#telling.isRepeated();
    if (this.#telling.isAtRest() && !isRepeated) return false;
    const isJoin = event.type === "m.room.member" && event.content["membership"] === "join";
    if (isJoin && this.#devicesOf(event.stateKey ?? "") > 0) return true;
    const isGap = this.#telling.told(room.id, event.id)?.gapBefore !== false;
    const isUnheard = isRepeated || missing.every(({ id }) => this.#telling.told(room.id, id) === undefined);
    return !isGap && isUnheard && this.#devicesOf(this.#me) > 1;
  }

  #devicesOf(userId: string): number {
    return this.#hs.users.get(userId)?.devices.length ?? 0;
  }

  /** Between an invite and its end, a leave and a ban, others go on. */
  #isOneStay(room: ModelRoom, a: ModelEvent, b: ModelEvent): boolean {
    const stay = room.stayAt(this.#me, a.pos);
    return stay !== null && stay === room.stayAt(this.#me, b.pos);
  }

  /** Where a whole entry begins: paging back from there must leave no hole. */
  #start(room: ModelRoom, events: readonly ModelEvent[], entry: WireRoom): void {
    const first = events[0];
    if (first === undefined || entry.invite_state !== undefined) return;
    const stay = room.stayAt(this.#me, first.pos);
    // What became of oneself outside, or was shared before one came: there is no saying what comes before it.
    if (stay === null) return;
    const earlier = room.log.filter(
      (event) => event.index < first.index && event.pos >= stay.from && !this.#mayBeIgnored(event),
    );
    if (earlier.length > 0 && entry.limited !== true) {
      this.#tell(`${room.id}: begins at ${first.id}, and nothing says that ${earlier.length} events come before it`);
    }
    if (entry.prev_batch === undefined) return;
    const hole = room.log.slice(indexOfPrevBatch(entry.prev_batch), first.index);
    if (hole.some((event) => !this.#mayBeIgnored(event))) {
      this.#tell(`${room.id}: paging back from ${entry.prev_batch} leaves a hole before ${first.id}`);
    }
  }

  #invite(room: ModelRoom, entry: WireRoom): void {
    if (entry.invite_state === undefined) return;
    const given = JSON.stringify(entry.invite_state);
    const served = this.#hs.allStrippedOf(room.id, this.#me);
    if (!served.includes(given)) this.#tell(`${room.id}: an invite state that nobody sent`);
    const isBare = (entry.timeline ?? []).every(
      ({ type, state_key: key }) => type === "m.room.member" && key === this.#me,
    );
    if (!isBare || (entry.required_state ?? []).length > 0) {
      this.#tell(`${room.id}: an invite with more than its stripped state`);
    }
  }

  /** A name that the room was given while the user was not there, and not invited either. */
  #name(room: ModelRoom, entry: WireRoom): void {
    const { name } = entry;
    if (name === undefined || !/^room \d+$/.test(name)) return;
    const given = [...room.byId.values()].filter(
      ({ type, content }) => type === "m.room.name" && content["name"] === name,
    );
    const isTold = this.#hs.allStrippedOf(room.id, this.#me).some((text) => text.includes(`"${name}"`));
    const stays = room.staysOf(this.#me);
    const isVisible = given.some((event) =>
      room
        .reignsOf(event)
        .some(([from, until]) =>
          stays.some((stay) => from <= (stay.to ?? Number.MAX_SAFE_INTEGER) && stay.from < until),
        ),
    );
    if (!isVisible && !isTold) this.#tell(`${room.id}: the name ${name} is from a time without ${this.#me}`);
  }

  #mayBeIgnored(event: ModelEvent): boolean {
    return event.stateKey === null && this.#hs.everIgnored(this.#me).has(event.sender);
  }
}
