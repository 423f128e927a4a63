import type { Membership } from "../events.ts";
import type { FilterView } from "../filters.ts";
import type { RoomNid } from "../ids.ts";
import type { Hero, RoomMeta, UserRoom } from "../room-meta.ts";
import { roomAvatar, roomName } from "../room-name.ts";
import type { SortView } from "../sorting.ts";
import { isListed } from "../visibility.ts";
import { DIRTY, type World } from "./world.ts";

/** A room as this viewer sees it in the head of a room entry. */
export interface RoomHead {
  name: string;
  /** Only for names calculated from members. */
  heroes: Hero[] | null;
  avatar: string | null;
  joinedCount: number;
  invitedCount: number;
  isDm: boolean;
  /** As last told, where entries are compared by them. */
  notificationCount?: number;
  highlightCount?: number;
  membership?: Membership;
}

/** Heads of rooms that say their name themselves, which are the same for all viewers: there is one for the hundreds who see it. */
const sharedHeads = new WeakMap<RoomMeta, RoomHead>();

/** Name, avatar and counts for the viewer; invites show nothing but their stripped state. */
export function roomHead(world: World, nid: RoomNid): Readonly<RoomHead> | null {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (standing === undefined || meta === undefined) return null;
  const isDm = isDirectRoom(world, standing, meta.roomId);
  const invite = world.invite(nid);
  if (invite !== null) {
    return {
      name: invite.name,
      heroes: invite.isNameCalculated ? invite.heroes : null,
      avatar: roomAvatar({ avatar: invite.givenAvatar, heroes: invite.heroes }, world.userId, isDm),
      joinedCount: invite.joinedCount,
      invitedCount: invite.invitedCount,
      isDm,
    };
  }
  const shared = isDm ? undefined : sharedHeads.get(meta);
  if (shared !== undefined) return shared;
  const named = roomName(meta, world.userId);
  const head = {
    name: named.name,
    heroes: named.isCalculated ? named.heroes : null,
    avatar: roomAvatar(meta, world.userId, isDm),
    joinedCount: meta.joinedCount,
    invitedCount: meta.invitedCount,
    isDm,
  };
  // Even whether there is anybody to make a name from depends on who looks.
  if (!isDm && isNamed(meta)) sharedHeads.set(meta, head);
  return head;
}

const isNamed = ({ name, alias }: RoomMeta): boolean => (name ?? alias ?? "") !== "";

function isDirectRoom(world: World, standing: UserRoom, roomId: string): boolean {
  return world.isDirect(roomId) || (standing.membership === "invite" && standing.isDirect);
}

/** True when the room belongs into lists at all, before any filter. */
export function isCandidate(world: World, nid: RoomNid): boolean {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (standing === undefined || meta === undefined || !isListed(standing)) return false;
  return standing.membership === "invite" || !isSuperseded(world, meta.successor);
}

/** An upgraded room gives way to its successor once the user is in there; an invite to it is not enough. */
function isSuperseded(world: World, successor: string | null): boolean {
  const nid = successor === null ? undefined : world.nidOf(successor);
  return nid !== undefined && world.standing(nid)?.membership === "join";
}

/** The room for `matchesFilters`; only for candidates. */
export function filterView(world: World, nid: RoomNid): FilterView | null {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (standing === undefined || meta === undefined) return null;
  const invite = world.invite(nid);
  return {
    isDm: isDirectRoom(world, standing, meta.roomId),
    isEncrypted: invite === null ? meta.isEncrypted : invite.isEncrypted,
    isInvite: standing.membership === "invite",
    isTombstoned: invite === null && meta.successor !== null,
    roomType: invite === null ? meta.roomType : invite.roomType,
    tags: world.tags(nid),
    name: () => roomHead(world, nid)?.name ?? "",
    isChildOf: (spaceId) => isChildOfJoinedSpace(world, spaceId, meta.roomId),
  };
}

function isChildOfJoinedSpace(world: World, spaceId: string, roomId: string): boolean {
  const nid = world.nidOf(spaceId);
  if (nid === undefined || world.standing(nid)?.membership !== "join") return false;
  const children = world.meta(nid)?.spaceChildren;
  return children !== undefined && setOf(children).has(roomId);
}

/** Spaces have thousands of children, and a list asks of every room. */
const sets = new WeakMap<readonly string[], ReadonlySet<string>>();

function setOf(names: readonly string[]): ReadonlySet<string> {
  let set = sets.get(names);
  if (set === undefined) {
    set = new Set(names);
    sets.set(names, set);
  }
  return set;
}

/** The room for `sortKey`; only for candidates. */
export function sortView(
  world: World,
  nid: RoomNid,
  bumpTypes: readonly string[],
  needsName: boolean,
): SortView | null {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (standing === undefined || meta === undefined) return null;
  const isInvite = standing.membership === "invite";
  return {
    roomId: meta.roomId,
    recencyTs: recencyTs(world, nid, bumpTypes),
    name: needsName ? (roomHead(world, nid)?.name ?? "") : "",
    highlightCount: highlightCount(standing),
    notificationCount: standing.notificationCount,
    isEncrypted: isInvite ? (world.invite(nid)?.isEncrypted ?? false) : meta.isEncrypted,
  };
}

/** An invite always asks for attention. */
export function highlightCount(standing: UserRoom): number {
  return standing.membership === "invite" ? 1 : standing.highlightCount;
}

/** When the room was last interesting, in ms: by the given event types, or by any event when there are none. */
export function recencyTs(world: World, nid: RoomNid, bumpTypes: readonly string[]): number {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (standing === undefined || meta === undefined) return 0;
  if (standing.membership !== "join") return standing.joinTs;
  if (bumpTypes.length === 0) return meta.latestTs;
  let newest = 0;
  for (const type of bumpTypes) {
    const latest = meta.latestByType[type];
    if (latest !== undefined && latest[0] >= standing.joinPos && latest[1] > newest) newest = latest[1];
  }
  // Of a stay that began nobody knows when, the room's newest event has to do.
  return newest || standing.joinTs || meta.latestTs;
}

/** Bits that can change whether and where a room is listed. */
const PLACING = DIRTY.event | DIRTY.counts | DIRTY.standing | DIRTY.reset | DIRTY.place;
/** A room moves when its events are shown: while one waits, together with it. */
export function isToBePlaced(world: World, nid: RoomNid, bits: number): boolean {
  return (bits & (world.heldFrom(nid) === null ? PLACING : PLACING & ~DIRTY.event)) !== 0;
}

/** The user is in the room or may come in. */
export function isListedNow(world: World, nid: RoomNid): boolean {
  const standing = world.standing(nid);
  return standing !== undefined && isListed(standing);
}
