import { ROOM_DEVIATIONS } from "./deviations-rooms.ts";
import { STICKY_DEVIATIONS } from "./deviations-sticky.ts";
import type { Deviation, Difference, Scene } from "./scene.ts";

/** Rooms of a list that the user has left by themselves, was told of, and has not been told to have left. */
function untoldLeaves(roomIds: Iterable<string>, { log, told, userId }: Scene): string[] {
  return [...roomIds].filter((roomId) => {
    const own = told.toldBefore(`rooms ${roomId} required_state m.room.member|${userId}`) ?? "";
    const isTold = own.includes('"content":{"membership":"leave"');
    return log.hasLeft(roomId, userId) && told.knows(roomId) && !isTold;
  });
}

/** How an extension was asked for, in one text. */
const scopeOf = (wish: Scene["wish"], name: string): string => JSON.stringify(wish.extensions[name] ?? null);

/** Ways in which lists and extensions differ. */
const OTHER_DEVIATIONS: readonly Deviation[] = [
  {
    name: "rooms that one has left",
    synapse: "lists a room that one left in the response that covers the leave, and in no other",
    glissade: "lists it until the leave is told and acknowledged",
    why: "a leave out of view would never be told",
    explains: ({ path, synapse, glissade }, scene) => {
      const [kind, key, op] = path.split(" ");
      if (kind !== "lists") return false;
      if (op === "count") {
        const more = Number(glissade) - Number(synapse);
        return more > 0 && more <= untoldLeaves(scene.told.rooms, scene).length;
      }
      const windows = [...scene.subject].filter(([other]) => other.startsWith(`lists ${key} SYNC `));
      const listed = windows.flatMap(([, text]) => JSON.parse(text) as string[]);
      const left = new Set(untoldLeaves(listed, scene));
      const [expected, found] = [synapse, glissade].map((text) => JSON.parse(text ?? "[]") as string[]);
      const others = (found ?? []).filter((roomId) => !left.has(roomId));
      return left.size > 0 && others.join() === (expected ?? []).slice(0, others.length).join();
    },
  },
  {
    name: "rooms in which something happens at once",
    synapse: "lists them in the order in which it happened",
    glissade: "lists them in the order in which polls bring it",
    why: "each user's poll tells of their own rooms, and some come sooner than others",
    explains: ({ path, synapse, glissade }, { log }) => {
      const [kind, , op] = path.split(" ");
      if (kind !== "lists" || op !== "SYNC") return false;
      const [expected, found] = [synapse, glissade].map((text) => JSON.parse(text ?? "[]") as string[]);
      const changed = [...(expected ?? []), ...(found ?? [])].filter((roomId, index, all) => {
        const [a, b] = [expected?.indexOf(roomId), found?.indexOf(roomId)];
        return all.indexOf(roomId) === index && a !== b;
      });
      return expected?.length === found?.length && changed.length > 1 && changed.every((roomId) => log.isNews(roomId));
    },
  },
  {
    name: "nothing is not said",
    synapse: "names each room that comes into view under `account_data`, with an empty list where it has none",
    glissade: "names those that have some",
    why: "it is the same to a client",
    explains: ({ path, synapse, glissade }, { reference }) =>
      /^extensions account_data !\S+$/.test(path) &&
      synapse === "there" &&
      glissade === null &&
      ![...reference.keys()].some((other) => other.startsWith(`${path} `)),
  },
  {
    name: "an extension that is switched on again",
    synapse: "forgets what happened while it was off",
    glissade: "sends global account data whole when it is switched on again",
    why: "nothing may be lost",
    explains: ({ path, synapse }, { reference, wishes }) =>
      path.startsWith("extensions account_data global ") &&
      synapse === null &&
      wishes.at(-1)?.extensions["account_data"]?.["enabled"] !== true &&
      ![...reference.keys()].some((other) => other.startsWith("extensions account_data global ")),
  },
  {
    name: "a scope that grows again",
    synapse: "forgets what happened to account data of rooms while they were out of an extension's scope",
    glissade: "sends it when they are in scope again",
    why: "nothing may be lost",
    explains: ({ path, synapse }, { wish, wishes }) =>
      path.startsWith("extensions account_data !") &&
      synapse === null &&
      wishes.some((other) => scopeOf(other, "account_data") !== scopeOf(wish, "account_data")),
  },
  {
    name: "account data that is set to what it is",
    synapse: "tells it again",
    glissade: "tells it when it changes",
    why: "it is the same",
    explains: ({ path, glissade }, { reference, told }) => {
      const [, name] = path.split(" ");
      const facts = [...reference].filter(([other]) => other === path || other.startsWith(`${path} `));
      const isSame = facts.every(([other, text]) => text === "there" || told.data(other) === text);
      return name === "account_data" && glissade === null && facts.length > 0 && isSame;
    },
  },
  {
    name: "receipts beside timelines that are sent again",
    synapse: "sends them with the timelines that it sends again",
    glissade: "sends them with those that it sends again",
    why: "the two do not always send the same again",
    explains: ({ path, synapse, glissade }, { reference, subject, told }) => {
      const [, name, roomId] = path.split(" ");
      const isResent = (view: typeof reference): boolean =>
        view.has(`rooms ${roomId} unstable_expanded_timeline`) || view.has(`rooms ${roomId} initial`);
      if (name !== "receipts" || isResent(reference) === isResent(subject) || !told.hasReceipt(path)) return false;
      return isResent(reference) ? glissade === null : synapse === null;
    },
  },
  {
    name: "account data and receipts of rooms that one is not in",
    synapse: "tells them",
    glissade: "tells what was told while one was in them",
    why: "a classic sync tells no other",
    explains: ({ path, glissade }, { log, userId }) => {
      const [kind, name = "", roomId = ""] = path.split(" ");
      const isOfRoom = kind === "extensions" && ["account_data", "receipts"].includes(name) && roomId.startsWith("!");
      return isOfRoom && glissade === null && !log.isIn(roomId, userId);
    },
  },
  {
    name: "typing",
    synapse: "tells who types with each word of it, and to a new connection also that nobody does any more",
    glissade:
      "tells who types in rooms that one is in as it changes and when a room comes into scope, and nothing where nobody does",
    why: "as MSC4508 has it",
    explains: ({ path, synapse, glissade }, { log, told, userId }) => {
      const [, name, roomId = ""] = path.split(" ");
      if (name !== "typing") return false;
      if (synapse === null) {
        const { content } = JSON.parse(glissade ?? "{}") as { content: string[] };
        return content.length > 0 && content.every((other) => log.isTyping(roomId, other));
      }
      const isNothing = synapse.includes('"content":[]') || told.typing(roomId) === synapse;
      return glissade === null && (isNothing || !log.isIn(roomId, userId));
    },
  },
  {
    name: "thread subscriptions",
    synapse: "has them, where they are switched on",
    glissade: "has none, and does not answer their key",
    why: "a classic sync tells nothing of threads one follows",
    explains: ({ path, glissade }) =>
      path.startsWith("extensions io.element.msc4308.thread_subscriptions") && glissade === null,
  },
];

/** All of them. What none of them explains fails the differential test. */
export const DEVIATIONS: readonly Deviation[] = [...ROOM_DEVIATIONS, ...OTHER_DEVIATIONS, ...STICKY_DEVIATIONS];

/** The deviation that explains a difference. */
export function explanationOf(difference: Difference, scene: Scene): Deviation | null {
  return DEVIATIONS.find((deviation) => deviation.explains(difference, scene)) ?? null;
}
