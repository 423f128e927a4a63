import { stateKeyOf } from "./homeserver-room.ts";
import { type KnownDevice, receiptKey } from "./client-extensions.ts";
import type { DeviceReader } from "./mail.ts";
import type { ClientView, KnownRoom } from "./model-client.ts";
import type { ModelHomeserver } from "./model-homeserver.ts";
import { ANY_EMPTY_ROOM, type Oracle, trueContent, type TrueRoom } from "./oracle.ts";
import type { Upstream } from "./upstream.ts";
import type { ListWish, Shape, Wishes } from "./wishes.ts";

/** Whose view it is, and what it should be like. */
export interface Viewed {
  readonly userId: string;
  readonly deviceId: string;
  readonly wishes: Wishes;
  readonly view: ClientView;
  /** Nothing happened since the connection began: everything must be as a new client is told. */
  readonly isFresh: boolean;
  /** Typing from before this position is not known to the server any more. */
  readonly typingFrom: number;
}

/** Everything in which a client at rest differs from the oracle. */
export function differences(hs: ModelHomeserver, oracle: Oracle, viewed: Viewed): string[] {
  return new Comparison(hs, oracle, viewed).run();
}

class Comparison {
  readonly #hs: ModelHomeserver;
  readonly #oracle: Oracle;
  readonly #viewed: Viewed;
  readonly #found: string[] = [];
  /** Rooms in view, with all that is asked for them. */
  readonly #shown = new Map<string, { shapes: Shape[]; lists: Set<string>; isSubscribed: boolean; heroes: boolean }>();

  constructor(hs: ModelHomeserver, oracle: Oracle, viewed: Viewed) {
    this.#hs = hs;
    this.#oracle = oracle;
    this.#viewed = viewed;
  }

