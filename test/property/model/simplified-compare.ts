import { receiptKey } from "./client-extensions.ts";
import { type ModelEvent, stateKeyOf } from "./homeserver-room.ts";
import type { ModelHomeserver } from "./model-homeserver.ts";
import type { Oracle, TrueRoom } from "./oracle.ts";
import type { SimplifiedClient, SimplifiedKnownRoom } from "./simplified-client.ts";
import {
  asksFor,
  type RoomWish,
  type SimplifiedDialect,
  type SimplifiedFilters,
  type SimplifiedList,
  type SimplifiedWishes,
} from "./simplified-wishes.ts";

/** Whose client it is, and what it should be like. */
export interface SimplifiedViewed {
  readonly userId: string;
  readonly dialect: SimplifiedDialect;
  readonly wishes: SimplifiedWishes;
  readonly client: SimplifiedClient;
  /** Nothing happened since the connection began: everything must be as a new client is told. */
  readonly isFresh: boolean;
  /** Typing from before this position is not known to the server any more. */
  readonly typingFrom: number;
}

/** A room in view, with all that is asked for it. */
interface Shown {
  readonly wishes: RoomWish[];
  readonly lists: Set<string>;
  isSubscribed: boolean;
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** Everything in which a client of simplified sliding sync at rest differs from the truth. */
export function simplifiedDifferences(hs: ModelHomeserver, oracle: Oracle, viewed: SimplifiedViewed): string[] {
  return new Comparison(hs, oracle, viewed).run();
}

class Comparison {
  readonly #hs: ModelHomeserver;
  readonly #oracle: Oracle;
  readonly #viewed: SimplifiedViewed;
  readonly #found: string[] = [];
  readonly #shown = new Map<string, Shown>();

  constructor(hs: ModelHomeserver, oracle: Oracle, viewed: SimplifiedViewed) {
    this.#hs = hs;
    this.#oracle = oracle;
    this.#viewed = viewed;
  }

  run(): string[] {
    const { wishes, client } = this.#viewed;
    for (const [key, wish] of wishes.lists) this.#list(key, wish);
    for (const [roomId, wish] of wishes.rooms) {
      if (this.#hs.rooms.has(roomId) && this.#oracle.room(roomId) !== null)
        this.#show(roomId, wish).isSubscribed = true;
    }
    for (const [roomId, shown] of this.#shown) {
      const seen = this.#oracle.room(roomId);
      const known = client.rooms.get(roomId);
      if (seen === null || this.#isHidden(seen)) continue;
      if (known === undefined) this.#tell(`${roomId} is in view and was never sent`);
      else if (!seen.isInvite) this.#room(seen, known, shown);
    }
    this.#data();
    return this.#found;
  }

  #tell(what: string): void {
    this.#found.push(what);
  }

  /** Invites of who is ignored are not shown. */
  #isHidden(seen: TrueRoom): boolean {
    return seen.isInvite && this.#hs.everIgnored(this.#viewed.userId).size > 0;
  }

  #show(roomId: string, wish: RoomWish): Shown {
    const shown = this.#shown.get(roomId) ?? { wishes: [], lists: new Set<string>(), isSubscribed: false };
    shown.wishes.push(wish);
    this.#shown.set(roomId, shown);
    return shown;
  }

