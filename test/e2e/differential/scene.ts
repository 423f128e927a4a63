import type { Wish } from "#test/support/simplified-connection.ts";
import type { View, Viewer } from "./view.ts";
import type { WorldLog } from "./world-log.ts";

/** One fact that two answers do not agree about; null where one says nothing. */
export interface Difference {
  path: string;
  synapse: string | null;
  glissade: string | null;
}

/** What is known about the answers that differ. */
export interface Scene {
  wish: Wish;
  /** What was asked for before, the latest last. */
  wishes: readonly Wish[];
  /** Whose answers they are. */
  userId: string;
  /** What has really happened. */
  log: WorldLog;
  /** All that Synapse answered. */
  reference: View;
  /** All that Glissade answered. */
  subject: View;
  /** Rooms that only one of them shows, or showed until now, for a reason that is known. */
  apart: ReadonlySet<string>;
  /** Rooms that were so at any time: the two remember other limits, and other state, as asked for. */
  wasApart: ReadonlySet<string>;
  /** Rooms whose timeline Glissade alone sent anew: it remembers that fewer events were asked for than Synapse does. */
  lessAsked: ReadonlySet<string>;
  /** What Glissade had said before, and Synapse. */
  told: Viewer;
  toldByReference: Viewer;
}

/** A way in which Glissade is unlike Synapse on purpose, or because a classic sync does not tell more. */
export interface Deviation {
  name: string;
  synapse: string;
  glissade: string;
  why: string;
  explains(difference: Difference, scene: Scene): boolean;
}

/** A fact about a room's entry, taken apart. */
export interface RoomFact extends Difference {
  roomId: string;
  /** "" for the entry itself. */
  field: string;
  /** The event of a timeline, type and key of state. */
  what: string;
}

/** An explanation of facts about rooms' entries. */
export const ofRooms =
  (explains: (fact: RoomFact, scene: Scene) => boolean): Deviation["explains"] =>
  (difference, scene) => {
    const [kind, roomId = "", field = "", ...what] = difference.path.split(" ");
    return kind === "rooms" && explains({ ...difference, roomId, field, what: what.join(" ") }, scene);
  };

/** The events of a timeline, by id. */
export const timelineOf = (view: View, roomId: string): string[] =>
  JSON.parse(view.get(`rooms ${roomId} timeline`) ?? "[]") as string[];

/** An event of a timeline. */
export const eventOf = (view: View, roomId: string, eventId: string | undefined): Record<string, unknown> =>
  JSON.parse(view.get(`rooms ${roomId} timeline ${eventId}`) ?? "{}") as Record<string, unknown>;

/** What every entry says, whatever it is about. */
export const isBare = (fact: string): boolean => /^(?:bump_stamp|limited|num_live|is_dm)$/.test(fact);

export const isExpanded = (view: View, roomId: string): boolean =>
  view.has(`rooms ${roomId} unstable_expanded_timeline`);

export const isInitial = (view: View, roomId: string): boolean => view.has(`rooms ${roomId} initial`);

/** Facts about one room's entry, by what follows the room. */
export const factsOf = (view: View, roomId: string): [fact: string, text: string][] => {
  const at = `rooms ${roomId} `;
  return [...view].flatMap(([path, text]): [string, string][] =>
    path.startsWith(at) ? [[path.slice(at.length), text]] : [],
  );
};

/** What is asked for of a room by its subscription and the lists that hold it in this answer. */
export function configsOf(wish: Wish, view: View, roomId: string): Wish["room_subscriptions"][string][] {
  const listed = Object.entries(wish.lists).filter(([key]) =>
    [...view].some(([path, text]) => path.startsWith(`lists ${key} SYNC `) && text.includes(`"${roomId}"`)),
  );
  const subscription = wish.room_subscriptions[roomId];
  return [...listed.map(([, list]) => list), ...(subscription === undefined ? [] : [subscription])];
}
