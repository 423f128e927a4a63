import { MEMBERSHIPS } from "./events.ts";
import { asObject, asText, type JsonObject, member } from "./json-value.ts";
import type { Hero, RoomMeta } from "./room-meta.ts";

/** What of a room its name is made from. */
export type NameSource = Pick<RoomMeta, "name" | "alias" | "heroes" | "joinedCount" | "invitedCount">;

export interface RoomName {
  name: string;
  /** Made from members, because the room says nothing itself. */
  isCalculated: boolean;
  /** The members it may be made from; never the viewer. */
  heroes: Hero[];
}

/** Name of a room in which nobody else is or ever was. */
export const EMPTY_ROOM = "Empty Room";
/** More members than this are counted, not named, unless all of them are known. */
const NAMED_HEROES = 5;

/** The room's name as `me` sees it. */
export function roomName(meta: NameSource, me: string): RoomName {
  const others = meta.joinedCount + meta.invitedCount - 1;
  const heroes = visibleHeroes(meta.heroes, me, others);
  const given = meta.name ?? meta.alias ?? "";
  if (given !== "") return { name: given, isCalculated: false, heroes };
  if (heroes.length === 0) return { name: others > 0 ? `${others} others` : EMPTY_ROOM, isCalculated: false, heroes };
  return { name: calculatedName(heroes, others), isCalculated: true, heroes };
}

/** Those who left only stand for a room that nobody else is in. */
function visibleHeroes(heroes: readonly Hero[], me: string, others: number): Hero[] {
  const strangers = heroes.filter((hero) => hero.userId !== me);
  return others > 0 ? strangers.filter(isPresent) : strangers;
}

const isPresent = (hero: Hero): boolean => hero.membership === "join" || hero.membership === "invite";

function calculatedName(heroes: readonly Hero[], others: number): string {
  const names = distinctNames(heroes);
  if (heroes.length < others) {
    const shown = names.slice(0, NAMED_HEROES);
    return `${shown.join(", ")} and ${others - shown.length} others`;
  }
  const last = names.at(-1) ?? "";
  const all = names.length === 1 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
  return others > 0 ? all : `${EMPTY_ROOM} (was ${all})`;
}

/** Names that belong to more than one hero, or that are the user id of another, get the user id beside them. */
function distinctNames(heroes: readonly Hero[]): string[] {
  const claims = new Map<string, Set<string>>();
  const claim = (name: string, userId: string): void => {
    const claimants = claims.get(name) ?? new Set();
    claims.set(name, claimants.add(userId));
  };
  for (const hero of heroes) {
    claim(heroName(hero), hero.userId);
    claim(hero.userId, hero.userId);
  }
  const isShared = (name: string): boolean => (claims.get(name)?.size ?? 0) > 1;
  return heroes.map((hero) => {
    const name = heroName(hero);
    return isShared(name) || isShared(hero.userId) ? `${name} (${hero.userId})` : name;
  });
}

const heroName = (hero: Hero): string => hero.displayName || hero.userId;

/** The room's avatar as `me` sees it: its own, or in a direct room that of the one other person there. */
export function roomAvatar(meta: Pick<RoomMeta, "avatar" | "heroes">, me: string, isDm: boolean): string | null {
  if (meta.avatar !== null && meta.avatar !== "") return meta.avatar;
  if (!isDm) return null;
  const others = meta.heroes.filter((hero) => hero.userId !== me && isPresent(hero));
  return others.length === 1 ? others[0]?.avatarUrl || null : null;
}

/** The viewer's own member event in stripped state. */
export interface OwnInvite {
  sender: string;
  /** `origin_server_ts` in ms; 0 when it has none. */
  ts: number;
  isDirect: boolean;
}

/** A room as an invited (or knocking) user sees it: from stripped state alone, whatever else is known here. */
export interface InviteView {
  name: string;
  isNameCalculated: boolean;
  heroes: Hero[];
  alias: string | null;
  isEncrypted: boolean;
  lacksAlgorithm: boolean;
  roomType: string | null;
  /** The inviter. */
  joinedCount: number;
  /** The viewer. */
  invitedCount: number;
  /** As the room says them; null = it does not. */
  givenName: string | null;
  givenAvatar: string | null;
  /** The stripped state says how the room was made, and so what it is not. */
  isKnown: boolean;
  /** null = the stripped state lacks it, and the invite is none. */
  own: OwnInvite | null;
}

/** Reads the stripped state of an invite or knock. */
export function inviteView(stripped: readonly unknown[], me: string): InviteView {
  let given: string | null = null;
  let avatar: string | null = null;
  let alias: string | null = null;
  let roomType: string | null = null;
  let isEncrypted = false;
  let lacksAlgorithm = false;
  const heroes = new Map<string, Hero>();
  let own: OwnInvite | null = null;
  let isKnown = false;
  for (const item of stripped) {
    const event = asObject(item);
    const type = member(event, "type");
    const stateKey = member(event, "state_key");
    const content = asObject(member(event, "content"));
    if (type === "m.room.member") {
      if (stateKey === me) own = ownInvite(event, content);
      else if (typeof stateKey === "string" && stateKey === member(event, "sender")) {
        heroes.set(stateKey, strippedHero(stateKey, content));
      }
      continue;
    }
    if (stateKey !== "") continue;
    if (type === "m.room.name") given = asText(member(content, "name"));
    else if (type === "m.room.avatar") avatar = asText(member(content, "url"));
    else if (type === "m.room.canonical_alias") alias = asText(member(content, "alias"));
    else if (type === "m.room.create") {
      isKnown = true;
      roomType = asText(member(content, "type"));
    } else if (type === "m.room.encryption") {
      isEncrypted = true;
      lacksAlgorithm = (member(content, "algorithm") ?? null) === null;
    }
  }
  // Homeservers may leave out the inviter's own member event: the invite itself says who they are.
  if (heroes.size === 0 && own !== null && own.sender !== "" && own.sender !== me) {
    heroes.set(own.sender, { userId: own.sender, displayName: null, avatarUrl: null, membership: "join" });
  }
  const shown = [...heroes.values()];
  const source = { name: given, alias, heroes: shown, joinedCount: 1, invitedCount: 1 };
  const named = roomName(source, me);
  return {
    name: named.name,
    isNameCalculated: named.isCalculated,
    heroes: named.heroes,
    alias,
    isEncrypted,
    lacksAlgorithm,
    roomType,
    joinedCount: source.joinedCount,
    invitedCount: source.invitedCount,
    givenName: given,
    givenAvatar: avatar,
    isKnown,
    own,
  };
}

function ownInvite(event: JsonObject | null, content: JsonObject | null): OwnInvite {
  const ts = member(event, "origin_server_ts");
  return {
    sender: asText(member(event, "sender")) ?? "",
    ts: typeof ts === "number" && ts > 0 && ts <= Number.MAX_SAFE_INTEGER ? Math.trunc(ts) : 0,
    isDirect: member(content, "is_direct") === true,
  };
}

function strippedHero(userId: string, content: JsonObject | null): Hero {
  const claimed = member(content, "membership");
  const known = MEMBERSHIPS.find((membership) => membership === claimed);
  return {
    userId,
    displayName: asText(member(content, "displayname")),
    avatarUrl: asText(member(content, "avatar_url")),
    membership: known ?? "join",
  };
}
