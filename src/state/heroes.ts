import type { EventFields, Membership, StoredEvent } from "#src/protocol/events.ts";
import { HERO_LIMIT, type Hero, type RoomMeta } from "#src/protocol/room-meta.ts";
import type { StateRow } from "./ingest-transaction.ts";
import { asText, parseContent } from "./json.ts";

/** A member whose current membership event changed in a group. */
export interface MemberChange {
  row: StateRow;
  event: EventFields;
}

const isActive = (membership: Membership | null | undefined): boolean =>
  membership === "join" || membership === "invite";

function toHero(userId: string, membership: Membership, json: Uint8Array): Hero {
  const content = parseContent(json);
  return {
    userId,
    displayName: asText(content["displayname"]),
    avatarUrl: asText(content["avatar_url"]),
    membership,
  };
}

const changeToHero = (change: MemberChange): Hero =>
  toHero(change.row.stateKey, change.row.membership ?? "leave", change.event.json);

/** True when heroes that left or moved make room for members that only storage knows. */
export function needsBackfill(before: RoomMeta, hasChanged: (userId: string) => boolean): boolean {
  const active = before.heroes.filter((hero) => isActive(hero.membership));
  return before.joinedCount + before.invitedCount > active.length && active.some((hero) => hasChanged(hero.userId));
}

/**
 * Heroes after a group: the first joined or invited members by position of their current membership event.
 * Whoever changed in the group has a newer position than everybody else, so only the unchanged ones need looking up.
 */
export function reduceHeroes(
  before: RoomMeta,
  counts: { joinedCount: number; invitedCount: number },
  changes: ReadonlyMap<string, MemberChange>,
  stored: () => readonly StoredEvent[],
): Hero[] {
  const heroes = before.heroes.filter((hero) => isActive(hero.membership) && !changes.has(hero.userId));
  if (heroes.length === HERO_LIMIT) return heroes.length === before.heroes.length ? before.heroes : heroes;
  const active = [...changes.values()].filter(({ row }) => isActive(row.membership));
  const activeCount = counts.joinedCount + counts.invitedCount;
  if (activeCount > heroes.length + active.length) {
    const shown = new Set(heroes.map((hero) => hero.userId));
    for (const { stateKey, membership, json } of stored()) {
      if (heroes.length === HERO_LIMIT) break;
      if (stateKey === null || membership === null || shown.has(stateKey) || changes.has(stateKey)) continue;
      heroes.push(toHero(stateKey, membership, json));
    }
  }
  active.sort((a, b) => a.row.pos - b.row.pos);
  for (const change of active.slice(0, HERO_LIMIT - heroes.length)) heroes.push(changeToHero(change));
  // A room with nobody but its viewer is named after those who were there.
  return activeCount > 1 ? heroes : [...heroes, ...reduceLeavers(before, changes)].slice(0, HERO_LIMIT);
}

/** Somebody who was never seen in the room, say a ban in advance, is no one to name it after; who left was somebody. */
const wasActive = ({ membership, prevMembership }: EventFields): boolean =>
  isActive(prevMembership) || (membership === "leave" && prevMembership === null);

/** Those who were in the room after a group: the first ones that left, as long as they stay away. */
export function reduceLeavers(before: RoomMeta, changes: ReadonlyMap<string, MemberChange>): Hero[] {
  const isAway = (hero: Hero): boolean => !isActive(hero.membership) && !changes.has(hero.userId);
  // Of rooms stored before these were kept apart.
  const kept =
    before.leavers.length > 0 ? before.leavers : before.heroes.filter(({ membership }) => !isActive(membership));
  const earlier = kept.filter(isAway);
  if (earlier.length === HERO_LIMIT) return before.leavers;
  const known = new Set([...before.heroes, ...before.leavers].map((hero) => hero.userId));
  const leavers = [...changes.values()]
    .filter(({ row, event }) => !isActive(row.membership) && (known.has(row.stateKey) || wasActive(event)))
    .sort((a, b) => a.row.pos - b.row.pos);
  if (leavers.length === 0 && earlier.length === before.leavers.length) return before.leavers;
  return [...earlier, ...leavers.slice(0, HERO_LIMIT - earlier.length).map(changeToHero)];
}
