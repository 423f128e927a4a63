import type { Deviation, Scene } from "./scene.ts";
import { isInitial } from "./scene.ts";
import type { View } from "./view.ts";

const STICKY = "extensions org.matrix.msc4354.sticky_events";

/** Sticky events of a room, as texts; those that were redacted say no more that they are sticky. */
const eventsOf = (view: View, roomId: string): string[] =>
  JSON.parse(view.get(`${STICKY} ${roomId}`) ?? "[]") as string[];
const isSticky = (event: string): boolean => event.includes('"msc4354_sticky":');

function roomsOf(...views: View[]): string[] {
  const at = `${STICKY} !`;
  const paths = views.flatMap((view) => [...view.keys()].filter((path) => path.startsWith(at)));
  return [...new Set(paths.map((path) => path.slice(STICKY.length + 1)))];
}

/** An explanation of what is told of a room, and of a section that is there because of such rooms alone. */
const ofStickyRooms =
  (
    explains: (roomId: string, reference: string[], subject: string[], scene: Scene) => boolean,
  ): Deviation["explains"] =>
  ({ path }, scene) => {
    if (path !== STICKY && !path.startsWith(`${STICKY} `)) return false;
    const { reference, subject } = scene;
    const roomId = path.slice(STICKY.length + 1);
    const rooms = roomId.startsWith("!") ? [roomId] : roomsOf(reference, subject);
    return rooms.every((id) => explains(id, eventsOf(reference, id), eventsOf(subject, id), scene));
  };

/** The client could not be told of the room before, or was not: it comes anew, or other lists are asked for. */
function isNew(roomId: string, { subject, wish, wishes }: Scene): boolean {
  const before = wishes.at(-1);
  const isOtherList = before !== undefined && JSON.stringify(before.lists) !== JSON.stringify(wish.lists);
  return isInitial(subject, roomId) || isOtherList;
}

/** Ways in which sticky events differ. */
export const STICKY_DEVIATIONS: readonly Deviation[] = [
  {
    name: "sticky events of rooms that one is not in",
    synapse: "tells them of every room in a list, also to those who are invited, or were there",
    glissade: "tells them to those in the room",
    why: "as MSC4354 has it",
    explains: ofStickyRooms((roomId, _, subject, { log, userId }) => subject.length === 0 && !log.isIn(roomId, userId)),
  },
  {
    name: "sticky events that were redacted",
    synapse: "tells what is left of them",
    glissade: "tells them no more",
    why: "what is left of them is not sticky",
    explains: ofStickyRooms((_, reference, subject) => reference.filter(isSticky).join() === subject.join()),
  },
  {
    name: "sticky events of rooms that a client comes to know",
    synapse: "tells those that came after the client's token, and no others",
    glissade:
      "tells, when the room is shown for the first time, joined, or comes into a list, those as well that were told before it was, or passed over",
    why: "clients have no others: they drop those of rooms that they do not know yet",
    explains: ofStickyRooms(
      (roomId, reference, subject, scene) =>
        isNew(roomId, scene) && reference.filter(isSticky).every((event) => subject.includes(event)),
    ),
  },
];