  run(): string[] {
    for (const [key, wish] of this.#viewed.wishes.lists) this.#list(key, wish);
    for (const key of this.#viewed.view.lists.keys()) {
      if (!this.#viewed.wishes.lists.has(key)) this.#tell(`list ${key} was deleted and is still there`);
    }
    for (const [roomId, shape] of this.#viewed.wishes.rooms) {
      const seen = this.#hs.rooms.has(roomId) ? this.#oracle.room(roomId) : null;
      if (seen === null || seen.isInvite) continue;
      const shown = this.#show(roomId, shape);
      shown.isSubscribed = true;
    }
    for (const [roomId, { shapes }] of this.#shown) {
      const seen = this.#oracle.room(roomId);
      const known = this.#viewed.view.rooms.get(roomId);
      if (seen === null) this.#tell(`${roomId} is shown and should not be`);
      else if (known === undefined) this.#tell(`${roomId} is in view and was never sent`);
      else this.#room(seen, known, shapes);
    }
    this.#extensions();
    return this.#found;
  }

  #tell(what: string): void {
    this.#found.push(what);
  }

  #show(roomId: string, shape: Shape): { lists: Set<string>; isSubscribed: boolean; heroes: boolean } {
    const shown = this.#shown.get(roomId) ?? {
      shapes: [],
      lists: new Set<string>(),
      isSubscribed: false,
      heroes: false,
    };
    shown.shapes.push(shape);
    this.#shown.set(roomId, shown);
    return shown;
  }

  #list(key: string, wish: ListWish): void {
    const known = this.#viewed.view.lists.get(key);
    if (known === undefined) return this.#tell(`list ${key} is missing`);
    const { ids, isOpen } = this.#oracle.list(wish);
    const usesOpenNames = isOpen && (wish.filters.room_name_like ?? "") !== "";
    if (known.count !== ids.length && !usesOpenNames)
      this.#tell(`list ${key} counts ${known.count}, not ${ids.length}`);
    // Of a list of all rooms there are no operations after the first: its rooms come one by one.
    const seen = wish.slow_get_all_rooms ? ids : known.list.window(wish.ranges, known.count);
    const wanted = wish.slow_get_all_rooms ? ids : wish.ranges.flatMap(([start, end]) => ids.slice(start, end + 1));
    if (!isOpen && JSON.stringify(seen) !== JSON.stringify(wanted)) {
      this.#tell(`list ${key} shows ${seen.map(String).join(",")}, not ${wanted.join(",")}`);
    }
    for (const roomId of seen) {
      if (roomId === undefined || !this.#hs.rooms.has(roomId)) continue;
      const shown = this.#show(roomId, wish);
      shown.lists.add(key);
      shown.heroes ||= wish.include_heroes;
    }
  }

  #room(seen: TrueRoom, { head, timeline, state }: KnownRoom, shapes: readonly Shape[]): void {
    const { id } = seen.room;
    const { isFresh } = this.#viewed;
    const expect = (what: string, is: unknown, should: unknown): void => {
      if (is !== should) this.#tell(`${id}: ${what} is ${String(is)}, not ${String(should)}`);
    };
    const isOpenName = seen.names.includes(ANY_EMPTY_ROOM);
    if (!isOpenName && !seen.names.includes(head.name ?? "")) expect("name", head.name, seen.names[0]);
    const avatar = seen.isDm ? seen.avatars.direct : seen.avatars.other;
    // A change of m.direct alone sends nothing.
    const isAvatarOpen = !isFresh && (head.avatar === seen.avatars.direct || head.avatar === seen.avatars.other);
    if (!isAvatarOpen) expect("avatar", head.avatar, avatar);
    expect("joined_count", head.joined_count ?? 0, seen.joinedCount);
    expect("invited_count", head.invited_count, seen.invitedCount);
    expect("notification_count", head.notification_count, seen.notifications);
    expect("highlight_count", head.highlight_count, seen.highlights);
    if (isFresh) {
      expect("is_dm", head.is_dm ?? false, seen.isDm);
      const heroes = this.#shown.get(id)?.heroes === true ? seen.heroes : null;
      const told = head.heroes?.map(({ user_id: userId }) => userId);
      if (seen.names.length === 1) expect("heroes", told?.join(), heroes?.join());
      const bumps = [...this.#viewed.wishes.lists.values()].flatMap((list) => list.bump_event_types);
      if (seen.isWhole && !seen.isInvite) expect("timestamp", head.timestamp ?? 0, this.#oracle.timestamp(seen, bumps));
    }
    if (seen.isInvite) {
      const invite = JSON.stringify(head.invite_state);
      expect("invite_state", invite, JSON.stringify(this.#hs.strippedOf(id, this.#viewed.userId)));
      return;
    }
    this.#timeline(
      seen,
      timeline.map(({ event_id: eventId }) => eventId),
      shapes,
    );
    this.#state(
      seen,
      state,
      timeline.map(({ sender }) => sender),
      shapes,
    );
    if (isFresh)
      this.#contents(
        seen,
        timeline.map(({ event_id: eventId, content }) => [eventId, content]),
      );
  }

  #timeline(seen: TrueRoom, ids: readonly string[], shapes: readonly Shape[]): void {
    const { id } = seen.room;
    const { isFresh, wishes } = this.#viewed;
    const limits = (isFresh ? shapes : [...wishes.ever]).map((shape) => shape.timeline_limit);
    // One that came into view again by a list of a smaller limit has that list's timeline (spec 7.6).
    const limit = isFresh ? Math.max(...limits) : Math.min(...limits);
    const ignored = this.#hs.everIgnored(this.#viewed.userId);
    const certain = seen.visible.filter((event) => event.stateKey !== null || !ignored.has(event.sender));
    // What is ignored is left out after the limit was counted: of a new timeline nothing may be left.
    const newest = ignored.size === 0 ? certain.at(-1) : undefined;
    if (limit > 0 && newest !== undefined && !ids.includes(newest.id)) {
      this.#tell(`${id}: the newest event ${newest.id} is missing after ${ids.join(",")}`);
    }
    if (!seen.isWhole || certain.length !== seen.visible.length) return;
    const wanted = Math.min(limit, seen.visible.length);
    if (ids.length < wanted || (isFresh && ids.length !== wanted)) {
      this.#tell(`${id}: the timeline has ${ids.length} events of ${seen.visible.length}, not ${wanted}`);
    }
  }

  /** What a new client is given of redacted events is redacted. */
  #contents(seen: TrueRoom, timeline: readonly (readonly [string, unknown])[]): void {
    for (const [eventId, content] of timeline) {
      const event = seen.room.byId.get(eventId);
      if (event === undefined || this.#oracle.isRedactionOpen(event, seen.room.id)) continue;
      if (JSON.stringify(content) !== trueContent(event)) {
        this.#tell(`${seen.room.id}: ${eventId} says ${JSON.stringify(content)}, not ${trueContent(event)}`);
      }
    }
  }

  #state(seen: TrueRoom, state: KnownRoom["state"], senders: readonly string[], shapes: readonly Shape[]): void {
    const { id } = seen.room;
    const wanted = new Set<string>();
    const { userId } = this.#viewed;
    const { isUniform, ever } = this.#viewed.wishes;
    const all = [...ever];
    for (const { required_state: entries } of shapes) {
      for (const { type, stateKey } of seen.room.state.values()) {
        if (wants(entries, type, stateKey ?? "", userId)) wanted.add(stateKeyOf(type, stateKey ?? ""));
      }
      // What enters a second list comes alone with what that one wants: its timeline may have other senders.
      if (!entries.some(([, key]) => key === "$LAZY") || (!this.#viewed.isFresh && !isUniform)) continue;
      for (const sender of senders) wanted.add(stateKeyOf("m.room.member", sender));
    }
    for (const key of wanted) {
      const should = seen.room.state.get(key);
      const is = state.get(key);
      if (should === undefined || is?.event_id === should.id) continue;
      this.#tell(`${id}: state ${key.replace("\n", "/")} is ${is?.event_id}, not ${should.id}`);
    }
    if (!this.#viewed.isFresh) return;
    for (const [key, event] of state) {
      const isWanted = all.some(({ required_state: entries }) =>
        wants(entries, event.type, event.state_key ?? "", userId),
      );
      if (wanted.has(key) || isWanted || seen.room.log.some((sent) => sent.id === event.event_id)) continue;
      this.#tell(`${id}: state ${key.replace("\n", "/")} was not asked for`);
    }
  }

  #extensions(): void {
    const { userId, view } = this.#viewed;
    if (this.#isOn("account_data")) {
      const should = this.#hs.accountDataOf(userId, "");
      for (const { type, content } of should) {
        const is = view.globalData.get(type)?.content;
        if (JSON.stringify(is) !== JSON.stringify(content)) this.#tell(`${type} is ${JSON.stringify(is)}`);
      }
    }
    for (const roomId of this.#shown.keys()) {
      const seen = this.#oracle.room(roomId);
      if (seen === null || seen.isInvite) continue;
      if (this.#inScope("account_data", roomId)) this.#roomData(roomId);
      if (this.#inScope("typing", roomId)) this.#typing(roomId);
      if (this.#inScope("receipts", roomId)) this.#receipts(seen);
    }
    for (const [roomId, receipts] of view.receipts) {
      for (const key of receipts.keys()) {
        const [reader, , isPrivate] = JSON.parse(key) as [string, string, boolean];
        if (isPrivate && reader !== userId) this.#tell(`${roomId}: a private receipt of ${reader}`);
      }
    }
  }

  #roomData(roomId: string): void {
    for (const { type, content } of this.#hs.accountDataOf(this.#viewed.userId, roomId)) {
      const is = this.#viewed.view.roomData.get(roomId)?.get(type)?.content;
      if (JSON.stringify(is) !== JSON.stringify(content)) {
        this.#tell(`${roomId}: ${type} is ${JSON.stringify(is)}, not ${JSON.stringify(content)}`);
      }
    }
  }

  #typing(roomId: string): void {
    const typing = this.#hs.typing.get(roomId);
    if (typing !== undefined && typing.pos <= this.#viewed.typingFrom) return;
    const should = typing?.userIds ?? [];
    const is = this.#viewed.view.typing.get(roomId) ?? [];
    if (is.join() !== should.join()) this.#tell(`${roomId}: typing are ${is.join()}, not ${should.join()}`);
  }

  /** One's own receipts, and those of others on events that the client has. */
  #receipts(seen: TrueRoom): void {
    const { userId, view } = this.#viewed;
    const known = view.receipts.get(seen.room.id);
    const shown = new Set(view.rooms.get(seen.room.id)?.timeline.map((event) => event.event_id));
    for (const receipt of this.#hs.receipts.get(seen.room.id)?.values() ?? []) {
      const isOwn = receipt.userId === userId;
      if (!isOwn && (receipt.isPrivate || !shown.has(receipt.eventId))) continue;
      const is = known?.get(receiptKey(receipt.userId, receipt.threadId, receipt.isPrivate));
      // On one event an unthreaded receipt stands for a threaded one (spec 4.9).
      const isCovered = known?.get(receiptKey(receipt.userId, "", receipt.isPrivate)) === receipt.eventId;
      if (is !== receipt.eventId && !isCovered) {
        const what = `${receipt.isPrivate ? "private " : ""}receipt ${receipt.threadId} of ${receipt.userId}`;
        this.#tell(`${seen.room.id}: ${what} is on ${is}, not ${receipt.eventId}`);
      }
    }
  }

  #isOn(name: string): boolean {
    return this.#viewed.wishes.extensions.get(name)?.enabled === true;
  }

  #inScope(name: string, roomId: string): boolean {
    const { enabled, lists = ["*"], rooms = ["*"] } = this.#viewed.wishes.extensions.get(name) ?? { enabled: false };
    const shown = this.#shown.get(roomId);
    if (!enabled || shown === undefined) return false;
    if (rooms.includes(roomId) || (rooms[0] === "*" && shown.isSubscribed)) return true;
    return [...shown.lists].some((key) => lists[0] === "*" || lists.includes(key));
  }
}

