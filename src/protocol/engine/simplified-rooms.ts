import type { FiltersRequest } from "../request.ts";
import type { Hero, RoomMeta, UserRoom } from "../room-meta.ts";
import { BUMP_TYPES } from "../bump-types.ts";
import { parseUserId, type RoomNid } from "../ids.ts";
import { asObject } from "../json-value.ts";
import { roomName } from "../room-name.ts";
import type { ListParams } from "../sticky.ts";
import type { ListRules } from "./list-rules.ts";
import { filterView, type RoomHead } from "./room-facts.ts";
import type { World } from "./world.ts";

const decoder = new TextDecoder();
/** Heroes told of a room without a name. */
const SHOWN_HEROES = 5;

/** Rooms that one connection alone lists: those its client has yet to be told that the user left. */
export interface PartingRooms {
  rooms(world: World): Iterable<RoomNid>;
  isParting(world: World, nid: RoomNid): boolean;
}

/** The user went by themselves. */
export const isSelfLeft = ({ membership, memberSender, userId }: UserRoom): boolean =>
  membership === "leave" && memberSender === userId;

/** Memberships of which an entry shows stripped state alone. */
export const isStripped = (membership: unknown): boolean => membership === "invite" || membership === "knock";

/** Invites of ignored users are nobody's business. */
const isIgnoredInvite = (world: World, { membership, memberSender }: UserRoom): boolean =>
  membership === "invite" && world.ignored.has(memberSender);

/** Memberships of who had to do with a room. */
const HAD_TO_DO: ReadonlySet<unknown> = new Set(["join", "invite", "knock"]);
/** Standings are replaced, never changed, and lists ask often. */
const strange = new WeakMap<UserRoom, boolean>();

/** Others banned the user, or lifted that ban, who never was a member, invited or knocking, as far as is known. */
function isStrange(standing: UserRoom): boolean {
  const { membership, joinPos, stripped, memberSender, userId } = standing;
  const isSentAway = membership === "ban" || (membership === "leave" && memberSender !== userId);
  if (!isSentAway || joinPos > 0) return false;
  const known = strange.get(standing);
  if (known !== undefined) return known;
  const before = stripped === null ? undefined : previousMembership(stripped);
  const isSo = membership === "ban" ? !HAD_TO_DO.has(before) : before === "ban" || before === "leave";
  strange.set(standing, isSo);
  return isSo;
}

/** The membership that a member event took the place of, as the homeserver says it. */
export function previousMembership(event: Uint8Array): unknown {
  try {
    const { unsigned } = asObject(JSON.parse(decoder.decode(event)) as unknown) ?? {};
    return asObject(asObject(unsigned)?.["prev_content"])?.["membership"];
  } catch {
    return undefined;
  }
}

/** Left by oneself, and nothing is known of a stay: a room that was forgotten, or left before anybody looked. */
const isForgotten = (standing: UserRoom): boolean =>
  isSelfLeft(standing) && standing.joinPos <= 0 && standing.leftPos === null && standing.stripped === null;

/** A room that may be shown to who asks for it, or holds it: the user is or was something in it, and has not forgotten it. */
export const isUsable = (world: World, standing: UserRoom): boolean =>
  !isIgnoredInvite(world, standing) && !isForgotten(standing);

/**
 * Lists of simplified sliding sync: everything but what one left by oneself, by last activity. One form hides rooms that the user
 * was banned from without ever having had to do with them.
 */
export function simplifiedRules(parting: PartingRooms, hidesStrangers: boolean): ListRules {
  const passes = (world: World, nid: RoomNid, { filters }: ListParams): boolean => passesFilters(world, nid, filters);
  return {
    name: hidesStrangers ? "simplified-known" : "simplified",
    holds(world, nid, params) {
      const standing = world.standing(nid);
      if (standing === undefined || world.meta(nid) === undefined) return false;
      if (hidesStrangers && isStrange(standing)) return false;
      return !isSelfLeft(standing) && !isIgnoredInvite(world, standing) && passes(world, nid, params);
    },
    key: (world, nid) => [-world.activity(nid), world.meta(nid)?.roomId ?? ""],
    own: {
      rooms: (world) => parting.rooms(world),
      holds: (world, nid, params) => parting.isParting(world, nid) && passes(world, nid, params),
    },
  };
}

