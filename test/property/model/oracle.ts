import { contentOf, type ModelEvent, type ModelRoom } from "./homeserver-room.ts";
import type { ModelHomeserver } from "./model-homeserver.ts";
import type { Upstream } from "./upstream.ts";
import type { Filters, ListWish } from "./wishes.ts";

/** A room as its user should see it, worked out anew from all that happened. */
export interface TrueRoom {
  readonly room: ModelRoom;
  readonly isInvite: boolean;
  /** Usually one; several where the rules leave it open. */
  readonly names: readonly string[];
  /** User ids a calculated name is made from; null = the room has a name. */
  readonly heroes: readonly string[] | null;
  /** By whether it is a direct room. */
  readonly avatars: { readonly direct: string | null; readonly other: string | null };
  readonly joinedCount: number;
  readonly invitedCount: number;
  readonly notifications: number;
  readonly highlights: number;
  readonly isDm: boolean;
  readonly isEncrypted: boolean;
  readonly isTombstoned: boolean;
  readonly roomType: string | null;
  readonly tags: ReadonlySet<string>;
  /** Events from the own join on, as far as they were told. */
  readonly visible: readonly ModelEvent[];
  /** Nothing is missing among them. */
  readonly isWhole: boolean;
}

/** The naive oracle: reads the rules of the specification off the history, with no memory of its own. */
export class Oracle {
  readonly #hs: ModelHomeserver;
  readonly #upstream: Upstream;
  readonly #me: string;

  constructor(hs: ModelHomeserver, upstream: Upstream, me: string) {
    this.#hs = hs;
    this.#upstream = upstream;
    this.#me = me;
  }

  /** Rooms that can be in lists: joined or invited, and not given way to a successor. */
  rooms(): TrueRoom[] {
    const rooms: TrueRoom[] = [];
    for (const room of this.#hs.rooms.values()) {
      const seen = this.room(room.id);
      if (seen === null) continue;
      const successor = seen.isInvite ? undefined : room.content("m.room.tombstone")["replacement_room"];
      const isSuperseded =
        typeof successor === "string" && this.#hs.rooms.get(successor)?.membership(this.#me) === "join";
      if (!isSuperseded) rooms.push(seen);
    }
    return rooms;
  }