/** What a client that keeps its device's data differs in. */
export function deviceDifferences(
  hs: ModelHomeserver,
  upstream: Upstream,
  viewed: {
    readonly userId: string;
    readonly deviceId: string;
    readonly isOn: (extension: "to_device" | "e2ee") => boolean;
  },
  known: KnownDevice,
  { messagesFrom, listsFrom }: Pick<DeviceReader, "messagesFrom" | "listsFrom">,
  mayRepeat: boolean,
): string[] {
  const found: string[] = [];
  const device = hs.device(viewed.userId, viewed.deviceId);
  const { isOn } = viewed;
  if (isOn("to_device")) {
    const should = device.toDevice.map(({ n }) => n).filter((n) => n > messagesFrom);
    // A request that overtakes a lost response brings again what nobody could have acknowledged (spec 9.2).
    const told = mayRepeat ? [...new Set(known.toDevice)] : known.toDevice;
    const isInOrder = told.every((n, index) => n > (told[index - 1] ?? 0));
    if (told.filter((n) => n > messagesFrom).join() !== should.join() || !isInOrder)
      found.push(`to-device messages are ${known.toDevice.join()}, not ${should.join()}`);
  }
  if (!isOn("e2ee")) return found;
  if (known.otkCount !== device.otkCount) found.push(`one-time keys are ${known.otkCount}, not ${device.otkCount}`);
  if (known.fallback?.join() !== device.fallback.join()) found.push(`fallback keys are ${known.fallback?.join()}`);
  // A first sync tells of no device lists.
  const began = Math.max(listsFrom, upstream.began.get(`${viewed.userId}/${viewed.deviceId}`) ?? 0);
  const lists = device.deviceLists.filter(({ pos }) => pos > began);
  for (const [target, change] of new Map(lists.map((item) => [item.target, item.change]))) {
    if (known.lists.get(target) !== change)
      found.push(`device list of ${target} is ${known.lists.get(target)}, not ${change}`);
  }
  return found;
}

/** Spec 8.4, read plainly. */
function wants(entries: Shape["required_state"], type: string, key: string, me: string): boolean {
  const isNamed = entries.some(([of]) => of === type);
  return entries.some(([ofType, ofKey]) => {
    const resolved = ofKey === "$ME" ? me : ofKey;
    if (resolved === "$LAZY" && type === "m.room.member") return false;
    if (ofType === "*" && ofKey === "*") return !isNamed;
    return (ofType === "*" || ofType === type) && (resolved === "*" || resolved === key);
  });
}
