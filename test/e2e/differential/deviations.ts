import { LIST_DEVIATIONS } from "./deviations-lists.ts";
import { ROOM_DEVIATIONS } from "./deviations-rooms.ts";
import { STICKY_DEVIATIONS } from "./deviations-sticky.ts";
import {
  type Deviation,
  type Difference,
  factsOf,
  isBare,
  isExpanded,
  isInitial,
  type Scene,
  timelineOf,
} from "./scene.ts";
import type { View } from "./view.ts";

/** How an extension was asked for, in one text. */
const scopeOf = (wish: Scene["wish"], name: string): string => JSON.stringify(wish.extensions[name] ?? null);

/** An explanation of account data of rooms, and of receipts. */
const ofAccountData =
  (explains: Deviation["explains"]): Deviation["explains"] =>
  (difference, scene) => {
    const [kind, name = "", roomId = ""] = difference.path.split(" ");
    const isOfRoom = kind === "extensions" && ["account_data", "receipts"].includes(name) && roomId.startsWith("!");
    return isOfRoom && explains(difference, scene);
  };

/** Ways in which extensions differ. */
const EXTENSION_DEVIATIONS: readonly Deviation[] = [
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
      const [, name, roomId = "", , , eventId = ""] = path.split(" ");
      const isResent = (view: View): boolean => isExpanded(view, roomId) || isInitial(view, roomId);
      const isOnMore =
        timelineOf(subject, roomId).includes(eventId) && !timelineOf(reference, roomId).includes(eventId);
      if (name === "receipts" && synapse === null && isOnMore && isResent(reference) && isResent(subject)) return true;
      if (name !== "receipts" || isResent(reference) === isResent(subject) || !told.hasReceipt(path)) return false;
      return isResent(reference) ? glissade === null : synapse === null;
    },
  },
  {
    name: "account data and receipts of rooms that one is not in",
    synapse: "tells them",
    glissade: "tells what was told while one was in them, also when one is back",
    why: "a classic sync tells no other",
    explains: ofAccountData(({ path, glissade }, { log, userId, reference }) => {
      const [, name, roomId = "", type] = path.split(" ");
      if (glissade === null && !log.isIn(roomId, userId)) return true;
      if (name === "receipts") return false;
      if (type !== undefined) return log.isSetOutside(roomId, userId, type);
      const types = [...reference.keys()].flatMap((other) =>
        other.startsWith(`${path} `) ? other.split(" ").at(-1) : [],
      );
      return glissade === null && types.every((other) => log.isSetOutside(roomId, userId, other ?? ""));
    }),
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
export const DEVIATIONS: readonly Deviation[] = [
  ...ROOM_DEVIATIONS,
  ...LIST_DEVIATIONS,
  ...EXTENSION_DEVIATIONS,
  ...STICKY_DEVIATIONS,
];

/** The deviation that explains a difference. */
export function explanationOf(difference: Difference, scene: Scene): Deviation | null {
  return DEVIATIONS.find((deviation) => deviation.explains(difference, scene)) ?? ofLoneEntry(difference, scene);
}

/** Only one of the two sends the room's entry: that it does is explained with all that the entry tells. */
function ofLoneEntry({ path }: Difference, scene: Scene): Deviation | null {
  const [kind, roomId = "", field] = path.split(" ");
  const { reference, subject } = scene;
  const isOfSynapse = reference.has(`rooms ${roomId}`);
  const isLone = isOfSynapse !== subject.has(`rooms ${roomId}`);
  if (kind !== "rooms" || !isLone || (field !== undefined && !isBare(field))) return null;
  const found = factsOf(isOfSynapse ? reference : subject, roomId)
    .filter(([fact]) => !isBare(fact) && fact !== "prev_batch" && fact !== "unstable_expanded_timeline")
    .map(([fact, text]) => {
      const told = isOfSynapse ? { synapse: text, glissade: null } : { synapse: null, glissade: text };
      const difference = { path: `rooms ${roomId} ${fact}`, ...told };
      return DEVIATIONS.find((deviation) => deviation.explains(difference, scene)) ?? null;
    });
  return found.includes(null) ? null : (found[0] ?? null);
}