  /** null = the user is neither joined nor invited. */
  room(roomId: string): TrueRoom | null {
    const room = this.#hs.room(roomId);
    const membership = room.membership(this.#me);
    if (membership === "invite") return this.#invited(room);
    return membership === "join" ? this.#joined(room) : null;
  }

  /** Room ids in the order of a list; null where the rules leave it open. */
  list(wish: ListWish): { ids: string[]; isOpen: boolean } {
    const rooms = this.rooms();
    const usesNames = wish.sort.includes("by_name") || (wish.filters.room_name_like ?? "") !== "";
    const usesBumps = wish.sort.includes("by_recency") && wish.bump_event_types.length > 0;
    const isOpen = rooms.some((room) => (usesNames && room.names.length > 1) || (usesBumps && !room.isWhole));
    const listed = rooms
      .filter((room) => this.#passes(room, wish.filters))
      .map((room) => ({
        room,
        key: [...wish.sort.map((sort) => sortKey(sort, room, this.recency(room, wish.bump_event_types))), room.room.id],
      }))
      .sort((a, b) => compareKeys(a.key, b.key));
    return { ids: listed.map(({ room }) => room.room.id), isOpen };
  }

  /** When the room was last interesting, in ms. */
  recency(seen: TrueRoom, bumpTypes: readonly string[]): number {
    const own = seen.room.get("m.room.member", this.#me);
    if (seen.isInvite) return own?.ts ?? 0;
    if (bumpTypes.length === 0) return seen.visible.at(-1)?.ts ?? 0;
    const latest = bumpTypes.map((type) => seen.visible.findLast((event) => event.type === type)?.ts ?? 0);
    const newest = Math.max(0, ...latest);
    if (newest > 0) return newest;
    const stay = seen.room.staysOf(this.#me).at(-1);
    return seen.room.log.find(({ pos }) => pos === stay?.from)?.ts ?? 0;
  }

  /** `timestamp` of a joined room: never before the own join where types of events count. */
  timestamp(seen: TrueRoom, bumpTypes: readonly string[]): number {
    const recency = this.recency(seen, bumpTypes);
    if (bumpTypes.length === 0) return recency;
    const stay = seen.room.staysOf(this.#me).at(-1);
    return Math.max(recency, seen.room.log.find(({ pos }) => pos === stay?.from)?.ts ?? 0);
  }

  isDirect(roomId: string): boolean {
    const direct = this.#hs.globalContent(this.#me, "m.direct") as Record<string, string[]> | undefined;
    return Object.values(direct ?? {}).some((rooms) => rooms.includes(roomId));
  }

  /** True when the redaction of an event may have passed unseen in a gap. */
  isRedactionOpen(event: ModelEvent | null, roomId: string): boolean {
    return event !== null && event.redactedBy !== null && !this.#isTold(roomId, event.redactedBy);
  }

  #isTold(roomId: string, event: ModelEvent): boolean {
    return this.#upstream.told.get(roomId)?.has(event.id) ?? false;
  }

  #isAfterGap(roomId: string, event: ModelEvent): boolean {
    return this.#upstream.told.get(roomId)?.get(event.id)?.gapBefore ?? false;
  }

  #joined(room: ModelRoom): TrueRoom {
    const joined = room.members("join");
    const invited = room.members("invite");
    const heroes = room.members("join", "invite").filter((userId) => userId !== this.#me);
    const nameEvent = room.get("m.room.name");
    const given = text(room.content("m.room.name")["name"]) || text(room.content("m.room.canonical_alias")["alias"]);
    const stay = room.staysOf(this.#me).at(-1);
    const known = (userId: string): string => text(room.content("m.room.member", userId)["displayname"]) || userId;
    const names = given === "" ? calculatedNames(room, heroes, known, this.#me) : [given];
    if (this.isRedactionOpen(nameEvent, room.id))
      names.push(text(nameEvent?.content["name"]), ...calculatedNames(room, heroes, known, this.#me));
    const own = text(room.content("m.room.avatar")["url"]) || null;
    const others = heroes.map((userId) => text(room.content("m.room.member", userId)["avatar_url"]) || null);
    const counts = this.#hs.countsOf(this.#me, room.id);
    const log = room.log.filter(({ pos }) => stay !== undefined && pos >= stay.from);
    const visible = log.filter((event) => this.#isTold(room.id, event));
    // How much of what was before the stay is shown is left open.
    const isOpen = stay !== undefined && room.log.some(({ pos }) => pos < stay.from && room.isSharedAt(pos));
    const type = room.content("m.room.create")["type"];
    const tags = (this.#hs.accountDataOf(this.#me, room.id).find((datum) => datum.type === "m.tag")?.content ?? {}) as {
      tags?: Record<string, unknown>;
    };
    return {
      room,
      isInvite: false,
      names,
      heroes: given === "" && heroes.length > 0 ? heroes : null,
      avatars: { other: own, direct: own ?? (others.length === 1 ? (others[0] ?? null) : null) },
      joinedCount: joined.length,
      invitedCount: invited.length,
      notifications: counts.notifications,
      highlights: counts.highlights,
      isDm: this.isDirect(room.id),
      isEncrypted: room.get("m.room.encryption") !== null,
      isTombstoned: text(room.content("m.room.tombstone")["replacement_room"]) !== "",
      roomType: typeof type === "string" ? type : null,
      tags: new Set(Object.keys(tags.tags ?? {})),
      visible,
      isWhole:
        !isOpen && visible.length === log.length && !visible.slice(1).some((event) => this.#isAfterGap(room.id, event)),
    };
  }

  /** Stripped state is all there is. */
  #invited(room: ModelRoom): TrueRoom {
    const stripped = this.#hs.strippedOf(room.id, this.#me);
    const find = (type: string): Record<string, unknown> =>
      (stripped.find((event) => event["type"] === type)?.["content"] ?? {}) as Record<string, unknown>;
    const own = stripped.find((event) => event["state_key"] === this.#me);
    const inviter = text(own?.["sender"]);
    const member = stripped.find((event) => event["type"] === "m.room.member" && event["state_key"] === inviter);
    const profile = (member?.["content"] ?? {}) as Record<string, unknown>;
    const name = text(find("m.room.name")["name"]) || text(find("m.room.canonical_alias")["alias"]);
    const avatar = text(find("m.room.avatar")["url"]) || null;
    const type = find("m.room.create")["type"];
    const isDirect = (own?.["content"] as Record<string, unknown> | undefined)?.["is_direct"] === true;
    return {
      room,
      isInvite: true,
      names: [name || text(profile["displayname"]) || inviter],
      heroes: name === "" ? [inviter] : null,
      avatars: { other: avatar, direct: avatar ?? (text(profile["avatar_url"]) || null) },
      joinedCount: 1,
      invitedCount: 1,
      notifications: 0,
      highlights: 1,
      isDm: isDirect || this.isDirect(room.id),
      isEncrypted: stripped.some((event) => event["type"] === "m.room.encryption"),
      isTombstoned: false,
      roomType: typeof type === "string" ? type : null,
      tags: new Set(),
      visible: [],
      isWhole: true,
    };
  }

  #passes(seen: TrueRoom, filters: Filters): boolean {
    const isOn = (list: readonly unknown[] | undefined): boolean => list !== undefined && list.length > 0;
    const { tags = [], not_tags: notTags = [], spaces = [] } = filters;
    const { room_types: types = [], not_room_types: notTypes = [], room_name_like: like = "" } = filters;
    const isChild = (space: string): boolean =>
      this.#hs.rooms.get(space)?.membership(this.#me) === "join" &&
      Array.isArray(this.#hs.room(space).content("m.space.child", seen.room.id)["via"]);
    return (
      (filters.is_dm ?? seen.isDm) === seen.isDm &&
      (filters.is_encrypted ?? seen.isEncrypted) === seen.isEncrypted &&
      (filters.is_invite ?? seen.isInvite) === seen.isInvite &&
      (filters.is_tombstoned ?? seen.isTombstoned) === seen.isTombstoned &&
      !notTypes.includes(seen.roomType) &&
      (!isOn(types) || types.includes(seen.roomType)) &&
      !notTags.some((tag) => seen.tags.has(tag)) &&
      (!isOn(tags) || tags.some((tag) => seen.tags.has(tag))) &&
      (!isOn(spaces) || spaces.some(isChild)) &&
      (like === "" || (seen.names[0] ?? "").toLowerCase().includes(like.toLowerCase()))
    );
  }
}

/** Stands for whatever name a room without others has after somebody left it. */
export const ANY_EMPTY_ROOM = "Empty Room (was …)";

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** Spec 5.4. Who left, and in which order, is open: any of them may stand for the empty room. */
function calculatedNames(
  room: ModelRoom,
  heroes: readonly string[],
  nameOf: (userId: string) => string,
  me: string,
): string[] {
  if (heroes.length > 0) {
    const names = heroes.map((userId) => {
      const name = nameOf(userId);
      const isShared = heroes.some(
        (other) => other !== userId && (nameOf(other) === name || other === name || nameOf(other) === userId),
      );
      return isShared ? `${name} (${userId})` : name;
    });
    return names.length === 1 ? names : [`${names.slice(0, -1).join(", ")} and ${names.at(-1)}`];
  }
  const gone = room.members("leave", "ban", "knock").filter((userId) => userId !== me);
  return gone.length === 0 && !room.hasLost ? ["Empty Room"] : ["Empty Room", ANY_EMPTY_ROOM];
}

function sortKey(sort: string, seen: TrueRoom, recency: number): number | string {
  switch (sort) {
    case "by_recency":
      return -recency;
    case "by_name":
      return (seen.names[0] ?? "").replaceAll(/^[#!():_@]+|[#!():_@]+$/g, "").toLowerCase();
    case "by_highlight_count":
      return -seen.highlights;
    case "by_notification_count":
      return -seen.notifications;
    case "by_notification_level":
      if (seen.highlights > 0) return 0;
      if (seen.notifications === 0) return 3;
      return seen.isEncrypted ? 1 : 2;
    default:
      throw new Error(`nobody sorts ${sort}`);
  }
}

function compareKeys(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [index, left] of a.entries()) {
    const right = b[index] as number | string;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}

/** Content as it should be served: redacted when it is. */
export const trueContent = (event: ModelEvent): string => JSON.stringify(contentOf(event));
