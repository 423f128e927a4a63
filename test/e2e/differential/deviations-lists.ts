import { type Deviation, type Difference, isExpanded, isInitial, type Scene } from "./scene.ts";
import type { View } from "./view.ts";

/** The user left the room by themselves. Glissade lists it until that is told, Synapse in one answer, whether or not it told of it. */
function isLeftUntold(roomId: string, { log, told, userId }: Scene): boolean {
  if (!log.hasLeft(roomId, userId)) return false;
  const own = told.toldBefore(`rooms ${roomId} required_state m.room.member|${userId}`) ?? "";
  const isUntold = told.knows(roomId) && !own.includes('"content":{"membership":"leave"');
  return isUntold || log.hasMovedLately(roomId, userId);
}

/** A list asks for tags, and the room was given some that no poll tells. */
function isTaggedUnheard(roomId: string, key: string, { log, userId, wish }: Scene): boolean {
  const { tags, not_tags: notTags } = wish.lists[key]?.filters ?? {};
  return (tags !== undefined || notTags !== undefined) && log.isTaggedOutside(roomId, userId);
}

/** Rooms that have other places: something happened to each at once. */
const isReordered = (expected: readonly string[], found: readonly string[], { log }: Scene): boolean =>
  found.every((roomId, index) => {
    const other = expected[index] ?? roomId;
    return other === roomId || (log.isNews(other) && log.isNews(roomId));
  });

function isWhole(path: string, view: View): boolean {
  const [, key, , range = ""] = path.split(" ");
  const [start, end] = range.split("-").map(Number);
  return start === 0 && Number(view.get(`lists ${key} count`)) <= (end ?? 0) + 1;
}

/** A list is the same but for some rooms that may or may not be in it; where they push others out of view, those are. */
function isSameBeside(
  { path, synapse, glissade }: Difference,
  isDoubtful: (roomId: string) => boolean,
  scene: Scene,
): boolean {
  const rooms = scene.log.rooms.filter(isDoubtful);
  if (path.endsWith(" count")) return Math.abs(Number(glissade) - Number(synapse)) <= rooms.length;
  const [expected = [], found = []] = [synapse, glissade].map((text) =>
    (JSON.parse(text ?? "[]") as string[]).filter((roomId) => !rooms.includes(roomId)),
  );
  const [shorter, longer] = expected.length < found.length ? [expected, found] : [found, expected];
  // Of a window that holds its whole list the order is not known.
  if (isWhole(path, scene.reference) || isWhole(path, scene.subject))
    return shorter.every((roomId) => longer.includes(roomId));
  return isReordered(longer.slice(0, shorter.length), shorter, scene);
}

/** The room is shown by one answer alone, or was until this one, because others were in the way. */
const isApart = (path: string, { apart }: Scene): boolean => {
  const room = path.split(" ").find((part) => part.startsWith("!"));
  return room !== undefined && apart.has(room);
};

/** Of a room that was shown by one alone for a while, the two remember that other things were asked for: one tells more of it now. */
function isToldMore({ path, synapse, glissade }: Difference, { reference, subject, wasApart }: Scene): boolean {
  const [kind, roomId = "", field] = path.split(" ");
  if (kind !== "rooms" || !wasApart.has(roomId) || (synapse !== null && glissade !== null && field !== "limited"))
    return false;
  if (isExpanded(reference, roomId) !== isExpanded(subject, roomId)) return true;
  return field === "required_state" && !isInitial(reference, roomId) && !isInitial(subject, roomId);
}

/** Ways in which lists differ. */
export const LIST_DEVIATIONS: readonly Deviation[] = [
  {
    name: "rooms that one has left",
    synapse:
      "lists a room that one left in the response that covers the leave, and in no other, whether or not it sent the room",
    glissade: "lists it, where it sent the room, until the leave is told and acknowledged",
    why: "a leave out of view would never be told; of a room that the client does not know there is nothing to tell",
    explains(difference, scene) {
      const [kind, key = ""] = difference.path.split(" ");
      if (kind !== "lists" || !scene.log.rooms.some((roomId) => isLeftUntold(roomId, scene))) return false;
      const isDoubtful = (roomId: string): boolean =>
        isLeftUntold(roomId, scene) || isTaggedUnheard(roomId, key, scene);
      return isSameBeside(difference, isDoubtful, scene);
    },
  },
  {
    name: "tags of rooms that one is not in",
    synapse: "lists rooms by them",
    glissade: "lists rooms by the tags that they had while one was in them",
    why: "a classic sync tells no other",
    explains(difference, scene) {
      const [kind, key = ""] = difference.path.split(" ");
      const isDoubtful = (roomId: string): boolean => isTaggedUnheard(roomId, key, scene);
      return kind === "lists" && scene.log.rooms.some(isDoubtful) && isSameBeside(difference, isDoubtful, scene);
    },
  },
  {
    name: "rooms that others push out of view",
    synapse:
      "shows rooms later, or earlier, where a room is listed that Glissade does not list, or the other way round, and goes on from there",
    glissade: "shows them when they are in view",
    why: "the two rows before this one",
    explains: (difference, scene) => isApart(difference.path, scene) || isToldMore(difference, scene),
  },
  {
    name: "rooms in which something happens at once",
    synapse: "lists them in the order in which it happened",
    glissade: "lists them in the order in which polls bring it",
    why: "each user's poll tells of their own rooms, and some come sooner than others",
    explains({ path, synapse, glissade }, scene) {
      const [kind, , op] = path.split(" ");
      if (kind !== "lists" || op !== "SYNC") return false;
      const [expected = [], found = []] = [synapse, glissade].map((text) => JSON.parse(text ?? "[]") as string[]);
      return expected.length === found.length && isReordered(expected, found, scene);
    },
  },
];

/** Those that make the two show other rooms. */
export const PUSHING: ReadonlySet<Deviation> = new Set(LIST_DEVIATIONS.slice(0, 2));