  /** Which rooms of those that the user is in or invited to a list holds; how it is ordered is open. */
  #list(key: string, wish: SimplifiedList): void {
    const known = this.#viewed.client.lists.get(key);
    if (known === undefined) return this.#tell(`list ${key} is missing`);
    const isWhole = wish.end === null || wish.end >= this.#hs.rooms.size;
    const listed = this.#listed(key);
    let least = 0;
    for (const { id } of this.#hs.rooms.values()) {
      const seen = this.#oracle.room(id);
      const isHeld = seen !== null && this.#passes(seen, wish.filters);
      if (isHeld && !this.#isHidden(seen)) least += 1;
      if (seen !== null && !this.#isHidden(seen) && listed !== null && isWhole && listed.has(id) !== isHeld)
        this.#tell(`list ${key} ${isHeld ? "lacks" : "holds"} ${id}`);
      const isShown = isWhole || (this.#viewed.dialect === "simplified" && listed?.has(id) === true);
      if (isHeld && isShown) this.#show(id, wish).lists.add(key);
    }
    if (known.count < least) this.#tell(`list ${key} counts ${known.count}, not ${least}`);
    if (listed !== null && isWhole && known.count !== listed.size)
      this.#tell(`list ${key} counts ${known.count} and holds ${listed.size}`);
    for (const id of listed ?? []) {
      if (this.#hs.rooms.get(id)?.lastMemberChange(this.#viewed.userId, 0, this.#hs.pos) === 0)
        this.#tell(`list ${key} holds ${id}, of which its user knows nothing`);
    }
  }

  /** null = the client cannot tell. */
  #listed(key: string): ReadonlySet<string> | null {
    const { client, isFresh } = this.#viewed;
    const shown = client.lists.get(key)?.shown ?? null;
    if (shown !== null) return new Set(shown);
    if (!isFresh) return null;
    return new Set([...client.rooms].filter(([, room]) => room.listKeys?.includes(key)).map(([id]) => id));
  }

  #passes(seen: TrueRoom, filters: SimplifiedFilters): boolean {
    const { is_dm: isDm, is_encrypted: isEncrypted, is_invite: isInvite, tags, not_tags: notTags, spaces } = filters;
    const isChild = (space: string): boolean =>
      this.#hs.rooms.get(space)?.membership(this.#viewed.userId) === "join" &&
      Array.isArray(this.#hs.room(space).content("m.space.child", seen.room.id)["via"]);
    return (
      (isDm ?? this.#oracle.isDirect(seen.room.id)) === this.#oracle.isDirect(seen.room.id) &&
      (isEncrypted ?? seen.isEncrypted) === seen.isEncrypted &&
      (isInvite ?? seen.isInvite) === seen.isInvite &&
      filters.room_types?.includes(seen.roomType) !== false &&
      filters.not_room_types?.includes(seen.roomType) !== true &&
      tags?.some((tag) => seen.tags.has(tag)) !== false &&
      notTags?.some((tag) => seen.tags.has(tag)) !== true &&
      spaces?.some(isChild) !== false
    );
  }

  #room(seen: TrueRoom, known: SimplifiedKnownRoom, { wishes }: Shown): void {
    const { id } = seen.room;
    const { head } = known;
    const { dialect, isFresh, userId } = this.#viewed;
    const expect = (what: string, is: unknown, should: unknown): void => {
      if (is !== should) this.#tell(`${id}: ${what} is ${String(is)}, not ${String(should)}`);
    };
    expect("joined_count", head.joined_count ?? 0, seen.joinedCount);
    expect("invited_count", head.invited_count ?? 0, seen.invitedCount);
    if (dialect === "v4") {
      expect("membership", known.membership, "join");
      expect("is_dm", head.is_dm ?? false, this.#oracle.isDirect(id));
    } else {
      expect("notification_count", head.notification_count ?? 0, seen.notifications);
      expect("highlight_count", head.highlight_count ?? 0, seen.highlights);
    }
    const nameEvent = seen.room.get("m.room.name");
    const name = text(seen.room.content("m.room.name")["name"]);
    const avatar = text(seen.room.content("m.room.avatar")["url"]);
    const tellsUnset = dialect === "v4" || isFresh;
    if (!this.#oracle.isRedactionOpen(nameEvent, id) && (tellsUnset || name !== ""))
      expect("name", head.name ?? "", name);
    if (tellsUnset || avatar !== "") expect("avatar", head.avatar ?? "", avatar);
    this.#timeline(seen, known, Math.max(...wishes.map(({ limit }) => limit)));
    for (const event of seen.room.state.values()) {
      if (wishes.some(({ state }) => asksFor(state, event, userId))) this.#state(id, event, known);
    }
    if (isFresh && wishes.some(({ state }) => state.isLazy)) this.#speakers(seen, known);
  }

  #timeline(seen: TrueRoom, { timeline }: SimplifiedKnownRoom, limit: number): void {
    const ids = timeline.map(({ event_id: id }) => id);
    const newest = seen.visible.at(-1);
    if (limit === 0 || this.#hs.everIgnored(this.#viewed.userId).size > 0 || newest === undefined) return;
    if (ids.at(-1) !== newest.id) this.#tell(`${seen.room.id}: ends with ${ids.at(-1)}, not ${newest.id}`);
    if (!this.#viewed.isFresh || !seen.isWhole) return;
    const least = Math.min(limit, seen.visible.length);
    if (ids.length < least) this.#tell(`${seen.room.id}: the timeline has ${ids.length} events, not ${least}`);
  }

  #state(roomId: string, { id, type, stateKey }: ModelEvent, { state }: SimplifiedKnownRoom): void {
    const is = state.get(stateKeyOf(type, stateKey ?? ""))?.event_id;
    if (is !== id) this.#tell(`${roomId}: state ${type}/${stateKey} is ${is}, not ${id}`);
  }

  /** Members of those who speak come with what they say. */
  #speakers({ room }: TrueRoom, known: SimplifiedKnownRoom): void {
    for (const { sender } of known.timeline) {
      const event = room.get("m.room.member", sender);
      if (event !== null) this.#state(room.id, event, known);
    }
  }

  #data(): void {
    const { userId, wishes, client } = this.#viewed;
    if (wishes.extensions.has("account_data")) {
      for (const { type, content } of this.#hs.accountDataOf(userId, "")) {
        const is = client.data.globalData.get(type)?.content;
        if (JSON.stringify(is) !== JSON.stringify(content)) this.#tell(`${type} is ${JSON.stringify(is)}`);
      }
    }
    for (const [roomId, shown] of this.#shown) {
      const seen = this.#oracle.room(roomId);
      if (seen === null || seen.isInvite) continue;
      if (this.#inScope("account_data", roomId, shown)) this.#roomData(roomId);
      if (this.#inScope("receipts", roomId, shown)) this.#receipts(seen);
      if (this.#inScope("typing", roomId, shown)) this.#typing(roomId);
    }
    for (const [roomId, receipts] of client.data.receipts) {
      for (const key of receipts.keys()) {
        const [reader, , isPrivate] = JSON.parse(key) as [string, string, boolean];
        if (isPrivate && reader !== userId) this.#tell(`${roomId}: a private receipt of ${reader}`);
      }
    }
  }

  /** That a room has no tags is not told to who was never told of any. */
  #roomData(roomId: string): void {
    for (const { type, content } of this.#hs.accountDataOf(this.#viewed.userId, roomId)) {
      const is = this.#viewed.client.data.roomData.get(roomId)?.get(type)?.content;
      const isNothing = is === undefined && JSON.stringify(content) === '{"tags":{}}';
      if (JSON.stringify(is) !== JSON.stringify(content) && !isNothing)
        this.#tell(`${roomId}: ${type} is ${JSON.stringify(is)}, not ${JSON.stringify(content)}`);
    }
  }

  /** One's own, and to who comes new those of others on events that come along. */
  #receipts({ room }: TrueRoom): void {
    const { userId, client, isFresh } = this.#viewed;
    const known = client.data.receipts.get(room.id);
    const shown = new Set(client.rooms.get(room.id)?.timeline.map((event) => event.event_id));
    for (const { userId: reader, threadId, isPrivate, eventId } of this.#hs.receipts.get(room.id)?.values() ?? []) {
      const isOwn = reader === userId;
      if (!isOwn && (isPrivate || !isFresh || !shown.has(eventId))) continue;
      const is = known?.get(receiptKey(reader, threadId, isPrivate));
      // On one event an unthreaded receipt stands for a threaded one (MSC4102).
      const isCovered = known?.get(receiptKey(reader, "", isPrivate)) === eventId;
      if (is !== eventId && !isCovered)
        this.#tell(
          `${room.id}: ${isPrivate ? "private " : ""}receipt ${threadId} of ${reader} is on ${is}, not ${eventId}`,
        );
    }
  }

  /** Who types is told to who comes to see it; clients drop what they knew of rooms that they do not look at. */
  #typing(roomId: string): void {
    const typing = this.#hs.typing.get(roomId);
    if (typing === undefined || typing.pos <= this.#viewed.typingFrom) return;
    const is = this.#viewed.client.data.typing.get(roomId) ?? [];
    if (typing.userIds.length === 0 && !this.#viewed.isFresh) return;
    if (is.join() !== typing.userIds.join())
      this.#tell(`${roomId}: typing are ${is.join()}, not ${typing.userIds.join()}`);
  }

  #inScope(name: string, roomId: string, shown: Shown): boolean {
    const scope = this.#viewed.wishes.extensions.get(name);
    if (scope === undefined) return false;
    const isNameable = this.#viewed.dialect === "simplified" || shown.isSubscribed;
    if (isNameable && scope.rooms?.includes(roomId) !== false) return true;
    return [...shown.lists].some((key) => scope.lists?.includes(key) !== false);
  }
}
