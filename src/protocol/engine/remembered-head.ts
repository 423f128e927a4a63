import type { Hero } from "../room-meta.ts";
import { bitsOf, type Making, type Work } from "./remembered-work.ts";
import type { RoomEntry } from "./room-entry.ts";
import type { RoomHead } from "./room-facts.ts";
import { isNameKnown } from "./simplified-rooms.ts";
import { DIRTY } from "./world.ts";

/** State that heads are made of. */
const HEAD_TYPES: ReadonlySet<string> = new Set(["m.room.name", "m.room.avatar", "m.room.member"]);

/** Name, avatar and counts where they differ from what the client was told; true when something does. */
export function addHead(making: Making, work: Work, entry: RoomEntry, before: RoomHead | null): boolean {
  const { room, head, standing, changes } = work;
  const isInitial = room.kind === "initial";
  const isInside = standing.membership === "join";
  // After a restart the head as sent is unknown: it goes out with the next news, its own among them.
  const isUnknown = !isInitial && before === null;
  const isNamed = isInside || isNameKnown(making.world, room.nid);
  const tells = making.engine.options.tellsAll;
  let hasNews = false;
  const note = (isChanged: boolean): boolean => {
    if (isChanged && !isUnknown && !isInitial) hasNews = true;
    return isChanged || isInitial || isUnknown;
  };
  if (isUnknown && changesHead(making, work)) hasNews = true;
  const isNameNews = isNamed && note(before !== null && before.name !== head.name);
  if (isNameNews && (head.name !== "" || (tells && !isInitial))) entry.name = head.name;
  const isAvatarNews = isNamed && note(before !== null && before.avatar !== head.avatar);
  if (isAvatarNews && (head.avatar !== null || (tells && !isInitial))) entry.avatar = head.avatar;
  const isCounted =
    before?.notificationCount === head.notificationCount && before?.highlightCount === head.highlightCount;
  if (!tells) note(before !== null && !isCounted);
  if (!isInside) return hasNews;
  const isSame = before?.joinedCount === head.joinedCount && before.invitedCount === head.invitedCount;
  // A profile is a membership, too.
  const isJoinedSame = isSame && !changes.some(({ type }) => type === "m.room.member");
  if (note(before !== null && !isJoinedSame)) {
    entry.joinedCount = head.joinedCount;
    entry.invitedCount = head.invitedCount;
  }
  const heroes = head.heroes ?? [];
  const isHeroNews = !isJoinedSame || !sameHeroes(before?.heroes ?? [], heroes);
  if (note(before !== null && isHeroNews) && heroes.length > 0) entry.heroes = heroes;
  return hasNews;
}

/** Something that happened makes another head of it. */
function changesHead(making: Making, { room, changes, standing }: Work): boolean {
  if (!making.engine.options.tellsAll && (bitsOf(making, room) & DIRTY.counts) !== 0) return true;
  if (standing.membership !== "join") return false;
  // What vanished with a comparison is no event.
  if ((making.world.meta(room.nid)?.resetPos ?? 0) > room.since) return true;
  return changes.some(({ type }) => HEAD_TYPES.has(type));
}

const sameHeroes = (a: readonly Hero[], b: readonly Hero[]): boolean =>
  a.length === b.length &&
  a.every(
    (hero, index) =>
      hero.userId === b[index]?.userId &&
      hero.displayName === b[index].displayName &&
      hero.avatarUrl === b[index].avatarUrl,
  );