/** Every filter that is given has to hold; an empty list of what may be holds for nothing. */
function passesFilters(world: World, nid: RoomNid, filters: FiltersRequest): boolean {
  const view = filterView(world, nid);
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (view === null || standing === undefined || meta === undefined) return false;
  const stripped = world.stripped(nid);
  const isUnknown = stripped !== null && !stripped.isKnown;
  const encryption = stripped ?? meta;
  const isEncrypted = encryption.isEncrypted && !encryption.lacksAlgorithm;
  const roomType = stripped === null ? view.roomType : stripped.roomType;
  const { is_dm, is_encrypted, is_invite, room_types, not_room_types, tags, not_tags, spaces } = filters;
  if (is_dm !== undefined && is_dm !== world.isDirect(meta.roomId)) return false;
  if (is_invite !== undefined && is_invite !== (standing.membership === "invite")) return false;
  if (is_encrypted !== undefined && (isUnknown || is_encrypted !== isEncrypted)) return false;
  if (room_types !== undefined && (isUnknown || !room_types.includes(roomType))) return false;
  if (not_room_types !== undefined && (isUnknown || not_room_types.includes(roomType))) return false;
  if (tags !== undefined && !tags.some((tag) => view.tags.has(tag))) return false;
  if (not_tags?.some((tag) => view.tags.has(tag)) === true) return false;
  return spaces === undefined || spaces.some((spaceId) => view.isChildOf(spaceId));
}

/** Name, avatar and counts for the viewer: as the room says them, never made up; `""` = it says none. */
export function simplifiedHead(world: World, nid: RoomNid): RoomHead | null {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (standing === undefined || meta === undefined) return null;
  const head = {
    name: "",
    heroes: null,
    avatar: null,
    joinedCount: 0,
    invitedCount: 0,
    isDm: world.isDirect(meta.roomId),
    notificationCount: standing.notificationCount,
    highlightCount: standing.highlightCount,
    membership: standing.membership,
  };
  const stripped = world.stripped(nid);
  if (stripped !== null) return { ...head, name: stripped.givenName ?? "", avatar: stripped.givenAvatar };
  if (standing.membership !== "join") {
    return isAsLeft(standing, meta) ? { ...head, name: meta.name ?? "", avatar: meta.avatar || null } : head;
  }
  const isNamed = meta.name !== null && meta.name !== "";
  return {
    ...head,
    name: meta.name ?? "",
    avatar: meta.avatar || null,
    heroes: isNamed ? null : inHeroOrder(roomName(meta, world.userId).heroes).slice(0, SHOWN_HEROES),
    joinedCount: meta.joinedCount,
    invitedCount: meta.invitedCount,
  };
}

/** Whether a head says what the room is called, or nothing of it because it may have been renamed since the user left. */
export function isNameKnown(world: World, nid: RoomNid): boolean {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (standing === undefined || meta === undefined) return false;
  return standing.membership !== "leave" && standing.membership !== "ban" ? true : isAsLeft(standing, meta);
}

const HERO_ORDER: readonly Hero["membership"][] = ["join", "invite", "leave", "ban", "knock"];

/** Clients give up a whole response for a hero who is no user. */
const inHeroOrder = (members: readonly Hero[]): Hero[] =>
  members
    .filter(({ userId }) => parseUserId(userId) !== null)
    .toSorted((a, b) => HERO_ORDER.indexOf(a.membership) - HERO_ORDER.indexOf(b.membership));

/** Nothing happened in the room since the user left it: what it is now is what they saw. */
const isAsLeft = ({ leftPos }: UserRoom, { latestPos, resetPos }: RoomMeta): boolean =>
  leftPos !== null && Math.max(latestPos, resetPos) <= leftPos;

/** When the room last had something for its members, in ms; for others when their membership changed. */
export function bumpStamp(world: World, nid: RoomNid): number {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (standing === undefined || meta === undefined) return 0;
  const fallback = standing.joinTs || meta.latestTs;
  if (standing.membership !== "join") return stamp(Math.max(fallback, 0));
  if (meta.bumpTs !== undefined) return stamp(meta.bumpTs);
  // Of rooms stored before it was kept.
  let newest: readonly [pos: number, ts: number] = [0, 0];
  for (const type of BUMP_TYPES) {
    const latest = meta.latestByType[type];
    if (latest !== undefined && latest[0] > newest[0]) newest = latest;
  }
  return stamp(newest[1] || fallback);
}

/** Clients give up a whole response for a negative or broken one. */
const stamp = (ts: number): number => (Number.isSafeInteger(ts) && ts > 0 ? ts : 1);
